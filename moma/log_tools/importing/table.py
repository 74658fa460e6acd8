"""Parquet read batch by batch: columns of numbers, or of lists that all have one length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.parquet
from numpy.typing import NDArray

from moma.log_tools.importing import limits
from moma.log_tools.importing.log import ImportDataError
from moma.log_tools.importing.rows import Rows


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


def widths(path: Path, names: Sequence[str]) -> tuple[dict[str, int], dict[str, str]]:
    """Returns how many numbers a row of each column holds, and numpy's letter for their kind.

    Raises:
        ImportDataError: the file has no rows, or a column holds no plain numbers.
    """
    for batch in _batches(path, names, 1):
        return (
            {name: array.shape[1] for name, array in batch.items()},
            {name: array.dtype.kind for name, array in batch.items()},
        )
    raise ImportDataError(f"{path} has no rows")


def rows(
    files: Sequence[Path],
    features: Sequence[str],
    actions: Sequence[str],
    rewards: Sequence[str],
    flags: tuple[str | None, str],
) -> Iterator[Rows]:
    """Reads logs with a row per step; an episode lies in one file.

    Args:
        files: one after the other.
        features: columns, side by side in this order.
        actions: columns.
        rewards: columns; null where the row is no step.
        flags: the column that says that an episode terminated, if any, and that of its number.
    """
    terminated, number = flags
    wanted = (*features, *actions, *rewards, *(name for name in flags if name))
    for at, path in enumerate(files):
        step = next(limits.slices(1 << 20, sum(widths(path, wanted)[0].values()))).stop
        for batch in _batches(path, wanted, step):
            count = len(batch[number])
            flag = batch[terminated].reshape(-1) != 0 if terminated else np.zeros(count, np.bool_)
            yield Rows(
                features=_beside(batch, features),
                action=_beside(batch, actions),
                reward=_beside(batch, rewards),
                terminated=flag,
                ends=np.zeros(count, np.bool_),
                number=batch[number].reshape(-1).astype(np.int64) + (at << 40),
            )


def _beside(batch: dict[str, NDArray[Any]], names: Sequence[str]) -> NDArray[np.float32]:
    return np.concatenate([batch[name].astype(np.float32) for name in names], axis=1)


def _batches(path: Path, names: Sequence[str], size: int) -> Iterator[dict[str, NDArray[Any]]]:
    file = opened(path)
    try:
        missing = [name for name in names if name not in file.schema_arrow.names]
        if missing:
            raise ImportDataError(f"{path} has no column {', '.join(missing)}")
        for batch in file.iter_batches(batch_size=size, columns=list(names)):
            yield {name: _matrix(f"{path}: {name}", batch.column(name)) for name in names}
    except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:
        raise ImportDataError(f"{path} cannot be read: {error}") from error
    finally:
        file.close()


def _matrix(where: str, column: pyarrow.Array) -> NDArray[Any]:
    """A column as `[R W]`; a null among floats becomes NaN."""
    kind, count, values = column.type, len(column), column
    if pyarrow.types.is_list(kind) or pyarrow.types.is_fixed_size_list(kind):
        lengths = pyarrow.compute.list_value_length(column)
        if column.null_count or len(pyarrow.compute.unique(lengths)) > 1:
            raise ImportDataError(f"{where} holds lists of several lengths, or nulls")
        values = column.flatten()
    plain = pyarrow.types.is_integer(values.type) or pyarrow.types.is_boolean(values.type)
    if not plain and not pyarrow.types.is_floating(values.type):
        raise ImportDataError(f"{where} is of type {kind}; need numbers, or lists of numbers")
    if plain and values.null_count:
        raise ImportDataError(f"{where} holds nulls; give every row a value")
    return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(count, -1)
