"""What a situation says of an action: kernel ridge regression, and what it leaves over."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

_WIDTHS = (0.25, 0.5, 1.0, 2.0)
"""Widths of the kernel, in median distances."""
_RIDGES = 10.0 ** np.arange(-5, 2.5, 0.5)
_TINY = 1e-9
_LINEAR = 0.2
"""Weight of the kernel's linear part against its local one."""


def squared_distances(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the squared Euclidean distance between any two rows, `[n n]`."""
    square = (x * x).sum(axis=1)
    distance: NDArray[np.float64] = square[:, None] + square[None] - 2 * x @ x.T
    return np.maximum(distance, 0)


def leave_one_out(
    situation: NDArray[np.float64], action: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Predicts every row's action from the other rows and returns what is left over.

    Kernel ridge regression; for each column the kernel's width and the ridge with the smallest
    leave-one-out error are taken, or the mean where none does better. What a row's own fit leaves
    is divided by 1 - its own weight in that fit (Hastie, Tibshirani and Friedman, The Elements of
    Statistical Learning, section 7.10).

    Args:
        situation: `[n S]`.
        action: `[n C]`.

    Returns:
        Action minus prediction, `[n C]`.
    """
    count = len(situation)
    action = action - action.mean(axis=0)
    left = action * count / (count - 1)
    error = (left**2).sum(axis=0)
    for kernel in _kernels(situation):
        value, vector = (part.numpy() for part in torch.linalg.eigh(torch.from_numpy(kernel)))
        turned, square = vector.T @ action, vector**2
        for ridge in _RIDGES:
            shrink = np.maximum(value, 0) / (np.maximum(value, 0) + ridge)
            own = np.minimum(square @ shrink, 1 - 1e-9)
            tried = (action - vector @ (shrink[:, None] * turned)) / (1 - own)[:, None]
            better = (tried**2).sum(axis=0) < error
            left = np.where(better, tried, left)
            error = (left**2).sum(axis=0)
    return left


def _kernels(situation: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    distance = squared_distances(situation)
    typical = max(float(np.median(distance[np.triu_indices(len(distance), 1)])), _TINY)
    linear = situation @ situation.T
    linear = _LINEAR * (1 + linear / max(float(np.diag(linear).mean()), _TINY))
    return [linear + np.exp(-distance / (2 * width**2 * typical)) for width in _WIDTHS]
