"""What a run is doing, from its files or its learner: `moma status`."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any

import tyro

from moma.cli.operated import Operated
from moma.engines import operating
from moma.engines.board import ProcessInfo
from moma_core import documents
from moma_core.runtime import process
from moma_core.runtime.commandline import parse
from moma_core.runtime.progress import Progress, describe
from moma_core.runtime.run import RunDirectory

_STALE_S = 10.0
"""Seconds after which what was written is no news: both writers write every other second."""
_STALE = ", STALE: nothing newer has come"


@dataclass(frozen=True, kw_only=True)
class Status(Operated):
    """Says what a run is doing: phase, progress, every role, who waits for whom, faults."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|HOST:PORT")] = ""
    """Directory of the run, or address of its learner."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    args = parse(Status, argv, "moma status")
    return process.main(lambda: _status(args))


def _status(args: Status) -> None:
    if not args.run:
        raise ValueError("which run? moma status RUN, a run's directory or its learner's HOST:PORT")
    run = operating.directory(args.run)
    lines = _asked(args) if run is None else _written(run)
    name = args.run if run is None else str(run.path)
    said = lines or ["nothing has been started yet"]
    sys.stdout.write("\n".join([f"run {name}", *said]) + "\n")


def _asked(args: Status) -> list[str]:
    """Returns the lines for a run whose learner's address is all that is known."""
    with args.client() as client:
        said, source = client.status(), f"the status of {client.address}"
    return _learner(documents.parse(Progress, said, source))


def _written(run: RunDirectory) -> list[str]:
    """Returns the lines for a run whose files are here."""
    lines = []
    if run.status.exists():
        try:
            lines = _whole(run, documents.read(run.status))
        except (AttributeError, KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"{run.status} is no run's status: {error!r}") from error
    if run.progress.exists():
        return [*lines, *_learner(documents.load(Progress, run.progress))]
    return lines


def _whole(run: RunDirectory, status: dict[str, Any]) -> list[str]:
    """Returns the lines for a run that `moma train` runs or ran."""
    host, alive = status["host"], status["phase"] != "end"
    if host == socket.gethostname():
        alive = operating.own_process(run) is not None
    state, since = "running" if alive else "not running", _age(status["written"], alive=alive)
    lines = [
        f"{state}, phase {status['phase']} ({host}, process {status['pid']}{since}): "
        f"{status['detail']}"
    ]
    if status["progress"] and not run.progress.exists():  # one process played all roles
        lines.append(describe(documents.build(Progress, status["progress"])))
    for child in (documents.build(ProcessInfo, said) for said in status["processes"]):
        lines.append(
            f"  {child.role}: {child.host or host}, process {child.pid}, "
            f"{child.address or 'no address'}, {child.restarts} restarts, "
            f"{child.state if alive else 'ended'}"
        )
    return lines + [f"  fault {line}" for line in status["faults"]]


def _learner(progress: Progress) -> list[str]:
    """Returns the lines for what the learner says of itself and of who works for it."""
    here = progress.host == socket.gethostname()
    alive = not progress.ended and (not here or operating.runs(progress.pid))
    where, since = f"{progress.host}, process {progress.pid}", _age(progress.written, alive=alive)
    if _STALE in since:  # whom it waited for was then
        progress = replace(progress, waiting_for="")
    state = "running" if alive else "ended"
    lines = [f"learner {state} ({where}{since}): {describe(progress)}"]
    if progress.workers_wanted is not None:
        lines.append(f"  {progress.workers_wanted} workers are wanted")
    for role in progress.roles:
        version = f"version {role.version}, " if role.version else ""
        doing = f", {role.doing}" if role.doing and alive else ""
        seen = f", seen {role.seen_s:.0f} s before"
        lines.append(f"  {role.name}: {version}{role.rate:,.0f}/s{seen}{doing}")
    return lines


def _age(written: str, *, alive: bool) -> str:
    """Says when something was written, and that it is stale where there should be news since."""
    if not written:
        return ""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(written)).total_seconds()
    stale = _STALE if alive and seconds > _STALE_S else ""
    return f", written {max(0.0, seconds):.0f} s ago{stale}"
