"""Values by themselves, column by column: not finite, constant, or filled in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moma.log_tools.blocks import pieces
from moma.log_tools.findings.finding import FIRST, Finding, first, listed
from moma_core.datasets.mapped import Columns

_KINDS = {
    "NaN": "a value was never measured or a division failed: drop the episodes or fill the gap",
    "+inf": "an overflow, or a mark for what has no value: drop the episodes or mend the column",
    "-inf": "padding in some logs of agents of unequal widths: drop the column or set it to 0",
}


@dataclass(frozen=True, kw_only=True)
class Extremes:
    """What an array's C columns hold."""

    low: NDArray[np.float32]
    """Smallest finite value, `[C]`."""
    high: NDArray[np.float32]
    """Largest finite value, `[C]`."""
    odd: dict[str, NDArray[np.int64]]
    """Number of values of each kind that are not finite, `[C]`."""
    rows: dict[str, tuple[int, ...]]
    """Rows of each kind, the first ones."""


def extremes(array: NDArray[Any] | Columns) -> Extremes:
    """Goes through an array once; its axes after the first are joined to C columns."""
    width = int(np.prod(array.shape[1:]))
    low, high = np.full(width, np.inf, np.float32), np.full(width, -np.inf, np.float32)
    odd = {kind: np.zeros(width, np.int64) for kind in _KINDS}
    rows: dict[str, tuple[int, ...]] = dict.fromkeys(_KINDS, ())
    for begin, piece in pieces(array):
        part = piece.reshape(len(piece), width)
        lowest, highest = part.min(axis=0), part.max(axis=0)
        if not (np.isfinite(lowest).all() and np.isfinite(highest).all()):
            masks = (np.isnan(part), part == np.inf, part == -np.inf)
            for kind, mask in zip(_KINDS, masks, strict=True):
                odd[kind] += mask.sum(axis=0)
                rows[kind] = (rows[kind] + first(mask, begin))[:FIRST]
            finite = np.isfinite(part)
            lowest = part.min(axis=0, where=finite, initial=np.inf)
            highest = part.max(axis=0, where=finite, initial=-np.inf)
        np.minimum(low, lowest, out=low)
        np.maximum(high, highest, out=high)
    return Extremes(low=low, high=high, odd=odd, rows=rows)


def not_finite(name: str, found: Extremes, names: list[str]) -> Iterator[Finding]:
    """Yields one finding for each kind of value that is not finite.

    Args:
        name: the array's name.
        found: what its C columns hold.
        names: a name per column.
    """
    for kind, meaning in _KINDS.items():
        where = [names[i] for i in np.flatnonzero(found.odd[kind])]
        if where:
            yield Finding(
                severity="error",
                what=f"{name}: {kind} in {listed(where)}",
                count=int(found.odd[kind].sum()),
                unit="values",
                rows=found.rows[kind],
                file=f"{name}.npy",
                meaning=meaning,
            )


def constant(found: Extremes, names: list[str]) -> Iterator[Finding]:
    """Yields which features of the state never change; 0 throughout looks like padding."""
    still = found.low == found.high
    zero = [names[i] for i in np.flatnonzero(still & (found.low == 0))]
    other = [f"{names[i]} = {found.low[i]:g}" for i in np.flatnonzero(still & (found.low != 0))]
    if zero:
        yield Finding(
            severity="warning",
            what=f"state: always 0: {listed(zero)}",
            count=len(zero),
            unit="features",
            meaning="padding, or a sensor that is off: nothing can be learned from it, drop it",
        )
    if other:
        yield Finding(
            severity="note",
            what=f"state: constant: {listed(other)}",
            count=len(other),
            unit="features",
            meaning="harmless to the fit, which leaves constant features alone",
        )


def constant_reward(found: Extremes) -> Iterator[Finding]:
    """Yields that the reward never changes."""
    if found.low[0] == found.high[0]:
        yield Finding(
            severity="warning",
            what=f"reward: {found.low[0]:g} in every step",
            count=1,
            unit="features",
            meaning="nothing can be learned from a constant reward: is it in another column?",
        )
