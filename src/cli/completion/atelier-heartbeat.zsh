#compdef atelier-heartbeat
# Completion of atelier-heartbeat for zsh: the program itself names the candidates.
_atelier-heartbeat() {
    local candidate
    local -a described
    for candidate in "${(@f)$("${words[1]/#\~/$HOME}" __complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}"; do
        case $candidate in
            '') ;;
            :files) _files && return ;;
            *$'\t'*) described+=("${${candidate%%$'\t'*}//:/\\:}:${candidate#*$'\t'}") ;;
            *) described+=("${candidate//:/\\:}") ;;
        esac
    done
    (( $#described )) && _describe -V 'atelier-heartbeat' described
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _atelier-heartbeat "$@"
else
    compdef _atelier-heartbeat atelier-heartbeat
fi
