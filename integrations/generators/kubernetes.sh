#!/bin/sh
# Submits an order to Kubernetes as a Job. A later run collects the result.
#
#   [generator]
#   command = ["integrations/generators/kubernetes.sh", "registry.example/make-picture:1", "atelier-state", "/state"]
#   timeout = "2m"            # for this script: it never waits for the Job
#   total_timeout = "6h"      # for the Job, scheduling included
#   env = ["KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"]
#
# The arguments are the image, the claim that holds the state folder, and the path where that folder is mounted, here and
# in the Job alike. The image finds ATELIER_BRIEF_FILE, ATELIER_ORDER_FILE and ATELIER_OUTPUT_DIR in its environment and
# leaves its files in ATELIER_OUTPUT_DIR. Write each file under a name that begins with a dot and rename it when it is
# complete: hidden files are never delivered.
#
# One attempt creates one Job. Its name is made from the attempt's idempotency key, and Kubernetes refuses a second Job of
# that name. The file .kubernetes-KEY in the order's folder records that the Job was created, so that a Job that was
# deleted since is not created again.
#
# Exit: 0 done, 1 the Job failed, 75 not ready or not known, 78 refused by Kubernetes, 127 no kubectl.
set -eu
umask 077

leave() { code=$1; shift; [ $# -eq 0 ] || printf '%s\n' "$*" >&2; exit "$code"; }
has_files() { [ -n "$(ls "$ATELIER_OUTPUT_DIR")" ]; }
[ $# -eq 3 ] || leave 78 "three arguments are needed: the image, the claim of the state folder, and where it is mounted"
command -v kubectl >/dev/null || leave 127 "kubectl is not in PATH"
image=$1 claim=$2 root=$3
key=${ATELIER_IDEMPOTENCY_KEY:?}
job=atelier-$(printf %s "$key" | sha256sum | cut -c 1-32)
created=$PWD/.kubernetes-$key
errors=$created.errors

# Decides what a failed kubectl means: the settings are wrong, or the cluster is away.
kubectl_failed() {
    why=$(tr '\n' ' ' <"$errors" | cut -c 1-300)
    case $why in
        *'exceeded quota'* | *'being terminated'*) ;;
        *orbidden* | *nauthorized* | *'must be logged in'* | *'error loading config'* | *'nvalid configuration'* | *'no configuration'* | \
            *'no such file'* | *'does not exist'* | *'is invalid'* | *'NotFound'* | *'not found'* | *'unknown flag'* | *"doesn't have a resource"* | *'error validating'* | *'executable '*)
            leave 78 "kubectl: $why" ;;
    esac
    leave 75 "kubectl: $why: asked again on the next run"
}

status=$(kubectl get job "$job" --ignore-not-found --request-timeout=30s \
    --output 'jsonpath={.metadata.name} {.status.conditions[?(@.status=="True")].type}' 2>"$errors") || kubectl_failed
case $status in
    "$job"*) [ -e "$created" ] || : >"$created" ;;
esac
case $status in
    *Complete*)
        if has_files; then exit 0; fi
        leave 1 "job $job completed and left no file in $ATELIER_OUTPUT_DIR" ;;
    *Failed*)
        leave 1 "job $job failed: kubectl logs job/$job" ;;
    "$job"*)
        exit 75 ;;
esac
if [ -e "$created" ]; then
    if has_files; then exit 0; fi
    leave 1 "job $job was deleted and left no file"
fi

# The document holds paths alone, each as a JSON string. The client's text stays in its file.
quoted() { printf '"%s"' "$(printf %s "$1" | sed 's/[\\"]/\\&/g')"; }
variable() { printf '{"name": "%s", "value": %s}' "$1" "$(quoted "$2")"; }
kubectl create --request-timeout=30s --filename - >/dev/null 2>"$errors" <<JOB || created=
{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "$job", "labels": {"app": "atelier-heartbeat"}},
 "spec": {"backoffLimit": 0, "ttlSecondsAfterFinished": 172800, "template": {"spec": {"restartPolicy": "Never",
  "automountServiceAccountToken": false, "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
  "volumes": [{"name": "state", "persistentVolumeClaim": {"claimName": $(quoted "$claim")}}],
  "containers": [{"name": "make", "image": $(quoted "$image"), "workingDir": $(quoted "$PWD"),
   "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": $([ "$(id -u)" = 0 ] && echo false || echo true), "runAsUser": $(id -u)},
   "env": [$(variable ATELIER_BRIEF_FILE "$ATELIER_BRIEF_FILE"), $(variable ATELIER_ORDER_FILE "$ATELIER_ORDER_FILE"),
           $(variable ATELIER_OUTPUT_DIR "$ATELIER_OUTPUT_DIR"), $(variable ATELIER_OUTPUT "$ATELIER_OUTPUT"),
           $(variable ATELIER_IDEMPOTENCY_KEY "$ATELIER_IDEMPOTENCY_KEY")],
   "volumeMounts": [{"name": "state", "mountPath": $(quoted "$root")}]}]}}}}
JOB
if [ -z "$created" ]; then
    case $(cat "$errors") in
        *AlreadyExists* | *'already exists'*) exit 75 ;;
        *) kubectl_failed ;;
    esac
fi
: >"$created"
exit 75
