"""What a check of a dataset brings up, in a form for people and programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from moma_core.datasets.dataset import Dataset

Severity = Literal["error", "warning", "note"]
FIRST = 5
"""Rows that a finding names."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing about a dataset that its user should know."""

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


def begins(dataset: Dataset, mask: NDArray[np.bool_]) -> tuple[int, ...]:
    """Returns the rows at which the first episodes begin where the mask, `[K]`, holds."""
    return tuple(int(dataset.episode_start[episode]) for episode in first(mask))


def misshapen(
    name: str, array: NDArray[Any], dtype: DTypeLike, shape: tuple[int, ...], meaning: str
) -> Finding | None:
    """Returns what is wrong with an array that may lie beside the dataset's own; None: nothing.

    Args:
        name: of the array, and of its file.
        array: as it lies there.
        dtype: the dtype that it needs.
        shape: the shape that it needs.
        meaning: what the array is for.
    """
    need = np.dtype(dtype)
    if array.shape == shape and array.dtype == need:
        return None
    return Finding(
        severity="error",
        what=f"{name}: {array.dtype} of shape {array.shape}, need {need} of {shape}",
        count=1,
        unit="files",
        file=f"{name}.npy",
        meaning=f"{meaning}, or no such file",
    )


def listed(names: list[str]) -> str:
    """Returns the first names and how many more there are."""
    shown = ", ".join(names[:FIRST])
    return shown if len(names) <= FIRST else f"{shown} and {len(names) - FIRST} more"
