"""Makes a task's data from nothing: `moma data make TASK[/VARIANT] --out DIR`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from moma.cli import train
from moma_core.runtime import process
from moma_core.runtime.commandline import parse


@dataclass(frozen=True, kw_only=True)
class Make:
    """Makes a task's data: by its script, or by experts that are trained first, online.

    The same seed gives the same data. Interrupted, it goes on where it was.
    """

    out: Path
    """Directory of the dataset that is made."""
    seed: int = 0
    """Seed of the experts' training and of the episodes."""
    transitions: int = 100_000
    """Transitions to make; a script makes whole episodes, as many as fit."""
    experts: Path = Path("runs/experts")
    """Directory of the runs that train experts; a finished one is not trained again."""
    rounds: int = 0
    """Rounds of an expert's training; 0: as its recipe says."""
    threads: int = 0
    """Threads to compute on; 0: one per core."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    return process.main(lambda: _make(argv))


def _make(argv: Sequence[str]) -> int:
    words = list(argv)
    name = words.pop(0) if words and not words[0].startswith("-") else ""
    args = parse(Make, words, "moma data make TASK[/VARIANT]")
    from moma.log_tools.make import summary  # loads torch
    from moma_core import own_code, tasks
    from moma_core.config import DataConfig
    from moma_core.stopping import STOPPED, StoppedError

    if not name:
        raise ValueError(f"data of which task? moma data make TASK, one of: {list(tasks.names())}")
    task_name, _, variant = name.partition("/")
    own_code.allow(task_name)
    task = tasks.get(task_name)
    if args.out.exists():
        raise ValueError(f"{args.out} exists already; give another --out, or remove it")
    if variant in task.variants or (not variant and task.variants):
        episodes = max(10, args.transitions // task.spec.episode_limit)
        config = DataConfig(episodes=episodes, variant=variant)
        said = summary(task.make_data(args.out, config, args.seed), task)
    else:
        try:
            said = _trained(task_name, variant, args)
        except StoppedError as stopped:
            sys.stderr.write(f"{stopped}; the same command goes on\n")
            return STOPPED
    sys.stdout.write(f"{said}\n")
    return 0


def _trained(task_name: str, variant: str, args: Make) -> str:
    """Trains what experts are missing, then lets them play; returns what was made.

    Raises:
        StoppedError: the process was told to stop meanwhile.
    """
    from moma.log_tools import make
    from moma.log_tools.experts import Expert
    from moma_core import tasks
    from moma_core.stopping import StoppedError

    task, threads = tasks.get(task_name), args.threads or process.cores()
    experts = [
        Expert(task.experts[name], args.experts, args.seed, args.rounds, threads)
        for name in make.conventions(task, variant)
    ]
    process.compute_on(threads)
    for expert in experts:
        if not expert.trained and train.main(expert.command) != 0:
            raise StoppedError(f"the training of {expert.run.path} did not come to its end")
    process.compute_on(1)  # a second team would spin on the cores that MuJoCo's needs
    stopping = process.begin()

    def progress(done: int, total: int) -> None:
        _show(done, total)
        if stopping.is_set() and done < total:
            raise StoppedError(f"stopped at {done:,} of {total:,} transitions")

    made = make.play(task, variant, experts, args.out, args.transitions, progress)
    return make.summary(made, task)


def _show(done: int, total: int) -> None:
    line = f"{done:,} of {total:,} transitions ({done / total:.0%})"
    last = "\n" if done == total else ""
    sys.stdout.write(f"\r{line}{last}" if sys.stdout.isatty() else f"{line}\n")
    sys.stdout.flush()
