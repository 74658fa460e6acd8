"""More or fewer workers for a run that goes on: `moma scale`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from moma.cli.operated import Operated
from moma_core.runtime import process
from moma_core.runtime.commandline import parse


@dataclass(frozen=True, kw_only=True)
class Scale(Operated):
    """Changes how many workers a run keeps itself; those that joined come on top."""

    workers: int
    """Rollout workers that the run keeps from now on."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    args = parse(Scale, argv, "moma scale")
    return process.main(lambda: _scale(args))


def _scale(args: Scale) -> None:
    with args.client() as client:
        client.scale(args.workers)
    sys.stdout.write(f"{args.run} is to keep {args.workers} workers; see: moma status {args.run}\n")
