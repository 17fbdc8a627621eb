#!/bin/sh
# Recording rules and alerts as resources of the Prometheus operator: deploy/kubernetes/monitoring/rules.sh | kubectl apply -f -
set -eu
cd "$(dirname "$0")/../../prometheus"
for file in rules alerts; do
    printf -- '---\napiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\n'
    printf 'metadata:\n  name: rltf-%s\n  labels: {app.kubernetes.io/part-of: rltf}\nspec:\n' "$file"
    sed 's/^/  /' "$file.yml"
done
