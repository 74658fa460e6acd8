"""Data and world model alone: `moma fit`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from moma_core.runtime import process
from moma_core.runtime.commandline import RunCommand, parse_run


@dataclass(frozen=True, kw_only=True)
class Fit(RunCommand):
    """Makes or opens the data and fits the world model to it: RUN/model."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    return process.main(lambda: _fit(parse_run(Fit, argv, "moma fit")))


def _fit(args: Fit) -> int:
    from model_server.world_model import files
    from moma import fitting
    from moma.engines import view
    from moma.engines.board import Board
    from moma_core.stopping import STOPPED, StoppedError

    stopping = process.begin()
    with args.opened() as run, run.hold("train"):
        process.goes_on_with(f"moma fit --resume {run.path}")
        board = Board(run, view.choose())
        try:
            fitting.model(run, args.config, board, stopping.is_set)
        except StoppedError as stopped:
            sys.stderr.write(f"{stopped}\n")
            return STOPPED
        finally:
            board.close()
    held_out = files.report(run.model)["held_out"]
    covered = _range(held_out["coverage"])
    sys.stdout.write(
        f"model {run.model}: hold-out rmse per feature {_short(held_out['rmse'])} of "
        f"{_short(held_out['persistence_rmse'])} by persistence; coverage {covered}\n"
    )
    return 0


def _range(coverage: object) -> str:
    """The lowest and the highest feature's share, for each interval."""
    levels = coverage if isinstance(coverage, dict) else {}
    return ", ".join(
        f"of {float(level):.0%} intervals {min(shares.values()):.0%} to {max(shares.values()):.0%}"
        for level, shares in levels.items()
    )


def _short(values: object) -> str:
    numbers = values if isinstance(values, list) else []
    return " ".join(f"{value:.3g}" for value in numbers)
