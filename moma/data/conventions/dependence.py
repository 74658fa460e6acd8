"""Do agents choose together? A permutation test on pairs of episodes that are alike."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

_NEAR = 0.1
"""Share of all pairs of matches that count as neighbours."""


@dataclass(frozen=True, kw_only=True)
class Dependence:
    """How strongly any two agents' choices hang together, and how often chance does as much."""

    strength: NDArray[np.float64]
    """`[A A]`, 0: not at all, 1: one choice gives the other."""
    p_value: NDArray[np.float64]
    """`[A A]`, corrected for the number of pairs of agents."""
    null: NDArray[np.float64]
    """The largest strength of any two agents after each random swap, `[F]`."""


def match(distance: NDArray[np.float64]) -> NDArray[np.int64]:
    """Pairs rows off, the nearest first, each row in one pair at most.

    Args:
        distance: between any two rows, `[n n]`.

    Returns:
        `[n // 2, 2]`.
    """
    left, right = np.triu_indices(len(distance), 1)
    free, pairs = np.ones(len(distance), np.bool_), []
    for at in np.argsort(distance[left, right], kind="stable"):
        i, j = left[at], right[at]
        if free[i] and free[j]:
            free[i] = free[j] = False
            pairs.append((i, j))
    return np.array(pairs, np.int64).reshape(-1, 2)


def neighbours(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns 1 for the closest tenth of all pairs of rows and for ties, `[P P]`; 0 for itself."""
    edge = np.quantile(distance[np.triu_indices(len(distance), 1)], _NEAR)
    return (distance <= edge) * (1.0 - np.eye(len(distance)))


def dependence(
    difference: NDArray[np.float64], near: NDArray[np.float64], swaps: int, seed: int
) -> Dependence:
    """Tests whether agents' actions differ together between the two rows of a match.

    Strength of agents i and j, over neighbouring matches p and q:
    `S_ij = sum (d_ip . d_iq)(d_jp . d_jq) / sqrt(sum (d_ip . d_iq)^2 sum (d_jp . d_jq)^2)`,
    a squared correlation (RV coefficient) of the two agents' differences d that is taken locally:
    which choices go together may vary with the situation. Where agents choose independently,
    given the situation, swapping one agent's actions within a match changes nothing; a swap flips
    the sign of its difference. So the null distribution has random signs for every agent and
    match. How large differences are plays no part, only whether they point the same way together.

    Args:
        difference: between the two rows of every match, `[A P U]`.
        near: which matches are neighbours, `[P P]`.
        swaps: F, random swaps to compare with.
        seed: of the swaps.
    """
    agents, pairs = difference.shape[:2]
    gram = np.einsum("apu,aqu->apq", difference, difference)
    norm = np.sqrt(np.einsum("pq,apq->a", near, gram**2))
    signs = np.random.default_rng(seed).choice((-1.0, 1.0), (swaps, agents, pairs))
    strength, p_value = np.eye(agents), np.ones((agents, agents))
    null = np.full(swaps, -np.inf)
    for i, j in combinations(range(agents), 2):
        product = near * gram[i] * gram[j] / max(norm[i] * norm[j], np.finfo(np.float64).tiny)
        strength[i, j] = strength[j, i] = product.sum()
        sign = signs[:, i] * signs[:, j]
        null = np.maximum(null, ((sign @ product) * sign).sum(axis=1))
    for i, j in combinations(range(agents), 2):
        as_strong = 1 + int((null >= strength[i, j]).sum())
        p_value[i, j] = p_value[j, i] = as_strong / (1 + swaps)
    return Dependence(strength=strength, p_value=p_value, null=null)


def aligned(difference: NDArray[np.float64], near: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turns one agent's differences by the sign that the neighbouring matches give.

    Args:
        difference: of two agents, `[2 P]`.
        near: which matches are neighbours, `[P P]`.

    Returns:
        `[2 P]`; where agents choose together the rows are positively correlated.
    """
    sign = np.sign(near @ (difference[0] * difference[1]))
    return np.stack([difference[0] * sign, difference[1]])
