"""Clones of the log's agents, which policies may begin as and stay near: made once, then kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learner import checkpoint
from learner.algorithms.bc import BehaviourCloning
from moma_core.config import Config
from moma_core.datasets import Dataset
from moma_core.datasets.view import works_on
from moma_core.nets.policy import Actors
from moma_core.stopping import Stop, StoppedError

LOG, BEST = "bc", "bc-best"
"""Names of the clones of the whole log and of its best episodes."""
_BEST = 4
"""Of so many episodes the best is imitated by a clone of its own."""
_FEWEST = 10
"""Episodes that are worth a clone of their own."""
_ALIKE = 1e-6
"""Relative deviation of returns below which no episode is better than another."""

Missing = Mapping[str, NDArray[np.int64] | None]
"""Clones to make, with the episodes that each imitates; None: all."""


def missing(config: Config, dataset: Dataset | None, clones: Path) -> Missing:
    """Returns which clones are to be made still, for a team that is imagined.

    Args:
        config: the run's.
        dataset: the log; None where there is none.
        clones: where they are kept.
    """
    if dataset is None or not config.imagines:
        return {}
    wanted: dict[str, NDArray[np.int64] | None] = {LOG: None}
    earned = dataset.returns()
    count = len(earned) // _BEST
    if count >= _FEWEST and earned.std() > _ALIKE * max(1.0, abs(earned.mean())):
        wanted[BEST] = np.sort(np.argsort(-earned, kind="stable")[:count])
    return {name: among for name, among in wanted.items() if not (clones / name).is_dir()}


def make(
    config: Config,
    dataset: Dataset,
    clones: Path,
    wanted: Missing,
    tell: Callable[[str], None],
    stopping: Stop,
) -> None:
    """Clones the log's agents and keeps what came of it.

    Args:
        config: the run's.
        dataset: the log.
        clones: where they are kept.
        wanted: which ones, as `missing` says.
        tell: told how far it is.
        stopping: true once the process shall stop.

    Raises:
        StoppedError: the process was told to stop meanwhile.
    """
    data, device = works_on(dataset, config.works_on), torch.device(config.device)
    for name, among in wanted.items():
        actors = Actors(data.spec, config.actor, config.seed)
        cloning = BehaviourCloning(actors, data, config.bc, config.seed, device, among)
        while not cloning.done:
            cloning.update(())
            tell(f"{name}: round {cloning.version}/{cloning.rounds}")
            if stopping():
                raise StoppedError(f"stopped while cloning; nothing is kept of {name}")
        checkpoint.keep_policy(clones / name, cloning.snapshot(), 0, None)


def parameters(clones: Path) -> dict[str, Tensor]:
    """Reads the parameters of the clones of the whole log, verified."""
    return checkpoint.actors(clones / LOG)
