"""The first two phases of a run: the data, and the world model that is fitted to it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from learner import checkpoint
from learner.algorithms.bc import BehaviourCloning
from learner.build import CLONE
from model_server.simulator import Simulator
from model_server.world_model import files
from model_server.world_model.fit import FitProgress, fit
from moma.engines.board import Board
from moma_core import tasks
from moma_core.config import Config
from moma_core.datasets import Dataset
from moma_core.datasets.view import works_on
from moma_core.nets.policy import Actors
from moma_core.ports import Dynamics
from moma_core.runtime import process, subject
from moma_core.runtime.run import RunDirectory
from moma_core.stopping import Stop, StoppedError

_BEST = 4
"""The best of this many episodes are imitated by a clone of their own."""
_FEWEST = 10
"""Episodes that are worth a clone of their own."""
_ALIKE = 1e-6
"""Relative deviation of returns below which no episode is better than another."""


def model(run: RunDirectory, config: Config, board: Board, stopping: Stop) -> None:
    """Fits the run's model unless it is there already, or none is needed.

    Args:
        run: where dataset and model lie or are to lie.
        config: the run's.
        board: told how far it is.
        stopping: true once the process shall stop.

    Raises:
        StoppedError: the process was told to stop meanwhile.
    """
    process.compute_on(config.threads)
    board.enter("data")
    dataset = subject.dataset(config, run.data)
    if config.eval.env:
        # One that does not fit is refused now, not at the end.
        subject.task(config, run.data).copies(1)
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


def clones(run: RunDirectory, config: Config, board: Board, stopping: Stop) -> None:
    """Clones the log's agents unless that was done already, or nobody begins as a clone.

    Args:
        run: where the dataset lies and the clones are to lie.
        config: the run's.
        board: told how far it is.
        stopping: true once the process shall stop.

    Raises:
        StoppedError: the process was told to stop meanwhile.
    """
    dataset = subject.dataset(config, run.data)
    if dataset is None or not config.imagines:
        return
    data = works_on(dataset, config.works_on)
    for name, among in _imitated(data).items():
        path = run.clones / name
        if path.is_dir():
            continue
        board.enter("clone")
        actors = Actors(data.spec, config.actor, config.seed)
        device = torch.device(config.device)
        cloning = BehaviourCloning(actors, data, config.bc, config.seed, device, among)
        while not cloning.done:
            cloning.update(())
            board.tell(f"{name}: round {cloning.version}/{cloning.rounds}")
            if stopping():
                raise StoppedError("stopped while cloning; nothing is kept of it")
        checkpoint.keep_policy(path, cloning.snapshot(), 0, None)


def _imitated(dataset: Dataset) -> dict[str, NDArray[np.int64] | None]:
    """Returns which episodes each clone imitates, None for all: the best where returns differ."""
    earned = dataset.returns()
    count = len(earned) // _BEST
    if count < _FEWEST or earned.std() <= _ALIKE * max(1.0, abs(earned.mean())):
        return {CLONE: None}
    return {CLONE: None, f"{CLONE}-best": np.sort(np.argsort(-earned, kind="stable")[:count])}


def dynamics(run: RunDirectory, config: Config) -> Dynamics:
    """Returns what the team is imagined in: the fitted model, or the task's simulator."""
    if config.dynamics == "simulator":
        return Simulator(tasks.get(config.task), config.threads or process.cores())
    return files.load_on(config.device, run.model, config.precision)
