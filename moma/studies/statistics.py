"""What scores of several runs on several tasks come to (Agarwal et al. 2021). Pure.

"Deep reinforcement learning at the edge of the statistical precipice": interquartile mean,
stratified bootstrap, performance profiles, probability of improvement. Scores are one array of
runs `[R]` per task; tasks may have different numbers of runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Scores = Sequence[NDArray[np.float64]]
"""Scores of every task's runs, `[R]` each."""
_RESAMPLES = 2_000


def iqm(scores: Scores) -> float:
    """Returns the interquartile mean: of all runs of all tasks, without the outer quarters."""
    every = np.sort(np.concatenate(scores))
    cut = len(every) // 4
    return float(every[cut : len(every) - cut].mean())


def mean(scores: Scores) -> float:
    """Returns the mean over tasks of the mean over runs."""
    return float(np.mean([runs.mean() for runs in scores]))


def interval(
    scores: Scores, of: Callable[[Scores], float], seed: int = 0
) -> tuple[float, float] | None:
    """Returns a central 95 % interval by a bootstrap that is stratified: runs within each task.

    Args:
        scores: of the runs.
        of: what the interval is of.
        seed: of the draws.

    Returns:
        None where some task has a single run, which says nothing of how runs differ.
    """
    if min(map(len, scores)) < 2:
        return None
    random = np.random.default_rng(seed)
    drawn = [of([random.choice(runs, len(runs)) for runs in scores]) for _ in range(_RESAMPLES)]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def band(curves: NDArray[np.float64], seed: int = 0) -> tuple[NDArray[np.float64], ...] | None:
    """Returns lower and upper edge of a central 95 % interval of a mean curve, `[K]` each.

    Args:
        curves: of the runs, `[R K]`.
        seed: of the draws, which take whole runs.

    Returns:
        None for a single run.
    """
    if len(curves) < 2:
        return None
    drawn = np.random.default_rng(seed).integers(len(curves), size=(_RESAMPLES, len(curves)))
    low, high = np.percentile(curves[drawn].mean(1), (2.5, 97.5), axis=0)
    return low, high


def profile(scores: Scores, thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the share of runs above each threshold, the mean over tasks, `[K]`."""
    shares = [(runs[None] > thresholds[:, None]).mean(1) for runs in scores]
    return np.asarray(np.mean(shares, axis=0))


def improvement(one: Scores, other: Scores) -> float:
    """Returns the probability that a run of one is better than one of the other on a random task.

    Mann and Whitney's U over all pairs of runs, a tie counting half; the mean over tasks.

    Args:
        one: scores of an algorithm.
        other: those of another on the same tasks.
    """
    shares = []
    for mine, theirs in zip(one, other, strict=True):
        gap = mine[:, None] - theirs[None]
        shares.append(float((gap > 0).mean() + 0.5 * (gap == 0).mean()))
    return float(np.mean(shares))


def improvement_interval(one: Scores, other: Scores, seed: int = 0) -> tuple[float, float] | None:
    """Returns a central 95 % interval of `improvement`, by the same bootstrap as `interval`.

    Args:
        one: scores of an algorithm.
        other: those of another on the same tasks.
        seed: of the draws.
    """
    count = len(one)
    return interval([*one, *other], lambda both: improvement(both[:count], both[count:]), seed)
