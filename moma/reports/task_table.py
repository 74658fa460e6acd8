"""The tasks in one table: agents, widths, step limit, data, the returns that score 0 and 1."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Column, Table

from moma.log_tools.make import variants
from moma_core import tasks
from moma_core.tasks import Task


def table() -> Table:
    """Returns the table, a row for each task."""
    made = Table(
        "task", "agents", "observation", "action", "state", "limit", "data variants",
        Column("return at 0", justify="right"), Column("return at 1", justify="right"),
        box=None, pad_edge=False,
    )  # fmt: skip
    for name in tasks.names():
        made.add_row(*_row(tasks.get(name)))
    return made


def _row(task: Task) -> tuple[str, ...]:
    spec = task.spec
    acted = zip(spec.action_low, spec.discrete, strict=True)
    return (
        spec.name,
        str(len(spec.agents)),
        _said(str(len(index)) for index in spec.observation_index),
        _said("one of " * chooses + str(len(low)) for low, chooses in acted),
        str(spec.state_width),
        str(spec.episode_limit),
        ", ".join(dict.fromkeys([*task.variants, *variants(task)])),
        _return(task.return_at_zero),
        _return(task.return_at_one),
    )


def _return(value: float | None) -> str:
    return "no scale" if value is None else f"{value:.3f}"


def _said(of_each: Iterable[str]) -> str:
    """Returns one word where all agents are alike, else one per agent."""
    words = list(of_each)
    return words[0] if len(set(words)) == 1 else "/".join(words)
