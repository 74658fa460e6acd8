"""Rows of the data as the networks see them, and the minibatches that members draw from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from numpy.typing import NDArray
from torch import Tensor

from model_server.world_model.codes import Codes
from model_server.world_model.units import Units
from moma_core import seeds
from moma_core.config import ModelConfig
from moma_core.datasets import Dataset
from moma_core.datasets.holdout import Runs, row_bytes

_BLOCK = 1 << 26
"""Bytes of minibatches that are gathered from the data at a time."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows in the networks' units."""

    inputs: Float32[Tensor, "*N I"]
    targets: Float32[Tensor, "*N D"]
    code: Int64[Tensor, "*N"]
    """Codes of the next states; 0 where no feature is coded."""
    terminated: Bool[Tensor, "*N"]

    def to(self, device: str) -> Rows:
        """Returns the rows on a device, copied while the host goes on where it can be."""
        if device == "cpu":
            return self
        parts = {f.name: getattr(self, f.name).pin_memory() for f in fields(self)}
        return Rows(**{name: part.to(device, non_blocking=True) for name, part in parts.items()})

    def __getitem__(self, index: Int64[Tensor, "*M"]) -> Rows:
        return Rows(
            inputs=self.inputs[index],
            targets=self.targets[index],
            code=self.code[index],
            terminated=self.terminated[index],
        )


def rows(units: Units, codes: Codes, dataset: Dataset, index: NDArray[np.int64]) -> Rows:
    """Returns steps of the data as the networks see them.

    Args:
        units: the networks' units.
        codes: of the features that take few values.
        dataset: the log.
        index: which steps, in which order, `[N]`.
    """
    data = dataset.rows(index)
    return Rows(
        inputs=units.inputs(data.state, data.action, data.age),
        targets=units.targets(data),
        code=codes.encode(data.next_state),
        terminated=data.terminated,
    )


def draw(
    units: Units, codes: Codes, dataset: Dataset, train: Runs, config: ModelConfig, seed: int
) -> Iterator[Rows]:
    """Yields every update's rows `[E N ...]`, drawn uniformly by each member for itself.

    The rows of many updates are read together, in the order in which they lie in the file, so
    that the data may be larger than memory; what is drawn does not depend on how many.

    Args:
        units: the networks' units.
        codes: of the features that take few values.
        dataset: the log.
        train: the rows to draw from.
        config: members (E), rows of a batch (N), updates.
        seed: of the draws.
    """
    random = seeds.generator(seed, "batches")
    shape = (config.members, config.batch)
    block = max(1, _BLOCK // (config.members * config.batch * row_bytes(dataset.spec)))
    for begin in range(0, config.updates, block):
        count = min(block, config.updates - begin)
        drawn = [torch.randint(len(train), shape, generator=random) for _ in range(count)]
        places = torch.stack(drawn)
        index, pick = np.unique(train.at(places.numpy()), return_inverse=True)
        gathered = rows(units, codes, dataset, index)
        for own in torch.from_numpy(pick).reshape(places.shape):
            yield gathered[own]
