"""What float32 keeps of a column: of numbers far from 0 that move little, not their changes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from moma.log_tools.importing import limits

NOTED, LOST = 1e-3, 0.1
"""Shares of the changes (root mean square) from which on an offset is taken off, and from which on
a column cannot be kept at all."""


class Rounding:
    """How much of the changes from row to row rounding to float32 loses.

    Args:
        origin: a row of the log: what is taken off each column where an offset is, `[C]`.
    """

    def __init__(self, origin: NDArray[np.float64]) -> None:
        self.origin = np.where(np.isfinite(origin), origin, 0)
        self._change = np.zeros(len(origin))
        self._lost = np.zeros((2, len(origin)))

    def add(self, rows: Float[np.ndarray, "N C"]) -> None:
        """Takes further rows in; those of float32 lose nothing."""
        if rows.dtype == np.float32:
            return
        with np.errstate(invalid="ignore", over="ignore"):
            for part in limits.slices(len(rows) - 1, rows.shape[1]):
                piece = rows[part.start : part.stop + 1]
                change = np.diff(piece, axis=0)
                self._change += (change**2).sum(axis=0)
                for kind, offset in enumerate((np.zeros_like(self.origin), self.origin)):
                    kept = (piece - offset).astype(np.float32).astype(np.float64)
                    self._lost[kind] += ((np.diff(kept, axis=0) - change) ** 2).sum(axis=0)

    @property
    def lost(self) -> NDArray[np.float64]:
        """Share of the changes that is lost, as it is and with the origin taken off; `[2 C]`."""
        with np.errstate(invalid="ignore", divide="ignore"):
            share: NDArray[np.float64] = np.sqrt(self._lost / self._change)
        return np.where(np.isnan(share) & (self._change > 0), np.inf, np.nan_to_num(share, nan=0))
