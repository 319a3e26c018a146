#!/usr/bin/env bash
# One search on Slurm: a Ray cluster for the time of the job, one Ray node per Slurm node.
#   sbatch --export=ALL,VENV=$HOME/venv,RUNS=/shared/runs,NAME=lambda_mu docs/cluster/slurm.sh \
#     search_spaces/saat_lambda_mu.yaml --set data.path=/shared/data/FLICKR-25K
# The same command again (or a requeue) with the same NAME continues the run.
#SBATCH --job-name=saat
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=4
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@120
set -euo pipefail

: "${VENV:?the virtual environment, on a folder that all nodes see}"
: "${RUNS:?the folder of runs, on storage that all nodes see}"
: "${NAME:?the name of the run}"

export RAY_AUTH_MODE=token                # the token is in the home folder, which nodes share
if [ ! -s "$HOME/.ray/auth_token" ]; then
  (umask 077 && "$VENV/bin/ray" get-auth-token --generate >/dev/null)
fi
export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"   # srun does not inherit it

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head_ip="${HEAD_IP:-$(hostname -I | awk '{print $1}')}"   # this script runs on the first node
address="$head_ip:$((20000 + SLURM_JOB_ID % 10000))"      # two jobs may share a node
temp="/tmp/ray-$SLURM_JOB_ID"
steps=()

on_one=(srun --overlap --nodes=1 --ntasks=1)

# Without --num-cpus Ray would count the machine's CPUs, not the job's.
start_ray() {
  local node="$1"
  shift
  "${on_one[@]}" --nodelist="$node" "$VENV/bin/ray" start "$@" \
    --num-cpus="$SLURM_CPUS_PER_TASK" --temp-dir="$temp" --disable-usage-stats --block &
  steps+=("$!")
}

# shellcheck disable=SC2329 # the trap calls it
clean_up() {
  kill "${steps[@]}" 2>/dev/null || true
  wait "${steps[@]}" 2>/dev/null || true
  local node
  for node in "${nodes[@]}"; do
    "${on_one[@]}" --nodelist="$node" rm -rf "$temp" || true
  done
}
trap clean_up EXIT

start_ray "${nodes[0]}" --head --node-ip-address="$head_ip" --port="${address##*:}" \
  --include-dashboard=false
for node in "${nodes[@]:1}"; do
  start_ray "$node" --address="$address"
done

# A search is refused if no node can take a trial when it starts, so wait for all nodes.
"$VENV/bin/python" - "$address" "${#nodes[@]}" <<'PYTHON'
import sys
import time

import ray

address, wanted = sys.argv[1], int(sys.argv[2])
alive, deadline = 0, time.monotonic() + 300
while alive < wanted:
    if time.monotonic() > deadline:
        sys.exit(f"only {alive} of {wanted} nodes joined")
    try:
        if not ray.is_initialized():
            ray.init(address=address, log_to_driver=False, logging_level="error")
        alive = sum(node["Alive"] for node in ray.nodes())
    except (ConnectionError, RuntimeError, ValueError):
        pass
    time.sleep(2)
PYTHON

common=(--address "$address" --runs-dir "$RUNS"
  --cache-dir "${CACHE:-/tmp/saat-cache-$SLURM_JOB_USER}") # node-local, unlike the home folder
if [ -e "$RUNS/$NAME/events.jsonl" ]; then
  "$VENV/bin/saat" resume "$NAME" "${common[@]}" &
else
  "$VENV/bin/saat" search "$@" --name "$NAME" "${common[@]}" &
fi
driver="$!"
# Two minutes before the time limit, interrupt the driver, which then ends with status 130.
trap 'kill -TERM "$driver"' TERM
status=0
wait "$driver" || status="$?"
if kill -0 "$driver" 2>/dev/null; then
  status=0
  wait "$driver" || status="$?"
fi
exit "$status"
