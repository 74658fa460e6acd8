"""What an input may ask for: every size that a file declares is checked before it is used."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from moma.log_tools.importing.log import ImportDataError, Log

MAX_WIDTH = 1 << 16
"""Numbers in one row of one field."""
MAX_BLOCK = 1 << 28
"""Bytes of one compressed block: a chunk of HDF5 or zarr."""
Where = str | Callable[[], str]
"""File and field for a message; a function where putting the text together takes time."""
_READ_ROWS, _READ_BYTES = 1 << 15, 1 << 25
EPISODE_BYTES = 1 << 28
"""Bytes of the rows that are held at once, as float32."""
_HARMLESS, _RATIO = 1 << 28, 200
_PIXELS = 8
"""Least side of what bytes in two or three axes are taken for: an image."""


def slices(rows: int, width: int, first: int = 0) -> Iterator[slice]:
    """Yields slices of rows to read at a time.

    Args:
        rows: the row after the last.
        width: numbers of a row.
        first: the first row.
    """
    step = max(1, min(_READ_ROWS, _READ_BYTES // (4 * max(width, 1))))
    for begin in range(first, rows, step):
        yield slice(begin, min(begin + step, rows))


def numeric(where: Where, kind: str, shape: tuple[int, ...]) -> None:
    """Checks that a field holds rows of plain numbers.

    Args:
        where: file and field.
        kind: numpy's letter for its dtype.
        shape: its shape, rows first.

    Raises:
        ImportDataError: objects, strings, records, a scalar, images, or rows that are too wide.
    """
    if kind not in "fiub":
        raise ImportDataError(
            f"{_said(where)} holds no plain numbers (dtype kind {kind!r}); objects are never "
            "loaded: store it as floats, integers or booleans"
        )
    if not shape:
        raise ImportDataError(f"{_said(where)} is a single number; a row per step is needed")
    if kind == "u" and len(shape) in (3, 4) and min(shape[1:3]) >= _PIXELS:
        raise ImportDataError(
            f"{_said(where)} has shape {shape} of bytes: images cannot be imported; store what "
            "they show as numbers"
        )
    if math.prod(shape[1:]) > MAX_WIDTH:
        raise ImportDataError(
            f"{_said(where)} has shape {shape}, more than {MAX_WIDTH} numbers a row; images cannot "
            "be imported"
        )


def block(where: Where, size: int) -> None:
    """Checks the bytes of one compressed block.

    Raises:
        ImportDataError: reading a single row would need too much memory.
    """
    if size > MAX_BLOCK:
        raise ImportDataError(
            f"{_said(where)} is stored in blocks of {size} bytes, at most {MAX_BLOCK} can be read; "
            "store it in smaller chunks"
        )


def _said(where: Where) -> str:
    return where if isinstance(where, str) else where()


def expansion(where: str, declared: int, stored: int) -> None:
    """Checks what an archive says it will become.

    Args:
        where: the file, for the message.
        declared: bytes once it is unpacked, as the archive says.
        stored: bytes of the file.

    Raises:
        ImportDataError: a large archive that grows as no log does.
    """
    if declared > _HARMLESS and declared > _RATIO * stored:
        raise ImportDataError(
            f"{where} has {stored} bytes and would become {declared}, more than {_RATIO} times as "
            "many; if it is no bomb, store it uncompressed"
        )


def fits_memory(where: Where, begin: int, end: int, width: int) -> None:
    """Checks the rows of one episode.

    Args:
        where: file and field, for the message.
        begin: its first row.
        end: the row after its last.
        width: numbers of a row.

    Raises:
        ImportDataError: too many to be held.
    """
    if (end - begin) * width * 4 > EPISODE_BYTES:
        raise ImportDataError(
            f"{_said(where)}: no episode ends in rows {begin} to {end}, too much to hold in "
            "memory; mark where episodes end"
        )


def fits_disk(log: Log, path: Path) -> None:
    """Checks that what the log declares can be written.

    Raises:
        ImportDataError: the disk has less room than that.
    """
    width = len(log.layout.features) + sum(log.layout.action_widths) + 1
    need = 4 * log.rows * width
    place = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    free = shutil.disk_usage(place).free
    if need > free:
        raise ImportDataError(
            f"{log.source} says it has {log.rows} steps of {width} numbers, {need} bytes; {place} "
            f"has {free} free"
        )
