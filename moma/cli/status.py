"""What a run is doing, from its files: `moma status RUN`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from moma_core import documents
from moma_core.runtime import process
from moma_core.runtime.commandline import parse, take_run
from moma_core.runtime.progress import Progress, describe
from moma_core.runtime.run import RunDirectory


@dataclass(frozen=True, kw_only=True)
class Status:
    """Says what a run is doing: phase, progress, processes, whom it waits for, faults."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    return process.main(lambda: _status(argv))


def _status(argv: Sequence[str]) -> None:
    path, rest = take_run(argv, "moma status")
    parse(Status, rest, "moma status RUN")
    run = RunDirectory.open(path)
    lines = []
    if run.status.exists():
        try:
            lines = _whole(documents.read(run.status))
        except (AttributeError, KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"{run.status} is no run's status: {error!r}") from error
    if not lines and run.progress.exists():
        lines = [f"learner: {describe(documents.load(Progress, run.progress))}"]
    sys.stdout.write(
        "\n".join([f"run {run.path}", *(lines or ["nothing has been started yet"])]) + "\n"
    )


def _whole(status: dict[str, Any]) -> list[str]:
    """Returns the lines for a run that `moma train` runs or ran."""
    alive = psutil.pid_exists(status["pid"]) and status["phase"] != "end"
    state = "running" if alive else "not running"
    lines = [f"{state}, phase {status['phase']} (written {status['written']}): {status['detail']}"]
    if status["progress"] and not status["detail"]:
        lines.append(describe(documents.build(Progress, status["progress"])))
    for child in status["processes"]:
        state = "alive" if alive and child["alive"] else "ended"
        where, restarts = child["address"] or "no address", child["restarts"]
        lines.append(
            f"  {child['role']}: process {child['pid']}, {where}, {restarts} restarts, {state}"
        )
    return lines + [f"  fault {line}" for line in status["faults"]]
