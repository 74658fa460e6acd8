"""The tasks that there are, in one table: `moma tasks`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from moma_core.runtime import process
from moma_core.runtime.commandline import parse

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
    from rich.console import Console

    from moma.reports.task_table import table  # loads torch

    Console(file=sys.stdout, width=_WIDTH).print(table())
