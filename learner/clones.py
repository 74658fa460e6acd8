"""Clones of the log's agents, which policies may begin as and stay near: made once, then kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from learner import checkpoint
from learner.algorithms.bc import BehaviourCloning
from moma_core.config import Config
from moma_core.datasets import Dataset
from moma_core.datasets.view import works_on
from moma_core.nets.policy import Actors
from moma_core.stopping import Stop, StoppedError

LOG = "log"
"""Name of the clone of the whole log."""


def missing(config: Config, clones: Path) -> bool:
    """Returns whether a log is to be cloned still, for a team that is imagined."""
    return config.imagines and not (clones / LOG).is_dir()


def make(
    config: Config, dataset: Dataset, clones: Path, tell: Callable[[str], None], stopping: Stop
) -> None:
    """Clones the log's agents and keeps what came of it.

    Args:
        config: the run's.
        dataset: the log.
        clones: where they are kept.
        tell: told how far it is.
        stopping: true once the process shall stop.

    Raises:
        StoppedError: the process was told to stop meanwhile.
    """
    data = works_on(dataset, config.works_on)
    actors, device = Actors(data.spec, config.actor, config.seed), torch.device(config.device)
    cloning = BehaviourCloning(actors, data, config.bc, config.seed, device)
    while not cloning.done:
        cloning.update(())
        tell(f"round {cloning.version}/{cloning.rounds}")
        if stopping():
            raise StoppedError("stopped while cloning; nothing is kept of it")
    checkpoint.keep_policy(clones / LOG, cloning.snapshot(), 0, None)


def parameters(clones: Path) -> dict[str, Tensor]:
    """Reads the parameters of the clones of the whole log, verified."""
    return checkpoint.actors(clones / LOG)
