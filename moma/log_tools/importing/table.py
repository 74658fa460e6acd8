"""Logs as tables, a row per step: Parquet batch by batch, and the way from batches to episodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.parquet
from numpy.typing import NDArray

from moma.log_tools.importing import limits
from moma.log_tools.importing.fields import Fields, gather
from moma.log_tools.importing.log import Arrays, Episode, ImportDataError
from moma.log_tools.importing.rows import Rows
from moma.log_tools.importing.rows import episodes as cut

Batches = Callable[[Path, Sequence[str], int], Iterator[Arrays]]
"""Reads columns of a file, so many rows at a time at most."""
_FILE = 40
"""Bits of an episode's number that tell it from others of its file."""


def episodes(
    files: Sequence[Path], names: Fields, batches: Batches, source: str, *, apart: bool = True
) -> Iterator[Episode]:
    """Reads logs with a row per step.

    Args:
        files: one after the other.
        names: which columns are what; rewards are null where a row is no step.
        batches: reads a file.
        source: of all files, for messages.
        apart: each file numbers its episodes anew, and one that has no numbers is one episode
            unless flags end some.
    """

    def parts() -> Iterator[Rows]:
        for at, path in enumerate(files):
            width = sum(array.shape[1] for array in first(batches, path, names.all).values())
            step, begin = next(limits.slices(1 << 20, width)).stop, (at << _FILE) * apart
            for batch in batches(path, names.all, step):
                rows = gather(names, batch)
                number = np.zeros(len(rows), np.int64) if rows.number is None else rows.number
                yield replace(rows, number=number + begin)

    return cut(parts(), source, number_bits=_FILE)


def opened(path: Path) -> pyarrow.parquet.ParquetFile:
    """Returns the file, once what it declares is checked.

    Raises:
        ImportDataError: it is no Parquet file, or would grow as no log does.
    """
    try:
        file = pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)
    except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:
        raise ImportDataError(f"{path} is no Parquet file: {error}") from error
    meta, declared = file.metadata, 0
    for group in (meta.row_group(i) for i in range(meta.num_row_groups)):
        for column in (group.column(i) for i in range(group.num_columns)):
            declared += column.total_uncompressed_size
            if column.num_values > limits.MAX_WIDTH * max(group.num_rows, 1):
                raise ImportDataError(
                    f"{path}: {column.path_in_schema} holds {column.num_values} numbers in "
                    f"{group.num_rows} rows, at most {limits.MAX_WIDTH} a row"
                )
    limits.expansion(str(path), declared, path.stat().st_size)
    return file


def first(batches: Batches, path: Path, names: Sequence[str]) -> Arrays:
    """Returns the first row of each column.

    Raises:
        ImportDataError: the file has no rows, or a column holds no plain numbers.
    """
    for batch in batches(path, names, 1):
        return batch
    raise ImportDataError(f"{path} has no rows")


def parquet(path: Path, names: Sequence[str], rows: int) -> Iterator[Arrays]:
    """Reads columns of a Parquet file, see `Batches`.

    Raises:
        ImportDataError: a column is missing, or holds no plain numbers.
    """
    file = opened(path)
    try:
        missing = [name for name in names if name not in file.schema_arrow.names]
        if missing:
            raise ImportDataError(f"{path} has no column {', '.join(missing)}")
        for batch in file.iter_batches(batch_size=rows, columns=list(names)):
            yield {name: matrix(f"{path}: {name}", batch.column(name)) for name in names}
    except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:
        raise ImportDataError(f"{path} cannot be read: {error}") from error
    finally:
        file.close()


def flags(schema: pyarrow.Schema) -> list[str]:
    """Returns the columns of truth values."""
    return [field.name for field in schema if pyarrow.types.is_boolean(field.type)]


def sample(path: Path) -> dict[str, NDArray[Any]]:
    """Returns the first rows of every column of single values, texts as they are.

    Raises:
        ImportDataError: it is no Parquet file, or has no rows.
    """
    with opened(path) as file:
        for batch in file.iter_batches(batch_size=1 << 12):
            return {
                field.name: batch.column(field.name).to_numpy(zero_copy_only=False)
                for field in batch.schema
                if not pyarrow.types.is_nested(field.type)
            }
    raise ImportDataError(f"{path} has no rows")


def matrix(where: str, column: pyarrow.Array) -> NDArray[Any]:
    """Returns a column as `[R W]`; a null among floats becomes NaN, among flags False.

    Args:
        where: file and column, for messages.
        column: numbers, flags, times (in seconds), or lists of numbers that have one length.

    Raises:
        ImportDataError: it is none of these.
    """
    kind, count, values = column.type, len(column), column
    if pyarrow.types.is_list(kind) or pyarrow.types.is_fixed_size_list(kind):
        lengths = pyarrow.compute.list_value_length(column)
        if column.null_count or len(pyarrow.compute.unique(lengths)) > 1:
            raise ImportDataError(f"{where} holds lists of several lengths, or nulls")
        values = column.flatten()
    if pyarrow.types.is_timestamp(values.type):
        nanoseconds = values.cast(pyarrow.timestamp("ns")).cast(pyarrow.int64())
        return np.asarray(nanoseconds.to_numpy(zero_copy_only=False)).reshape(count, -1) / 1e9
    plain = pyarrow.types.is_integer(values.type) or pyarrow.types.is_boolean(values.type)
    if not plain and not pyarrow.types.is_floating(values.type):
        raise ImportDataError(f"{where} is of type {kind}; need numbers, or lists of numbers")
    if pyarrow.types.is_boolean(values.type):
        values = values.fill_null(False)
    if plain and values.null_count:
        raise ImportDataError(f"{where} holds nulls; give every row a value")
    return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(count, -1)
