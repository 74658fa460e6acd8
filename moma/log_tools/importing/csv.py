"""CSV: one file, or a directory of files that are read in the order of names.

A row per step, the first line the columns' names; `columns.toml` beside them says which column is
what (see `columns`). After its steps an episode has one more row for its final state, whose reward
is empty; where that row is missing, the last step has no state after it and is dropped. Numbers are
read as float64; dates count as seconds; an episode may be a number or a name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.csv

from moma.log_tools.importing import canonical, columns, table
from moma.log_tools.importing.fields import Fields, layout
from moma.log_tools.importing.log import Arrays, ImportDataError, Layout, Log

_BLOCK = 1 << 22
"""Bytes of a file that are parsed at a time."""


def read(path: Path) -> Log:
    """Opens a file, or all files of a directory.

    Raises:
        ImportDataError: nobody says what the columns are, or one is missing.
    """
    said = columns.beside(path)
    if said is None:
        place = path if path.is_dir() else path.parent
        raise ImportDataError(
            f"{place} has no {columns.FILE}, which says what the columns are; write a draft of it "
            f"with: moma data columns {place}"
        )

    def described(file: Path) -> tuple[Fields, Layout, int, Sequence[str]]:
        sample = table.first(_Reader(said), file, said.all)
        return said, layout(str(file), said, sample), _lines(file), table.flags(header(file))

    return canonical.read(
        path,
        ".csv",
        described,
        lambda files, names: table.episodes(files, names, _Reader(names), str(path)),
    )


class _Reader:
    """Reads columns of a file, see `table.Batches`; names of episodes become numbers."""

    def __init__(self, names: Fields) -> None:
        self._flags = {name for group in (*names.terminated, *names.ended) for name in group}
        self._number = {*names.number}
        self._seen: dict[str, int] = {}

    def __call__(self, path: Path, names: Sequence[str], rows: int) -> Iterator[Arrays]:
        kinds = self._kinds(path, names)
        try:
            for batch in _opened(path, kinds, names):
                for part in [batch.slice(i, rows) for i in range(0, batch.num_rows, rows)]:
                    yield {name: self._column(path, name, part.column(name)) for name in names}
        except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:
            raise ImportDataError(f"{path} cannot be read: {error}") from error

    def _kinds(self, path: Path, names: Sequence[str]) -> dict[str, pyarrow.DataType]:
        """The type of each column, told by its first rows and the same to the file's end."""
        kinds = {}
        for field in header(path):
            if field.name in self._flags:
                kinds[field.name] = pyarrow.bool_()
            elif field.name in self._number:
                integer = pyarrow.types.is_integer(field.type)
                kinds[field.name] = pyarrow.int64() if integer else pyarrow.string()
            elif pyarrow.types.is_timestamp(field.type):
                kinds[field.name] = field.type
            else:
                kinds[field.name] = pyarrow.float64()
        if missing := [name for name in names if name not in kinds]:
            raise ImportDataError(
                f"{path} has no column {', '.join(missing)}; there are: {', '.join(kinds)}"
            )
        return kinds

    def _column(self, path: Path, name: str, column: pyarrow.Array) -> np.ndarray:
        if not pyarrow.types.is_string(column.type):
            return table.matrix(f"{path}: {name}", column)
        words = column.dictionary_encode()
        numbers = [self._seen.setdefault(w, len(self._seen)) for w in words.dictionary.to_pylist()]
        at = words.indices.to_numpy(zero_copy_only=False)
        found: np.ndarray = np.array(numbers, np.int64)[at].reshape(-1, 1)
        return found


def header(path: Path) -> pyarrow.Schema:
    """Returns the columns' names and the types of their first rows.

    Raises:
        ImportDataError: it is no CSV file.
    """
    try:
        schema = _opened(path, {}, None).schema
    except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:
        raise ImportDataError(f"{path} is no CSV file: {error}") from error
    if twice := [name for name, count in Counter(schema.names).items() if count > 1]:
        raise ImportDataError(f"{path} has several columns {', '.join(twice)}: rename them")
    return schema


def sample(path: Path) -> dict[str, np.ndarray]:
    """Returns the first rows of every column, texts as they are.

    Raises:
        ImportDataError: it is no CSV file, or has no rows.
    """
    header(path)
    first = next(iter(_opened(path, {}, None)), None)
    if first is None:
        raise ImportDataError(f"{path} has no rows")
    return {name: first.column(name).to_numpy(zero_copy_only=False) for name in first.schema.names}


def _opened(
    path: Path, kinds: dict[str, pyarrow.DataType], names: Sequence[str] | None
) -> pyarrow.csv.CSVStreamingReader:
    with path.open("rb") as file:
        line = file.readline(1 << 16)
    delimiter = max(b",;\t", key=line.count)
    return pyarrow.csv.open_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(block_size=_BLOCK, use_threads=False),
        parse_options=pyarrow.csv.ParseOptions(delimiter=chr(delimiter)),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=kinds,
            include_columns=list(names or ()),
            decimal_point="," if delimiter == ord(";") else ".",
            strings_can_be_null=False,
        ),
    )


def _lines(path: Path) -> int:
    """The number of rows, at most."""
    with path.open("rb") as file:
        return sum(part.count(b"\n") for part in iter(lambda: file.read(_BLOCK), b""))
