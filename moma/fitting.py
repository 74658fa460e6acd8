"""The first two phases of a run: the data, and the world model that is fitted to it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from model_server.simulator import Simulator
from model_server.world_model import files
from model_server.world_model.fit import FitProgress, fit
from moma.engines import view
from moma.engines.board import Board
from moma_core import tasks
from moma_core.config import Config
from moma_core.datasets.view import works_on
from moma_core.ports import Dynamics
from moma_core.runtime import process
from moma_core.runtime.commandline import RunCommand, parse_run
from moma_core.runtime.run import RunDirectory
from moma_core.stopping import STOPPED, Stop, StoppedError


@dataclass(frozen=True, kw_only=True)
class Fit(RunCommand):
    """Makes or opens the data and fits the world model to it: RUN/model."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    return process.main(lambda: _fit(parse_run(Fit, argv, "moma fit")))


def _fit(args: Fit) -> int:
    run = args.open()
    with run.hold("train"):
        run.write_config(args.config)
        stopping = process.begin()
        board = Board(run, view.choose())
        try:
            model(run, args.config, board, stopping.is_set)
        except StoppedError as stopped:
            sys.stderr.write(f"{stopped}\n")
            return STOPPED
        finally:
            board.close()
    held_out = files.report(run.model)["held_out"]
    sys.stdout.write(
        f"model {run.model}: hold-out rmse per feature {_short(held_out['rmse'])} of "
        f"{_short(held_out['persistence_rmse'])} by persistence; coverage {held_out['coverage']}\n"
    )
    return 0


def model(run: RunDirectory, config: Config, board: Board, stopping: Stop) -> None:
    """Fits the run's model unless it is there already, or none is needed.

    Raises:
        StoppedError: the process was told to stop meanwhile.
    """
    process.compute_on(config.threads)
    board.enter("data")
    dataset = tasks.dataset(config, run.data)
    if config.eval.env:
        tasks.of(config, run.data).copies(1)  # one that does not fit is refused now, not at the end
    needed = config.imagines and config.dynamics == "learned"
    if dataset is None or not needed or run.model.is_dir():
        return
    board.enter("fit")

    def progress(look: FitProgress) -> None:
        best = look.best.sort().values[: config.model.elites].mean()
        board.tell(f"update {look.update}/{look.updates}, best hold-out score {float(best):.3f}")
        if stopping():
            raise StoppedError(f"stopped while fitting; nothing is kept of update {look.update}")

    data = works_on(dataset, config.works_on)
    files.save(
        fit(data, config.model, config.seed, progress, config.device),
        data,
        config.model,
        config.seed,
        run.model,
    )


def dynamics(run: RunDirectory, config: Config) -> Dynamics:
    """Returns what the team is imagined in: the fitted model, or the task's simulator."""
    if config.dynamics == "simulator":
        return Simulator(tasks.get(config.task), config.threads or process.cores())
    return files.load_on(config.device, run.model, config.precision)


def _short(values: object) -> str:
    numbers = values if isinstance(values, list) else []
    return " ".join(f"{value:.3g}" for value in numbers)
