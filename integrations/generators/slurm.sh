#!/bin/sh
# Submits an order to Slurm as a batch job. A later run collects the result.
#
#   [generator]
#   command = ["integrations/generators/slurm.sh", "/home/me/make-picture.sbatch"]
#   timeout = "2m"            # for this script: it never waits for the job
#   total_timeout = "6h"      # for the job, time in the queue included
#   env = ["SLURM_CONF"]
#
# The batch script finds ATELIER_BRIEF_FILE, ATELIER_ORDER_FILE and ATELIER_OUTPUT_DIR in its environment and leaves its
# files in ATELIER_OUTPUT_DIR. The state folder must be on a file system that the compute nodes share. Write each file
# under a name that begins with a dot and rename it when it is complete: hidden files are never delivered.
#
# One attempt submits one job. The file .slurm-KEY in the order's folder records the submission before sbatch runs and
# the job's id after it. A start that was killed in between looks for the job by its name and never submits another.
#
# Exit: 0 done, 1 the job failed, 75 not ready or not known, 78 refused by Slurm, 127 no Slurm commands.
set -eu
umask 077

leave() { code=$1; shift; [ $# -eq 0 ] || printf '%s\n' "$*" >&2; exit "$code"; }
# Replaces the record: a state (submitting, refused, or the job's id) and how many lookups in a row did not find the job.
record() { printf '%s %s\n' "$1" "$2" >"$file.new" && mv "$file.new" "$file"; }
has_files() { [ -n "$(ls "$ATELIER_OUTPUT_DIR")" ]; }
first_error() { head -n 1 "$errors" | cut -c 1-300; }

script=${1:-}
{ [ -f "$script" ] && [ -r "$script" ]; } || leave 78 "the batch script cannot be read: '$script'"
for program in squeue sbatch; do
    command -v "$program" >/dev/null || leave 127 "$program is not in PATH"
done
[ -z "${SLURM_CONF:-}" ] || [ -r "$SLURM_CONF" ] || leave 78 "SLURM_CONF cannot be read: $SLURM_CONF"
name=atelier-${ATELIER_IDEMPOTENCY_KEY:?}
file=$PWD/.slurm-$ATELIER_IDEMPOTENCY_KEY
errors=$file.errors
user=$(id -u)

known='' lookups=0
[ ! -e "$file" ] || read -r known lookups <"$file"
case $known in
    '' | submitting | refused) id='' ;;
    *) id=$known ;;
esac

# The controller lists finished jobs for MinJobAge (five minutes by default). Names are compared together with ids because a
# controller that lost its state issues the same ids again. A refused submission also leaves a failed job: it is not ours.
if [ "$known" = refused ]; then
    queue=
elif ! queue=$(squeue --states=all --noheader --user "$user" --name "$name" --format '%F %T' 2>"$errors"); then
    case $(cat "$errors") in
        *'configuration file'* | *'configuration source'* | *s_p_parse_file*) leave 78 "squeue: $(first_error)" ;;
        *) leave 75 "squeue: $(first_error): asked again on the next run" ;;
    esac
fi
states=$(printf '%s\n' "$queue" | awk -v id="$id" 'NF == 2 && (id == "" || $1 == id) { print $2 }')

# A job the controller no longer lists may be in the accounting database, where there is one.
accounting=unknown
if [ -z "$states" ] && [ -n "$known" ] && [ "$known" != refused ]; then
    if command -v sacct >/dev/null && jobs=$(sacct --noheader --parsable2 --allocations --user "$user" --name "$name" \
        --starttime now-30days --format JobID,State 2>"$errors"); then
        accounting=yes
        states=$(printf '%s\n' "$jobs" | awk -F '|' -v id="$id" \
            '{ split($1, part, "_"); split($2, word, " ") } NF == 2 && (id == "" || part[1] == id) { print word[1] }')
    else
        config=$(scontrol show config 2>"$errors") || leave 75 "scontrol: $(first_error): asked again on the next run"
        case $config in
            *AccountingStorageType*=*slurmdbd*) leave 75 "the accounting database does not answer: asked again on the next run" ;;
            *) accounting=no ;;
        esac
    fi
fi

verdict=none
for state in $states; do
    case $state in
        COMPLETED) [ "$verdict" = failed ] || verdict=completed ;;
        BOOT_FAIL | CANCELLED | DEADLINE | FAILED | NODE_FAIL | OUT_OF_MEMORY | PREEMPTED | TIMEOUT) verdict=failed ;;
        *) verdict=unfinished; break ;;
    esac
done

case $verdict in
    unfinished)
        [ "$lookups" = 0 ] || record "$known" 0
        exit 75 ;;
    failed)
        leave 1 "job $name ended: $(printf %s "$states" | tr '\n' ' ')" ;;
    completed)
        if has_files; then exit 0; fi
        # A network file system may show the files of another machine a minute late.
        [ "$lookups" -ge 1 ] || { record "${known:-submitting}" 1; exit 75; }
        leave 1 "job $name completed and left no file in $ATELIER_OUTPUT_DIR" ;;
esac

if [ -n "$known" ] && [ "$known" != refused ]; then
    # Neither the controller nor accounting lists the job. Both may lag behind, so a few lookups pass before that is believed.
    if [ "$accounting" = no ] && has_files; then exit 0; fi
    [ "$lookups" -ge 3 ] || { record "$known" $((lookups + 1)); leave 75 "Slurm does not list job $name: asked again on the next run"; }
    if has_files; then exit 0; fi
    leave 1 "Slurm no longer lists job $name and it left no file"
fi

# Of two starts at once only one creates the record.
[ "$known" != refused ] || rm "$file" || exit 75
(set -C; echo 'submitting 0' >"$file") 2>/dev/null || leave 75 "another start is submitting this order, or $PWD cannot be written"
if job=$(sbatch --parsable --job-name "$name" --chdir "$PWD" --output "$PWD/slurm-%j.log" --export ALL "$script" 2>"$errors"); then
    record "${job%%;*}" 0 || :
    exit 75
fi
case $(cat "$errors") in
    *'connect failure'*)
        # Nothing was sent.
        rm "$file"
        leave 75 "sbatch: $(first_error): submitted on the next run" ;;
    *'partition not available'* | *'ubmit limit'* | *temporarily*)
        record refused 0
        leave 75 "sbatch: $(first_error): submitted on a later run" ;;
    *nvalid* | *unrecognized* | *'Unable to open'* | *'not available'* | *'not permitted'* | *denied* | *'can not be satisfied'* | *'configuration file'*)
        record refused 0
        leave 78 "sbatch refused the job: $(tail -n 1 "$errors" | cut -c 1-300)" ;;
esac
# No answer came: Slurm may have the job. The next run looks for it.
leave 75 "sbatch: $(first_error): looked for on the next run"
