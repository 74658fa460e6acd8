"""Observations that were standardised one by one, and how to get the physical ones back.

OMIGA appends the one-hot id of the agent to what it observes and then standardises each vector by
its own mean and deviation. The id tells both: of a row z, `1 / (z[own id] - z[another's id])` is
the deviation, and `-z[another's id]` times that is the mean.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Shaped

TOLERANCE = 1e-4
"""How exactly such rows come back, relative to 1 and their size."""


def found(rows: Shaped[np.ndarray, "N A D"]) -> bool:
    """Says whether every agent's rows have mean 0, deviation 1 and its id in their last columns."""
    agents, width = rows.shape[1:]
    wide = rows.astype(np.float64)
    if agents < 2 or width <= agents or not len(rows) or not np.isfinite(wide).all():
        return False
    ids = wide[:, :, -agents:]
    own = np.einsum("naa->na", ids)
    others = ids[:, ~np.eye(agents, dtype=np.bool_)].reshape(len(rows), agents, agents - 1)
    standard = np.abs(wide.mean(axis=2)).max() < 1e-3 and np.abs(wide.std(axis=2) - 1).max() < 1e-3
    alike = np.abs(others - others[:, :, :1]).max() < 1e-5
    return bool(standard and alike and (own > others[:, :, 0]).all())


def invert(rows: Shaped[np.ndarray, "N A D"]) -> Float32[np.ndarray, "N A E"]:
    """Returns the rows as they were, without the ids: E is D less the number of agents."""
    agents = rows.shape[1]
    wide = rows.astype(np.float64)
    ids = wide[:, :, -agents:]
    own = np.einsum("naa->na", ids)
    other = (ids.sum(axis=2) - own) / (agents - 1)
    deviation = 1 / (own - other)
    back = (wide[:, :, :-agents] - other[:, :, None]) * deviation[:, :, None]
    return np.asarray(back, np.float32)
