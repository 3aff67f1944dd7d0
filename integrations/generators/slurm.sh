#!/bin/sh
# Hands an order to Slurm and leaves; a later beat collects it.
#
#   [generator]
#   command = ["integrations/generators/slurm.sh", "/home/me/make-picture.sbatch"]
#   timeout = "2m"            # this script's own: it never waits for the job
#   total_timeout = "6h"      # how long the job may take, queue included
#   env = ["SLURM_CONF"]
#
# Your batch script finds ATELIER_BRIEF_FILE, ATELIER_ORDER_FILE and ATELIER_OUTPUT_DIR in its environment, and leaves its
# files in ATELIER_OUTPUT_DIR (write to a name that begins with a dot and rename it: a half-written file is never taken).
#
# The job is named after the attempt's idempotency key and is looked for by that name before anything is submitted: a
# start that was killed anywhere, before or after sbatch, submits no second job.
set -eu
script=${1:?the batch script}
name=atelier-$ATELIER_IDEMPOTENCY_KEY

# Of several jobs of this name the one that is done counts, else one that still may be.
states=$({
    squeue --noheader --name "$name" --format %T
    sacct --noheader --parsable2 --allocations --name "$name" --starttime now-30days --format State
} | sed 's/ .*//') || { echo "Slurm does not answer: asked again next beat" >&2; exit 75; }

case $states in
    *COMPLETED*)
        [ -n "$(ls "$ATELIER_OUTPUT_DIR")" ] && exit 0
        echo "job $name is done and left no file in $ATELIER_OUTPUT_DIR" >&2; exit 1 ;;
    *PENDING* | *RUNNING* | *CONFIGURING* | *COMPLETING* | *REQUEUE* | *SUSPENDED* | *STAGE_OUT* | *RESIZING* | *SIGNALING*)
        exit 75 ;;
    '') ;;
    *)  # FAILED, TIMEOUT, OUT_OF_MEMORY, NODE_FAIL, CANCELLED, PREEMPTED …: the next attempt has a name of its own.
        echo "job $name: $(echo "$states" | tr '\n' ' ')" >&2; exit 1 ;;
esac
sbatch --parsable --job-name "$name" --chdir "$PWD" --output "$PWD/slurm-%j.log" --export ALL "$script" >&2
exit 75
