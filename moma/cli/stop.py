"""The end of a run before its last round, saved: `moma stop`."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from moma.cli.operated import Operated
from moma.engines import operating
from moma_core.runtime import process
from moma_core.runtime.commandline import parse
from moma_core.runtime.run import RunDirectory

_END_S = 25.0
_LOOK_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Stop(Operated):
    """Lets a run save a checkpoint and end, all its processes with it; waits for that."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    args = parse(Stop, argv, "moma stop")
    return process.main(lambda: _stop(args))


def _stop(args: Stop) -> int:
    run = operating.directory(args.run)
    number = None if run is None else operating.own_process(run)
    if number is not None:  # ours, in whatever phase
        os.kill(number, signal.SIGTERM)
        return _ended(args.run, run, lambda: not operating.runs(number))
    from moma_core.ports import DeadlineError, UnavailableError  # loads torch

    with args.client() as client:
        try:
            client.stop()
        except (UnavailableError, DeadlineError) as error:
            raise ValueError(f"nobody answers at {client.address}: the run has ended") from error

        def gone() -> bool:
            try:
                client.status()
            except (UnavailableError, DeadlineError):
                return True
            return False

        return _ended(args.run, run, gone)


def _ended(name: str, run: RunDirectory | None, over: Callable[[], bool]) -> int:
    """Waits for the end; returns 1 where it does not come."""
    until = time.monotonic() + _END_S
    while not over():
        if time.monotonic() >= until:
            sys.stderr.write(f"{name} was told to stop and has not ended within {_END_S:.0f} s\n")
            return 1
        time.sleep(_LOOK_S)
    on = f"; go on with: moma train --resume {run.path}" if run is not None else ""
    sys.stdout.write(f"{name} has ended{on}\n")
    return 0
