#!/bin/sh
# What a job runs on the head, and compose on its node: begins the run called $RLTF_RUN, or goes on with it where it is there.
set -eu
if [ -e "/runs/$RLTF_RUN/state.json" ]; then set -- "$@" --resume; fi
exec rltf train /etc/rltf/recipe.yaml "name=$RLTF_RUN" output=/runs \
    monitor.prometheus_port=9400 monitor.prometheus_host=0.0.0.0 "$@"
