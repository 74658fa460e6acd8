"""HDF5 opened with care: no links, no files beside the file, plain numbers only."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from moma.log_tools.importing import limits
from moma.log_tools.importing.log import ImportDataError


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Yields the file, read-only.

    Raises:
        ImportDataError: it is no HDF5 file, or reading it fails.
    """
    try:
        with h5py.File(path, "r", rdcc_nbytes=1 << 24) as file:
            yield file
    except (OSError, RuntimeError) as error:  # what h5py makes of a damaged file
        raise ImportDataError(f"{path} cannot be read as HDF5: {error}") from error


def has(group: h5py.Group, name: str) -> bool:
    """Says whether a group holds something called `name`, without following a link."""
    return bool(group.id.links.exists(name.encode()))


def member(group: h5py.Group, name: str) -> h5py.Group:
    """Returns the group that `group` holds as `name`.

    Raises:
        ImportDataError: it is missing, no group, or a soft or external link.
    """
    _hard(group, name)
    try:
        return h5py.Group(h5py.h5g.open(group.id, name.encode()))
    except (ValueError, KeyError, OSError) as error:
        raise ImportDataError(f"{_where(group, name)} is no group: {error}") from error


def array(group: h5py.Group, name: str) -> h5py.Dataset:
    """Returns a dataset that can be sliced along its rows.

    Raises:
        ImportDataError: it is missing, no dataset, a link, holds no plain numbers, or takes its
            data from other files.
    """
    return h5py.Dataset(_checked(group, name)[0])


def episode_rows(group: h5py.Group, name: str) -> NDArray[Any]:
    """Reads all rows of one episode's array; h5py's own slicing takes twice the time.

    Raises:
        ImportDataError: as `array`, or the rows are too many to be held in memory.
    """
    data, dtype, shape = _checked(group, name)
    limits.fits_memory(lambda: _where(group, name), 0, shape[0], math.prod(shape[1:]))
    rows = np.empty(shape, dtype)
    if rows.size:
        data.read(h5py.h5s.ALL, h5py.h5s.ALL, rows)
    return rows


def number(group: h5py.Group, name: str) -> int:
    """Returns a single number.

    Raises:
        ImportDataError: it is missing, a link, or anything else.
    """
    _hard(group, name)
    data = group[name]
    if not isinstance(data, h5py.Dataset) or data.shape != () or data.dtype.kind not in "iufb":
        raise ImportDataError(f"{_where(group, name)} must be a single number")
    return int(data[()])


def _checked(
    group: h5py.Group, name: str
) -> tuple[h5py.h5d.DatasetID, np.dtype[Any], tuple[int, ...]]:
    """The dataset, its dtype and its shape."""
    _hard(group, name)
    try:
        data = h5py.h5d.open(group.id, name.encode())
        dtype, shape = data.dtype, data.shape
    except (ValueError, KeyError, OSError, TypeError) as error:
        raise ImportDataError(f"{_where(group, name)} is no array: {error}") from error
    made = data.get_create_plist()
    kind = made.get_layout()
    if kind == h5py.h5d.VIRTUAL or made.get_external_count():
        raise ImportDataError(
            f"{_where(group, name)} takes its data from other files, which are never opened; copy "
            "the data in"
        )
    limits.numeric(lambda: _where(group, name), dtype.kind, shape)
    if kind == h5py.h5d.CHUNKED:
        limits.block(lambda: _where(group, name), math.prod(made.get_chunk()) * dtype.itemsize)
    return data, dtype, shape


def is_group(group: h5py.Group, name: str) -> bool:
    """Says whether the group holds a group as `name`.

    Raises:
        ImportDataError: it is missing, or a soft or external link.
    """
    _hard(group, name)
    return isinstance(group[name], h5py.Group)


def _hard(group: h5py.Group, name: str) -> None:
    if not has(group, name):
        there = ", ".join(map(str, list(group)[:12]))
        raise ImportDataError(f"{_where(group, name)} is missing; there are: {there}")
    kind = group.id.links.get_info(name.encode()).type
    if kind != h5py.h5l.TYPE_HARD:
        raise ImportDataError(
            f"{_where(group, name)} is a {'soft' if kind == h5py.h5l.TYPE_SOFT else 'external'} "
            "link, which is never followed; copy the data to its place"
        )


def _where(group: h5py.Group, name: str) -> str:
    return f"{group.file.filename}: {group.name.rstrip('/')}/{name}"
