"""Makes a task's data from nothing: `moma data make TASK[/VARIANT] --out DIR`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from moma.cli import train
from moma.log_tools.collect import Cast, Source, collect
from moma.log_tools.experts import Expert
from moma_core import tasks
from moma_core.config import DataConfig
from moma_core.datasets import Dataset
from moma_core.runtime import process
from moma_core.runtime.commandline import parse
from moma_core.stopping import STOPPED, StoppedError
from moma_core.tasks import Task
from moma_core.tasks.task import near

REPLAYS = ("random", "medium", "expert", "medium-replay", "full-replay")
"""What is made of one expert's training."""


@dataclass(frozen=True, kw_only=True)
class Make:
    """Makes a task's data: by its script, or by experts that are trained first, online.

    The same seed gives the same data. Interrupted, it goes on where it was.
    """

    out: Path
    """The dataset's directory."""
    seed: int = 0
    """Seed of the experts' training and of the episodes."""
    transitions: int = 100_000
    """How many to make; a script makes whole episodes, as many as fit."""
    experts: Path = Path("runs/experts")
    """Where the runs that train experts lie; a finished one is not trained again."""
    rounds: int = 0
    """Rounds of an expert's training; 0: as its recipe says."""
    threads: int = 0
    """Threads; 0: one per core."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    return process.main(lambda: _make(argv))


def _make(argv: Sequence[str]) -> int:
    words = list(argv)
    name = words.pop(0) if words and not words[0].startswith("-") else ""
    args = parse(Make, words, "moma data make TASK[/VARIANT]")
    if not name:
        raise ValueError(f"data of which task? moma data make TASK, one of: {list(tasks.NAMES)}")
    task_name, _, variant = name.partition("/")
    task = tasks.get(task_name)
    if args.out.exists():
        raise ValueError(f"{args.out} exists already; give another --out, or remove it")
    if variant in task.variants or (not variant and task.variants):
        made = _scripted(task, variant, args)
    else:
        try:
            made = _trained(task, variant, args)
        except StoppedError as stopped:
            sys.stderr.write(f"{stopped}; the same command goes on\n")
            return STOPPED
    sys.stdout.write(
        f"{made.path}: {made.transitions:,} transitions in {made.episodes:,} episodes of "
        f"{made.spec.name}, mean return {made.returns().mean():.2f}"
        + "".join(f", {what} {value:.3f}" for what, value in task.facts(made).items())
        + "\n"
    )
    return 0


def _scripted(task: Task, variant: str, args: Make) -> Dataset:
    episodes = max(10, args.transitions // task.spec.episode_limit)
    return task.make_data(args.out, DataConfig(episodes=episodes, variant=variant), args.seed)


def _trained(task: Task, variant: str, args: Make) -> Dataset:
    """Trains what experts are missing, then plays them.

    Raises:
        StoppedError: the process was told to stop meanwhile.
    """
    plays = variants(task)
    if variant not in plays:
        known = near(variant, [*task.variants, *plays])
        raise ValueError(
            f"task {task.spec.name} has no data {variant!r}; perhaps you meant: {known}"
        )
    threads = args.threads or process.cores()
    experts = [
        Expert(task.experts[name], args.experts, args.seed, args.rounds, threads)
        for name in plays[variant]
    ]
    torch.set_num_threads(threads)
    for expert in experts:
        if not expert.trained and train.main(expert.command) != 0:
            raise StoppedError(f"the training of {expert.run.path} did not come to its end")
    torch.set_num_threads(1)  # a second team would spin on the cores that MuJoCo's needs
    stopping = process.begin()
    sources: list[Source] = []
    for expert in experts:
        kind = variant if variant in REPLAYS else "expert"
        sources += expert.sources(kind, args.transitions // len(experts))
    cast = Cast(expert=experts[0].task, actor=experts[0].config.actor, task=task)

    def progress(done: int, total: int) -> None:
        _show(done, total)
        if stopping.is_set() and done < total:
            raise StoppedError(f"stopped at {done:,} of {total:,} transitions")

    origin = {"variant": variant, "seed": args.seed}
    return collect(cast, sources, args.out, args.seed, origin, progress, threads)


def variants(task: Task) -> dict[str, tuple[str, ...]]:
    """Returns what trained data a task has: each variant with the conventions it is made of."""
    names = tuple(task.experts)
    if len(names) == 1:
        return dict.fromkeys(REPLAYS, names)
    return {**{name: (name,) for name in names}, "mix": names} if names else {}


def _show(done: int, total: int) -> None:
    line = f"{done:,} of {total:,} transitions ({done / total:.0%})"
    last = "\n" if done == total else ""
    sys.stdout.write(f"\r{line}{last}" if sys.stdout.isatty() else f"{line}\n")
    sys.stdout.flush()
