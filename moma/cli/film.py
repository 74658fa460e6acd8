"""The team on film: `moma film RUN`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from moma.cli.played import Played
from moma_core.runtime import process
from moma_core.runtime.commandline import parse, take_run
from moma_core.runtime.run import RunDirectory


@dataclass(frozen=True, kw_only=True)
class Film(Played):
    """Films the first episode that a run's team plays in its environment: RUN/team.gif."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    return process.main(lambda: _film(argv))


def _film(argv: Sequence[str]) -> None:
    path, rest = take_run(argv, "moma film")
    args = parse(Film, rest, "moma film RUN")
    run = RunDirectory.open(path.resolve())
    config = args.config(run)
    stopping = process.begin()
    from moma.evaluation import film  # loads torch

    process.compute_on(config.threads)
    if film.BACKEND in os.environ:
        film.film(run, config)
    elif why := film.attempt(run, config, stopping.is_set):
        raise ValueError(f"no film: {why}")
    sys.stdout.write(f"{run.film}\n")
