# Completion of atelier-heartbeat for bash: the program itself names the candidates.
_atelier_heartbeat() {
    local candidate
    COMPREPLY=()
    while IFS= read -r candidate; do
        if [[ $candidate == :files ]]; then
            compopt -o default 2>/dev/null
        else
            COMPREPLY+=("${candidate%%$'\t'*}")
        fi
    done < <("${1/#\~/$HOME}" __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    # bash replaces only what stands behind the equals sign.
    if [[ ${COMP_WORDS[COMP_CWORD]} == = || ${COMP_WORDS[COMP_CWORD - 1]} == = ]]; then
        COMPREPLY=("${COMPREPLY[@]#*=}")
    fi
}
complete -F _atelier_heartbeat atelier-heartbeat
