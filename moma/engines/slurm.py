"""Slurm: a batch script that starts the learner's step, and steps on the job's other nodes."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence

from moma.engines.deployment import SlurmConfig
from moma.engines.local import module
from moma_core.stopping import STOPPED

_ASK_S = 30.0
"""Seconds for an answer of Slurm's controller."""
_KEPT = {"SLURM_CONF", "SLURM_JOB_ID", "SLURM_JOB_NODELIST", "SLURMD_NODENAME"}
"""Variables of the learner's step that the steps it starts may see; others are options of srun."""
_SCRIPT = """\
#!/bin/bash
{options}
# The learner's step starts the roles of all other nodes, and goes on without a node that is lost.
# If its own is lost, or the time is nearly over, the job is queued again and the run resumed.
{setup}
limit=""
# A signal to srun itself would kill the step.
saved() {{
    limit=near
    step=$(squeue --steps --noheader --jobs="$SLURM_JOB_ID" --format="%i %j" | grep " learner$")
    scancel --signal=TERM "${{step%% *}}"
}}
trap saved TERM
read -r -d "" first second _ <<< "$(scontrol show hostnames "$SLURM_JOB_NODELIST" | tr "\\n" " ")"
srun --job-name=learner --nodes=1 --ntasks=1 --nodelist="$first" --cpus-per-task={cores} \\
    {command} &
learner=$!
# With --no-kill a job whose first node is lost stays as it is, without this script: the second
# node looks after the first one.
look='while sleep 10; do
    nodes=$(squeue -hj "$2" -o %N) && [ -n "$nodes" ] || continue
    scontrol show hostnames "$nodes" | grep -qx "$1" || scontrol requeue "$2"
done'
if [ -n "$second" ]; then
    srun --job-name=look --nodes=1 --ntasks=1 --nodelist="$second" --overlap \\
        bash -c "$look" look "$first" "$SLURM_JOB_ID" &
fi
wait "$learner"
status=$?
if [ -n "$limit" ]; then
    wait "$learner"
    status=$?
    [ "$status" -eq {stopped} ] && scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
"""


def script(
    name: str,
    logs: str,
    nodes: int,
    cores: int,
    gpu: bool,
    config: SlurmConfig,
    words: Sequence[str],
) -> str:
    """Returns the batch script of a run.

    Args:
        name: the run's.
        logs: directory of its logs, which all nodes see.
        nodes: how many.
        cores: of each node.
        gpu: one of each node, too.
        config: the job's settings.
        words: command line of the learner's step.
    """
    given = {"partition": config.partition, "account": config.account, "time": config.time}
    options = [
        f"job-name=moma-{name}",
        f"nodes={nodes}",
        "ntasks-per-node=1",
        f"cpus-per-task={cores}",
        *["gpus-per-node=1"] * gpu,
        "no-kill",
        "requeue",
        "signal=B:TERM@60",
        "open-mode=append",
        f"output={logs}/slurm.log",
        *[f"{key}={value}" for key, value in given.items() if value],
        *config.options,
    ]
    return _SCRIPT.format(
        options="\n".join(f"#SBATCH --{option}" for option in options),
        cores=cores,
        setup=config.setup,
        command=shlex.join([sys.executable, "-m", "moma", *words]),
        stopped=STOPPED,
    )


def submit(path: str) -> str:
    """Hands a batch script to Slurm, or to this allocation; returns what was said of it."""
    if "SLURM_JOB_ID" in os.environ:
        subprocess.run(["bash", path], check=True)
        return f"the allocation {os.environ['SLURM_JOB_ID']} ran {path}"
    return _said("sbatch", path)


def in_step() -> bool:
    """True in a step of a job, where the learner's is."""
    return "SLURM_STEP_ID" in os.environ


def own_host() -> str:
    """Returns this node's address as Slurm's own daemons call it."""
    node = _said("scontrol", "show", "node", os.environ["SLURMD_NODENAME"], "--oneliner")
    (host,) = [word[9:] for word in node.split() if word.startswith("NodeAddr=")]
    return socket.gethostbyname(host)


def other_hosts() -> list[str]:
    """Returns the job's nodes but this one; what this step was told is not for those of others."""
    hosts = _said("scontrol", "show", "hostnames", os.environ["SLURM_JOB_NODELIST"]).split()
    for name in [name for name in os.environ if name.startswith("SLURM") and name not in _KEPT]:
        del os.environ[name]
    return [host for host in hosts if host != os.environ["SLURMD_NODENAME"]]


def begin(host: str, cores: int) -> Callable[[str], list[str]]:
    """Returns what begins a role's process on another node of the job: a step of its own.

    Args:
        host: the node's name.
        cores: how many of it.
    """
    on = ["--nodes=1", "--ntasks=1", f"--nodelist={host}", "--overlap", f"--cpus-per-task={cores}"]

    def words(package: str) -> list[str]:
        return ["srun", *on, "--unbuffered", *module(package)]

    return words


def _said(*words: str) -> str:
    """Returns what a command of Slurm's says.

    Raises:
        ValueError: it cannot be called, or refuses.
    """
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_ASK_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ValueError(f"{words[0]}: {error}; --engine slurm needs Slurm's commands") from error
    if done.returncode:
        raise ValueError(f"{shlex.join(words)} refused: {done.stderr.strip()}")
    return done.stdout.strip()
