#!/bin/sh
# Hands an order to a Kubernetes Job and leaves; a later beat collects it.
#
#   [generator]
#   command = ["integrations/generators/kubernetes.sh", "registry.example/make-picture:1", "atelier-state", "/state"]
#   timeout = "2m"            # this script's own: it never waits for the Job
#   total_timeout = "6h"      # how long the Job may take, scheduling included
#   env = ["KUBECONFIG"]
#
# The image, the claim that holds the state folder, and where that folder is mounted, here and in the Job alike. Your
# image finds ATELIER_BRIEF_FILE, ATELIER_ORDER_FILE and ATELIER_OUTPUT_DIR in its environment, and leaves its files there
# (write to a name that begins with a dot and rename it: a half-written file is never taken).
#
# The Job's name is made from the attempt's idempotency key, and Kubernetes makes a name only once: a start that was
# killed anywhere creates no second Job.
set -eu
image=${1:?the image} claim=${2:?the claim of the state folder} root=${3:?where it is mounted}
job=atelier-$(printf %s "$ATELIER_IDEMPOTENCY_KEY" | sha256sum | cut -c1-32)

away() { echo "Kubernetes does not answer: asked again next beat" >&2; exit 75; }
status=$(kubectl get job "$job" --ignore-not-found \
    --output 'jsonpath={.metadata.name} {.status.conditions[?(@.status=="True")].type}') || away

case $status in
    *Complete*)
        [ -n "$(ls "$ATELIER_OUTPUT_DIR")" ] && exit 0
        echo "job $job is done and left no file in $ATELIER_OUTPUT_DIR" >&2; exit 1 ;;
    *Failed*)
        echo "job $job failed: kubectl logs job/$job" >&2; exit 1 ;;
    *"$job"*)
        exit 75 ;;
esac
# Paths alone go into it, each as a JSON text; a stranger's words stay in their file.
quoted() { printf '"%s"' "$(printf %s "$1" | sed 's/[\\"]/\\&/g')"; }
variable() { printf '{"name": "%s", "value": %s}' "$1" "$(quoted "$2")"; }
kubectl create --filename - >&2 <<JOB || away
{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "$job", "labels": {"app": "atelier-heartbeat"}},
 "spec": {"backoffLimit": 0, "ttlSecondsAfterFinished": 172800, "template": {"spec": {"restartPolicy": "Never",
  "automountServiceAccountToken": false,
  "volumes": [{"name": "state", "persistentVolumeClaim": {"claimName": $(quoted "$claim")}}],
  "containers": [{"name": "make", "image": $(quoted "$image"), "workingDir": $(quoted "$PWD"),
   "env": [$(variable ATELIER_BRIEF_FILE "$ATELIER_BRIEF_FILE"), $(variable ATELIER_ORDER_FILE "$ATELIER_ORDER_FILE"),
           $(variable ATELIER_OUTPUT_DIR "$ATELIER_OUTPUT_DIR"), $(variable ATELIER_OUTPUT "$ATELIER_OUTPUT"),
           $(variable ATELIER_IDEMPOTENCY_KEY "$ATELIER_IDEMPOTENCY_KEY")],
   "volumeMounts": [{"name": "state", "mountPath": $(quoted "$root")}]}]}}}}
JOB
exit 75
