"""More or fewer workers for a run that goes on: `moma scale`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from moma_core.runtime import process
from moma_core.runtime.commandline import parse


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Changes how many workers a run keeps itself; those that joined come on top."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|HOST:PORT")]
    """Directory of the run, or address of its learner."""
    workers: int
    """Rollout workers that the run keeps from now on."""
    token_file: Path | None = None
    """File of the run's operator token; default: the one that the run's directory names."""
    ca: Path | None = None
    """File of the authority that signed for the run's servers; default: ca.pem beside the token."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    args = parse(Scale, argv, "moma scale")
    return process.main(lambda: _scale(args))


def _scale(args: Scale) -> None:
    from moma.engines import operating
    from moma_core.rpc.run import RunClient  # loads torch

    address, trust = operating.learner(args.run, args.token_file, args.ca)
    client = RunClient(address, trust=trust)
    client.scale(args.workers)
    client.close()
    sys.stdout.write(f"{args.run} is to keep {args.workers} workers; see: moma status {args.run}\n")
