#!/bin/sh
# Delete Kubernetes Jobs, and their pods with them.
exec kubectl delete job --ignore-not-found --wait=false "$@"
