"""The team on film: `moma film RUN`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from moma_core import own_code
from moma_core.runtime import process
from moma_core.runtime.commandline import parse, take_run
from moma_core.runtime.run import RunDirectory


@dataclass(frozen=True, kw_only=True)
class Film:
    """Films the first episode that a run's team plays in its environment: RUN/team.gif."""

    env: str = ""
    """Environment to play in: package.module:factory of a ParallelEnv; default: the task's own."""
    task: str = ""
    """Task of the run where it is code: package.module:task, as it was trained with."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    return process.main(lambda: _film(argv))


def _film(argv: Sequence[str]) -> None:
    path, rest = take_run(argv, "moma film")
    args = parse(Film, rest, "moma film RUN")
    run = RunDirectory.open(path.resolve())
    config = run.config()
    if own_code.is_place(config.task):  # no file of a run names code to be run
        own_code.allow(args.task)
        config = replace(config, task=args.task)
    config = replace(config, eval=replace(config.eval, env=args.env))
    stopping = process.begin()
    from moma.evaluation import film  # loads torch

    process.compute_on(config.threads)
    if film.BACKEND in os.environ:
        film.film(run, config)
    elif why := film.attempt(run, config, stopping.is_set):
        raise ValueError(f"no film: {why}")
    sys.stdout.write(f"{run.film}\n")
