"""Do agents choose together? A test of what is left of their actions in like situations."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

_NEAR = 0.1
"""Share of all pairs of rows that count as neighbours."""


@dataclass(frozen=True, kw_only=True)
class Dependence:
    """How strongly any two agents' choices hang together, and how often chance does as much."""

    strength: NDArray[np.float64]
    """Strengths `[A A]`; 0: independent, 1: one choice gives the other."""
    p_value: NDArray[np.float64]
    """P-values `[A A]`, corrected for the number of pairs of agents."""
    null: NDArray[np.float64]
    """Largest strength of any two agents under each draw of random signs, `[F]`."""


def neighbours(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns 1 for the closest tenth of all pairs of rows and for ties, `[n n]`; 0 for itself."""
    edge = np.quantile(distance[np.triu_indices(len(distance), 1)], _NEAR)
    return (distance <= edge) * (1.0 - np.eye(len(distance)))


def dependence(
    left: NDArray[np.float64], near: NDArray[np.float64], flips: int, seed: int
) -> Dependence:
    """Tests whether agents leave what the situation says in directions that go together.

    Strength of agents i and j, over neighbouring rows p and q:
    `S_ij = sum (e_ip . e_iq)(e_jp . e_jq) / sqrt(sum (e_ip . e_iq)^2 sum (e_jp . e_jq)^2)`,
    a squared correlation (RV coefficient) of what is left of two agents' actions, e, that is taken
    locally: which choices go together may vary with the situation. Where agents choose
    independently, given the situation, the products of their e have mean 0 in every row, so the
    null distribution has a random sign for every agent and row (a wild bootstrap). How large
    e are plays no part, only whether they go together: noise whose size agents share is no
    convention.

    Args:
        left: of the agents' actions, once what the situation says is taken out, `[A n U]`.
        near: which rows are neighbours, `[n n]`.
        flips: F, draws of random signs to compare with.
        seed: of the signs.
    """
    agents, rows = left.shape[:2]
    gram = np.einsum("apu,aqu->apq", left, left)
    norm = np.sqrt(np.einsum("pq,apq->a", near, gram**2))
    signs = np.random.default_rng(seed).choice((-1.0, 1.0), (flips, agents, rows))
    strength, p_value = np.eye(agents), np.ones((agents, agents))
    null = np.full(flips, -np.inf)
    for i, j in combinations(range(agents), 2):
        product = near * gram[i] * gram[j] / max(norm[i] * norm[j], np.finfo(np.float64).tiny)
        strength[i, j] = strength[j, i] = product.sum()
        sign = signs[:, i] * signs[:, j]
        null = np.maximum(null, ((sign @ product) * sign).sum(axis=1))
    for i, j in combinations(range(agents), 2):
        as_strong = 1 + int((null >= strength[i, j]).sum())
        p_value[i, j] = p_value[j, i] = as_strong / (1 + flips)
    return Dependence(strength=strength, p_value=p_value, null=null)


def aligned(left: NDArray[np.float64], near: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turns what is left of one agent's actions by the sign that the neighbouring rows give.

    Args:
        left: of two agents' actions, `[2 n]`.
        near: which rows are neighbours, `[n n]`.

    Returns:
        `[2 n]`; where agents choose together the two are positively correlated.
    """
    sign = np.sign(near @ (left[0] * left[1]))
    return np.stack([left[0] * sign, left[1]])
