"""The tasks that there are, in one table: `moma tasks`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Column, Table

from moma_core import tasks
from moma_core.runtime import process
from moma_core.runtime.commandline import parse
from moma_core.tasks import Task

_HEAD = (
    "task", "agents", "observation", "action", "state", "limit", "data variants",
    Column("return at 0", justify="right"), Column("return at 1", justify="right"),
)  # fmt: skip
_WIDTH = 200
"""Columns at most, also on a narrower terminal: a folded line says more than a shortened one."""


@dataclass(frozen=True, kw_only=True)
class Tasks:
    """Lists the tasks: agents, widths per agent, state features, step limit, data, score's ends."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    parse(Tasks, argv, "moma tasks")
    return process.main(_tasks)


def _tasks() -> None:
    table = Table(*_HEAD, box=None, pad_edge=False)
    for name in tasks.NAMES:
        table.add_row(*_row(tasks.get(name)))
    Console(file=sys.stdout, width=_WIDTH).print(table)


def _row(task: Task) -> tuple[str, ...]:
    spec = task.spec
    acted = _widths(len(low) for low in spec.action_low)
    return (
        spec.name,
        str(len(spec.agents)),
        _widths(len(index) for index in spec.observation_index),
        f"one of {acted}" if spec.discrete else acted,
        str(spec.state_width),
        str(spec.episode_limit),
        ", ".join(task.variants),
        f"{task.return_at_zero:.3f}",
        f"{task.return_at_one:.3f}",
    )


def _widths(widths: Iterable[int]) -> str:
    """Returns one number where all agents are alike, else one per agent."""
    each = list(widths)
    return str(each[0]) if len(set(each)) == 1 else "/".join(map(str, each))
