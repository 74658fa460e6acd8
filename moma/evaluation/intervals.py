"""Intervals of mean returns. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_RESAMPLES = 10_000
_STUDENT = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26}
"""Student's t of a central 95 %, by degrees of freedom; from 10 on that of 10 is used."""


def student(freedom: int) -> float:
    """Returns Student's t of a central 95 %; 0 where one value alone has no spread."""
    return _STUDENT.get(freedom, 2.23) if freedom else 0.0


def bootstrapped(returns: NDArray[np.float32], seed: int) -> tuple[float, float]:
    """Returns the central 95 % of bootstrapped means.

    Args:
        returns: of episodes, `[B]`.
        seed: of the draws.
    """
    random = np.random.default_rng(seed)
    means = random.choice(returns, (_RESAMPLES, len(returns))).mean(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def over_members(means: NDArray[np.float64], returns: NDArray[np.float32]) -> tuple[float, float]:
    """Returns an interval for the mean return where members of an ensemble differ in theirs.

    The truth is taken for one more member, so that their spread is not divided by their number.

    Args:
        means: each member's, `[E]`.
        returns: of all episodes, `[B]`, whose own chance is added.
    """
    spread = student(len(means) - 1) * means.std(ddof=min(1, len(means) - 1))
    chance = 1.96 * returns.std() / np.sqrt(len(returns))
    half, centre = float(np.hypot(spread, chance)), float(returns.mean())
    return centre - half, centre + half
