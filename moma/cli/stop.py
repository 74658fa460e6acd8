"""The end of a run before its last round, saved: `moma stop`."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from moma_core.runtime import process
from moma_core.runtime.commandline import parse
from moma_core.runtime.run import RunDirectory

_END_S = 25.0
_LOOK_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Lets a run save a checkpoint and end, all its processes with it; waits for that."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|HOST:PORT")]
    """Directory of the run, or address of its learner."""
    token_file: Path | None = None
    """File of the run's operator token; default: the one that the run's directory names."""
    ca: Path | None = None
    """File of the authority that signed for the run's servers; default: ca.pem beside the token."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    args = parse(Stop, argv, "moma stop")
    return process.main(lambda: _stop(args))


def _stop(args: Stop) -> int:
    from moma.engines import operating

    run = operating.directory(args.run)
    number = None if run is None else operating.own_process(run)
    if number is not None:  # ours, in whatever phase
        os.kill(number, signal.SIGTERM)
        return _ended(args.run, run, lambda: not operating.runs(number))
    from moma_core.ports import DeadlineError, UnavailableError  # loads torch
    from moma_core.rpc.run import RunClient

    address, trust = operating.learner(args.run, args.token_file, args.ca)
    client = RunClient(address, trust=trust)
    try:
        client.stop()
    except (UnavailableError, DeadlineError) as error:
        raise ValueError(f"nobody answers at {address}: the run has ended") from error

    def gone() -> bool:
        try:
            client.status()
        except (UnavailableError, DeadlineError):
            return True
        return False

    try:
        return _ended(args.run, run, gone)
    finally:
        client.close()


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
