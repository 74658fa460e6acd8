"""A task's data from trained experts: which of them make which data, and how they play it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path

from moma.log_tools.collect import Cast, Source, collect
from moma.log_tools.experts import Expert
from moma_core.datasets import Dataset
from moma_core.tasks import Task

REPLAYS = ("random", "medium", "expert", "medium-replay", "full-replay")
"""What is made of one expert's training."""


def variants(task: Task) -> dict[str, tuple[str, ...]]:
    """Returns what trained data a task has: each variant with the conventions it is made of."""
    names = tuple(task.experts)
    if len(names) == 1:
        return dict.fromkeys(REPLAYS, names)
    return {**{name: (name,) for name in names}, "mix": names} if names else {}


def conventions(task: Task, variant: str) -> tuple[str, ...]:
    """Returns the names of the conventions whose experts make this data.

    Raises:
        ValueError: the task has no such data; the text holds the nearest names.
    """
    plays = variants(task)
    if variant not in plays:
        known = [*task.variants, *plays]
        near = difflib.get_close_matches(variant, known, n=3, cutoff=0.3) or known
        raise ValueError(
            f"task {task.spec.name} has no data {variant!r}; perhaps you meant: {', '.join(near)}"
        )
    return plays[variant]


def play(
    task: Task,
    variant: str,
    experts: Sequence[Expert],
    out: Path,
    transitions: int,
    progress: Callable[[int, int], None],
) -> Dataset:
    """Lets trained experts play the task's data, in equal parts.

    Args:
        task: as the team of the data sees it.
        variant: which data.
        experts: of the variant's conventions, in their order.
        out: the dataset's directory.
        transitions: how many in all.
        progress: told how many of how many there are after every piece.
    """
    kind = variant if variant in REPLAYS else "expert"
    sources: list[Source] = []
    for expert in experts:
        sources += expert.sources(kind, transitions // len(experts))
    first = experts[0]
    cast = Cast(expert=first.task, actor=first.config.actor, task=task)
    origin = {"variant": variant, "seed": first.seed}
    return collect(cast, sources, out, first.seed, origin, progress, first.threads)


def summary(made: Dataset, task: Task) -> str:
    """Returns in one line what was made."""
    facts = (f", {what} {value:.3f}" for what, value in task.facts(made).items())
    return (
        f"{made.path}: {made.transitions:,} transitions in {made.episodes:,} episodes of "
        f"{made.spec.name}, mean return {made.returns().mean():.2f}{''.join(facts)}"
    )
