"""One test of rows of different episodes: did the agents choose together?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from moma.log_tools.conventions.dependence import Dependence, dependence, neighbours
from moma.log_tools.conventions.smoother import leave_one_out, squared_distances
from moma_core.types import TaskSpec

Where = Literal["first step", "later step"]
FLIPS = 999
LEVEL = 0.005
"""A p-value at or below it is significant: 0.01, halved for two tests."""
STRONG = 0.1
"""From this strength on, a correlation of about 0.3, agents choose together."""
OPEN = 0.15
"""The situation must leave this share of an agent's variance open.

Two experts of Reacher, elbow one way and the other, leave 0.20 to 0.23 of joint 0's first torque
open: where the target is decides most of it.
"""
ALIKE = 0.25
"""The nearest other situation must be this near, in distances of two rows of the dataset."""


@dataclass(frozen=True, kw_only=True)
class Situations:
    """Rows of different episodes."""

    where: Where
    state: NDArray[np.float32]
    """States `[n S]`."""
    action: NDArray[np.float32]
    """Actions `[n A U]`."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """Whether the agents chose together in some situations."""

    rows: Situations
    verdict: Literal["several", "none", "unclear"]
    reason: str
    alike: float
    """Median distance to the nearest other situation, in distances of two rows of the dataset."""
    left_open: NDArray[np.float64]
    """Share of each agent's variance of action that the situation does not explain, `[A]`."""
    dependence: Dependence
    pair: tuple[int, int]
    """Agents of the largest strength."""
    dims: tuple[int, int]
    """Dimension of each one's action in which it is largest."""
    left: NDArray[np.float64]
    """Residuals of these two actions, in widths of their bounds, given the situation, `[2 n]`."""
    near: NDArray[np.float64]
    """Rows that are neighbours, `[n n]`."""


def look(spec: TaskSpec, rows: Situations, scale: NDArray[np.float64], seed: int) -> Look:
    """Tests whether agents choose together in these situations.

    Args:
        spec: who acts within which bounds.
        rows: three or more.
        scale: standard deviation of every feature of the state over the whole dataset, `[S]`.
        seed: of the test's random signs.
    """
    varies = scale > 0
    situation = (rows.state - rows.state.mean(axis=0))[:, varies] / scale[varies]
    low, high = (bound.numpy() for bound in spec.action_bounds)
    action = rows.action.astype(np.float64) / np.where(high > low, high - low, 1)
    left = leave_one_out(situation, action.reshape(len(action), -1)).reshape(action.shape)
    distance = np.sqrt(squared_distances(situation))
    near = neighbours(distance)
    found = dependence(left.transpose(1, 0, 2), near, FLIPS, seed)
    first, second = pair = _strongest(found.strength)
    dims = _dims(left[:, first], left[:, second], near)
    left_open = left.var(axis=0).sum(axis=1) / np.maximum(action.var(axis=0).sum(axis=1), 1e-12)
    nearest = (distance + np.diag(np.full(len(distance), np.inf))).min(axis=1)
    alike = float(np.median(nearest)) / float(np.sqrt(2 * max(int(varies.sum()), 1)))
    verdict, reason = _verdict(spec.agents, found, alike, left_open)
    return Look(
        rows=rows,
        verdict=verdict,
        reason=reason,
        alike=alike,
        left_open=left_open,
        dependence=found,
        pair=pair,
        dims=dims,
        left=np.stack([left[:, first, dims[0]], left[:, second, dims[1]]]),
        near=near,
    )


def _strongest(strength: NDArray[np.float64]) -> tuple[int, int]:
    above = np.where(np.triu(np.ones_like(strength), 1) > 0, strength, -np.inf)
    first, second = np.unravel_index(int(above.argmax()), above.shape)
    return int(first), int(second)


def _dims(
    first: NDArray[np.float64], second: NDArray[np.float64], near: NDArray[np.float64]
) -> tuple[int, int]:
    """Returns the dimensions of what is left of two agents, `[n U]`, that go together most."""
    products = np.einsum("pu,pv->uvp", first, second)
    together = np.einsum("uvp,pq,uvq->uv", products, near, products, optimize=True)
    one, other = np.unravel_index(int(together.argmax()), together.shape)
    return int(one), int(other)


def _verdict(
    agents: tuple[str, ...], found: Dependence, alike: float, left_open: NDArray[np.float64]
) -> tuple[Literal["several", "none", "unclear"], str]:
    if alike > ALIKE:
        return "unclear", (
            f"no two episodes are in situations alike enough to compare: the nearest are "
            f"{alike:.2f} of the distance of two random rows apart, {ALIKE:g} at most is near"
        )
    undecided = np.minimum(left_open[:, None], left_open[None]) >= OPEN
    together = (found.p_value <= LEVEL) & (found.strength >= STRONG) & undecided
    pairs = np.argwhere(np.triu(together, 1)).tolist()
    if pairs:
        named = ", ".join(f"{agents[i]} and {agents[j]}" for i, j in pairs[:3])
        return "several", (
            f"in like situations {named} settle on one of several joint choices; "
            "each agent's own share of them fits the data, their product does not"
        )
    if (left_open < OPEN).all():
        return "none", "the situation leaves little open: it explains what every agent does"
    if ((found.p_value <= LEVEL) & (found.strength >= STRONG)).any():
        return "none", (
            "agents choose together, but the situation leaves so little of one's action open that "
            "the smoother's own error may be what they share"
        )
    return "none", "given the situation, the product of the agents' marginals fits the data"
