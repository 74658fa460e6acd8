"""The first two phases of a run: the data, and the world model that is fitted to it."""

from __future__ import annotations

from learner import clones as cloned
from model_server.simulator import Simulator
from model_server.world_model import files
from model_server.world_model.fit import FitProgress, fit
from moma.engines.board import Board
from moma_core import tasks
from moma_core.checks import check_model
from moma_core.config import Config
from moma_core.datasets.view import works_on
from moma_core.ports import Dynamics
from moma_core.runtime import process, subject
from moma_core.runtime.run import RunDirectory
from moma_core.stopping import Stop, StoppedError


def model(run: RunDirectory, config: Config, board: Board, stopping: Stop) -> None:
    """Fits the run's model unless it is there already, or none is needed.

    The run's config is replaced once it is known that it fits what there is.

    Args:
        run: where dataset and model lie or are to lie.
        config: the run's.
        board: told how far it is.
        stopping: true once the process shall stop.

    Raises:
        StoppedError: the process was told to stop meanwhile.
        ValueError: the run, or its model, was made from another log.
    """
    process.compute_on(config.threads)
    board.enter("data")
    dataset = subject.dataset(config, run.data)
    if config.eval.env:
        # One that does not fit is refused now, not at the end.
        subject.task(config, run).copies(1)
    log = subject.keep(run, config, dataset).data_sha256
    needed = config.imagines and config.dynamics == "learned"
    if needed and run.model.is_dir():
        check_model(files.card(run.model), subject.team(config, dataset), str(run.model), log)
    run.write_config(config)
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
        config.seed,
        run.model,
        log,
    )


def clones(run: RunDirectory, config: Config, board: Board, stopping: Stop) -> None:
    """Clones the log's agents unless that was done already, or nothing is imagined from a log.

    Args:
        run: where the dataset lies and the clones are to lie.
        config: the run's.
        board: told how far it is.
        stopping: true once the process shall stop.

    Raises:
        StoppedError: the process was told to stop meanwhile.
    """
    dataset = subject.dataset(config, run.data)
    wanted = cloned.missing(config, dataset, run.clones)
    if dataset is not None and wanted:
        board.enter("clone")
        cloned.make(config, dataset, run.clones, wanted, board.tell, stopping)


def dynamics(run: RunDirectory, config: Config) -> Dynamics:
    """Returns what the team is imagined in: the fitted model, or the task's simulator."""
    if config.dynamics == "simulator":
        return Simulator(tasks.get(config.task), config.threads or process.cores())
    return files.load_on(config.device, run.model, config.precision)
