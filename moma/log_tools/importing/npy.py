"""An .npy array read as a stream: from its first row to its last, objects refused."""

from __future__ import annotations

import math
import zipfile
import zlib
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from moma.log_tools.importing import limits
from moma.log_tools.importing.log import ImportDataError


@runtime_checkable
class Bytes(Protocol):
    """A stream of bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """Reads so many bytes, or all that there are."""


class Stream:
    """One array.

    Args:
        where: file and field, for messages.
        file: at its beginning.

    Raises:
        ImportDataError: it is no plain array of numbers or text.
    """

    def __init__(self, where: str, file: Bytes) -> None:
        self._where, self._file = where, file
        try:
            version = np.lib.format.read_magic(file)
            header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            self.shape, fortran, self.dtype = header(file)
        except (ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise ImportDataError(f"{where} is no plain .npy array: {error}") from error
        if self.dtype.kind != "U":
            limits.numeric(where, self.dtype.kind, self.shape)
        self.width, self.ndim = math.prod(self.shape[1:]), len(self.shape)
        self._at = 0
        self._held: NDArray[Any] | None = None
        if fortran and len(self.shape) > 1:
            self._held = self._all_columns()

    def _all_columns(self) -> NDArray[Any]:
        """The whole array in C order: one that is stored by columns cannot be read by rows."""
        count = math.prod(self.shape)
        if count * 4 > limits.EPISODE_BYTES:
            raise ImportDataError(
                f"{self._where}, shape {self.shape}, is in Fortran order and too large to be "
                "turned in memory; save np.ascontiguousarray of it"
            )
        content = np.frombuffer(self._bytes(count), self.dtype)
        return np.ascontiguousarray(content.reshape(self.shape, order="F"))

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Reads rows that begin where the last ones ended.

        Raises:
            ValueError: they begin elsewhere.
        """
        if rows.start != self._at:
            raise ValueError(f"{self._where}: row {self._at} comes next, not {rows.start}")
        return self.read(rows.stop - rows.start)

    def read(self, rows: int) -> NDArray[Any]:
        """Reads the next rows.

        Raises:
            ImportDataError: there are not so many, or they are too many for memory.
        """
        self._at += rows
        if self._held is not None:
            part, self._held = self._held[:rows], self._held[rows:]
            return part
        limits.fits_memory(self._where, 0, rows, self.width)
        content = np.frombuffer(self._bytes(rows * self.width), self.dtype)
        return content.reshape(rows, *self.shape[1:])

    def _bytes(self, numbers: int) -> bytes:
        size = numbers * self.dtype.itemsize
        try:
            content = self._file.read(size)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError) as error:
            raise ImportDataError(f"{self._where} cannot be read: {error}") from error
        if len(content) != size:
            raise ImportDataError(f"{self._where} ends before its {self.shape[0]} rows do")
        return content
