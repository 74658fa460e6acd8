"""What a look into a log brings up, in a form for people and programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Severity = Literal["error", "warning", "note"]
FIRST = 5
"""Rows that a finding names."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing about a log that its user should know."""

    severity: Severity
    """Severity; error: not usable, warning: probably not what is meant, note: a fact."""
    what: str
    count: int
    """Number of them, in `unit`."""
    unit: str
    """Unit that is counted: values, rows, episodes, features."""
    rows: tuple[int, ...] = ()
    """Rows of `file`, the first of them."""
    file: str = ""
    meaning: str
    """Meaning, or what to do."""


def first(mask: NDArray[np.bool_], offset: int = 0) -> tuple[int, ...]:
    """Returns the first rows where the mask, of any number of axes, holds."""
    rows = np.flatnonzero(mask.reshape(len(mask), -1).any(axis=1))[:FIRST]
    return tuple(int(row) + offset for row in rows)


def listed(names: list[str]) -> str:
    """Returns the first names and how many more there are."""
    shown = ", ".join(names[:FIRST])
    return shown if len(names) <= FIRST else f"{shown} and {len(names) - FIRST} more"
