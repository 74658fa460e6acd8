"""How much of the state-action space a dataset covers: SACo (arXiv 2409.12001)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moma.log_tools.blocks import Block, blocks, pieces
from moma.log_tools.findings import hashes, repeated
from moma.log_tools.findings.values import Extremes
from moma_core.datasets.dataset import Dataset

CELLS = 5
"""Equal intervals that a feature's range, or an action's bounds, are divided into."""


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Distinct pairs over all pairs: 1, every pair once; near 0, the same few again and again.

    SACo is the number of distinct (joint state, joint action) pairs divided by the number of
    transitions (arXiv 2409.12001). For continuous data nearly every pair is distinct, so it is
    counted twice.
    """

    exact: float
    """SACo of the values as they are."""
    binned: float
    """SACo of cells: every feature of the state between its extremes and every dimension of the
    joint action between its bounds in `CELLS` equal intervals."""
    visited: int
    """Distinct cells of the joint action alone."""
    possible: float
    """Cells of the joint action that there are; a discrete agent has one for each choice."""


def coverage(dataset: Dataset, extremes: Extremes) -> Coverage:
    """Counts in one pass over the dataset for each figure, with 8 bytes a transition.

    Args:
        dataset: a sound one.
        extremes: those of the state's features.
    """
    spec = dataset.spec
    bounds = [bound.numpy() for bound in spec.action_bounds]

    def exact(block: Block) -> NDArray[np.uint64]:
        return hashes(block.action, onto=hashes(block.states)[block.at])

    def binned(block: Block) -> NDArray[np.uint64]:
        state = _cells(block.states, extremes.low, extremes.high)
        return hashes(_cells(block.action, *bounds), onto=hashes(state)[block.at])

    count = dataset.transitions
    pairs = _distinct(count, (exact(block) for block in blocks(dataset)))
    cells = _distinct(count, (binned(block) for block in blocks(dataset)))
    visited = _distinct(
        count, (hashes(_cells(part, *bounds)) for _, part in pieces(dataset.action))
    )
    possible = [
        float(len(low)) if chooses else float(CELLS) ** len(low)
        for low, chooses in zip(spec.action_low, spec.discrete, strict=True)
    ]
    return Coverage(
        exact=pairs / count,
        binned=cells / count,
        visited=visited,
        possible=math.prod(possible),
    )


def _cells(
    value: NDArray[np.float32], low: NDArray[np.float32], high: NDArray[np.float32]
) -> NDArray[np.float32]:
    width = np.where(high > low, high - low, 1)
    return np.clip(np.floor((value - low) * (CELLS / width)), 0, CELLS - 1).astype(np.float32)


def _distinct(count: int, parts: Iterable[NDArray[np.uint64]]) -> int:
    found, begin = np.empty(count, np.uint64), 0
    for part in parts:
        found[begin : begin + len(part)] = part
        begin += len(part)
    found.sort()
    return count - repeated(found)[0]
