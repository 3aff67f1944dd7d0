# Completion of atelier-heartbeat for fish: the program itself names the candidates.
function __atelier_heartbeat_candidates
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for candidate in ($words[1] __complete -- $words[2..-1] "$current" 2>/dev/null)
        if test "$candidate" = ":files"
            __fish_complete_path "$current"
        else
            echo $candidate
        end
    end
end
complete -c atelier-heartbeat -f -a '(__atelier_heartbeat_candidates)'
