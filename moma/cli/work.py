"""Workers for a run, on this machine or a further one: `moma work`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from moma_core.address import Address
from moma_core.runtime import process
from moma_core.runtime.commandline import parse


@dataclass(frozen=True, kw_only=True)
class Work:
    """Imagines for a run until it is over; any number may join or leave, from anywhere.

    All that it needs is the learner's address and, beyond loopback, a token.
    """

    join: Address
    """HOST:PORT of the run's learner."""
    token_file: Path | None = None
    """File of the run's worker token, made by `moma keys`; needed beyond loopback."""
    ca: Path | None = None
    """File of the authority that signed for the run's servers; default: ca.pem beside the token."""
    workers: int = 1
    """Rollout worker processes of this machine."""
    name: str = ""
    """Beginning of its workers' names, before machine and process number."""
    wait: float = 60.0
    """Minutes without an answer of the learner after which all end; 0: no such limit."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Device of this machine's own model server, where the run has none that it can call."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    args = parse(Work, argv, "moma work")
    return process.main(lambda: _work(args))


def _work(args: Work) -> int:
    from moma_core.rpc.trust import Pass

    if args.workers < 1:
        raise ValueError(f"--workers {args.workers}: need 1 at least")
    trust = None if args.token_file is None else Pass(token=args.token_file.absolute(), ca=args.ca)

    from moma.engines.joining import Guest  # loads torch
    from moma.engines.supervision import RoleError
    from moma_core.stopping import STOPPED, StoppedError

    stopping = process.begin()
    with TemporaryDirectory(prefix="moma-work-") as scratch:
        guest = Guest(
            args.join,
            trust,
            Path(scratch),
            stopping.is_set,
            process.say,
            name=args.name,
            wait=args.wait,
        )
        try:
            return 0 if guest.work(args.workers, args.device) else STOPPED
        except StoppedError as stopped:
            process.say(str(stopped))
            return STOPPED
        except RoleError as error:
            sys.stderr.write(f"error: {error}\n")
            return 1
