"""Arrays larger than memory: rows are copied out of the map, and its pages are given back.

A page of a mapped file counts as this process's memory from the first touch on, so whoever touches
many rows reads them by `take` or `chunks`, and memory stays bounded whatever the file's size.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CHUNK = 1 << 26
"""Bytes that `chunks` yields at a time."""
_REGION = 1 << 21
"""Bytes that one touch may map: the kernel's largest page."""
_REGIONS = 64
"""Regions that `take` touches before it gives them back."""


class Columns:
    """Some columns of a mapped array, in a new order; rows are copied when they are asked for."""

    def __init__(self, array: NDArray[Any] | Columns, index: list[int]) -> None:
        self.shape: tuple[int, ...] = (len(array), len(index))
        self.dtype: np.dtype[Any] = array.dtype
        self.base: object = array.base
        self._array, self._index = array, index

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
        return np.asarray(self._array[rows])[..., self._index]


def take(array: NDArray[Any] | Columns, row: NDArray[np.int64]) -> NDArray[Any]:
    """Returns `array[row]`; `row` may have any shape, and is read fastest in ascending order."""
    flat = row.reshape(-1)
    found = np.empty((len(flat), *array.shape[1:]), array.dtype)
    region = flat * row_bytes(array) // _REGION
    block = np.cumsum(np.diff(region, prepend=region[:1]) != 0) // _REGIONS
    for begin, end in pairwise([0, *np.flatnonzero(np.diff(block)) + 1, len(flat)]):
        found[begin:end] = array[flat[begin:end]]
        release(array)
    return found.reshape(*row.shape, *array.shape[1:])


def chunks(
    array: NDArray[Any] | Columns, size: int | None = None
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yields the array from its first row to its last, some rows at a time, each with its row.

    Args:
        array: of any length.
        size: bytes at a time; less where much is done to them that fits the processor's cache.
    """
    rows = max(1, (size or _CHUNK) // row_bytes(array))
    for begin in range(0, len(array), rows):
        yield begin, array[begin : begin + rows]
        release(array)


def row_bytes(array: NDArray[Any] | Columns) -> int:
    """Returns the size of a row."""
    return array.dtype.itemsize * math.prod(array.shape[1:])


def release(array: NDArray[Any] | Columns) -> None:
    """Gives the pages of a mapped file back; what is read again comes from the system's cache."""
    if isinstance(array.base, mmap.mmap):
        array.base.madvise(mmap.MADV_DONTNEED)


class Moments:
    """Mean and variance of rows that come in parts, joined in float64.

    The join of Chan, Golub and LeVeque (1979); one part alone comes back as it was, to the bit.
    """

    def __init__(self, width: int) -> None:
        self.count = 0
        self.mean = np.zeros(width)
        self._squares = np.zeros(width)

    def add(self, count: int, mean: NDArray[Any], std: NDArray[Any]) -> None:
        """Adds a part.

        Args:
            count: rows of the part.
            mean: their mean, `[W]`.
            std: their (population) standard deviation, `[W]`.
        """
        total, apart = self.count + count, mean.astype(np.float64) - self.mean
        inside = count * std.astype(np.float64) ** 2
        self._squares += inside + apart**2 * (self.count * count / total)
        self.mean += apart * (count / total)
        self.count = total

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation over all rows."""
        root: NDArray[np.float64] = np.sqrt(self._squares / self.count)
        return root
