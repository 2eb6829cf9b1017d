#!/usr/bin/env bash
# A Ray cluster inside a Slurm allocation, for one sweep. From the repository's root, with .venv on a shared disk:
#   sbatch study/cluster/files/slurm.sh depth_sweep --scale paper --time-budget 7h30m
# What follows the script's name is for study.run; results are in results/ here, unless --storage says otherwise.
# --time-budget ends the run tidily before Slurm does; the same sbatch goes on from there. Whole nodes: symmetric-run
# begins where no Ray runs, and at its end stops every Ray of yours on the node. Options of sbatch go before the
# script's name and win over those below (sbatch --nodes=1 --gpus-per-node=0 study/cluster/files/slurm.sh ...).
# Run on Slurm 22.05, on two nodes that were namespaces of one Debian 12 machine, with files in place of GPUs: to its
# end, cancelled in the middle and gone on with, and on one node. Never yet with real GPUs, machines or cgroups.
#SBATCH --job-name=plain-depth-study
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --gpus-per-node=4
#SBATCH --time=08:00:00
#SBATCH --output=%x-%j.log
set -euo pipefail

cd "$SLURM_SUBMIT_DIR"
source .venv/bin/activate

# Other users reach these nodes' ports, so a token of this job's own is asked for. srun hands it to the nodes.
RAY_AUTH_TOKEN="$(python -c 'import secrets; print(secrets.token_hex(32))')"
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token
export RAY_TMPDIR="/tmp/ray-$SLURM_JOB_ID"            # /tmp/ray may belong to another user
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300     # seconds; the default of 30 is short for a cold shared disk

head_host="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p)"
head_ip="$(srun --nodes=1 --ntasks=1 --nodelist="$head_host" hostname --all-ip-addresses | awk '{print $1}')"
srun --ntasks="$SLURM_JOB_NUM_NODES" mkdir -p "$RAY_TMPDIR"

# The run, and then an end to Ray on the other nodes. Left alone, they look for their head for a minute, and report that
# at length; `ray stop` is no help: symmetric-run would go on waiting there.
on_head='"$@" || status=$?
srun --overlap --ntasks="$SLURM_JOB_NUM_NODES" pkill --full "[r]ay start --address" 2>/dev/null
exit "${status:-0}"'

# The port is the job's own, for nodes that were not given whole. What stands before `--` goes to `ray start` on every
# node, and one that is no head refuses --include-dashboard.
srun --ntasks="$SLURM_JOB_NUM_NODES" \
    ray symmetric-run \
    --address "$head_ip:$((20000 + SLURM_JOB_ID % 10000))" \
    --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus="$SLURM_CPUS_ON_NODE" \
    -- \
    bash -c "$on_head" head \
    python -m study.run --address auto --storage "$SLURM_SUBMIT_DIR/results" "$@"
srun --ntasks="$SLURM_JOB_NUM_NODES" rm -rf "$RAY_TMPDIR" # kept after a failure: Ray's logs are in it
