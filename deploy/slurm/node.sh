#!/bin/bash
# One node of the cluster, until its input ends: the allocation's first node is Ray's head. $1: the head's port for Ray's client.
set -euo pipefail
temporary=/tmp/ray-$SLURM_JOB_ID
options=(--block --disable-usage-stats --log-color=false --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}"
    --min-worker-port=0 --max-worker-port=0 --dashboard-agent-listen-port=0)
if [ "$SLURM_NODEID" -eq 0 ]; then
    options+=(--head --node-ip-address="${RAY_ADDRESS%:*}" --port="${RAY_ADDRESS##*:}" --ray-client-server-port="$1"
        --include-dashboard=false --temp-dir="$temporary")
else
    options+=(--address="$RAY_ADDRESS")
fi
unset RAY_ADDRESS # `ray start` would look for a cluster there
"$RLTF_BIN/ray" start "${options[@]}" </dev/null &
ray=$!
{ cat >/dev/null; kill -TERM "$ray"; } <&0 2>/dev/null &
# scancel tells all processes at once to end; Ray's would wait a minute for one another.
trap 'kill -KILL "$ray" $(pgrep --parent "$ray")' TERM
wait "$ray" || true
rm -rf "$temporary"
