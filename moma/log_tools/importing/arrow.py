"""Episodes in Minari's Arrow and Parquet storage: a folder each, a table of nested columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow
import pyarrow.dataset

from moma.log_tools.importing import limits, table
from moma.log_tools.importing.log import Arrays, ImportDataError

_OF_STATES, _STATE = ("observations", "infos"), "infos/state"


class Episodes:
    """Episodes' arrays by path, see `minari.Store`."""

    def __init__(self, path: Path, storage: str) -> None:
        self._path, self._storage = path, storage
        self.count = sum(place.is_dir() and place.name.isdigit() for place in path.iterdir())
        self.unreadable: tuple[str, ...] = ()
        self._held: tuple[int, dict[str, pyarrow.Array]] = (-1, {})

    def paths(self, number: int) -> list[str]:
        """Returns the observations, actions and the state that an episode has."""
        columns = self._columns(number)
        found = [path for path in columns if path.split("/")[0] in ("observations", "actions")]
        if (state := columns.get(_STATE)) is not None:
            kind = (
                state.type.value_type
                if pyarrow.types.is_fixed_size_list(state.type)
                else state.type
            )
            numbers = pyarrow.types.is_floating(kind) or pyarrow.types.is_integer(kind)
            self.unreadable = () if numbers else (_STATE,)
            found += [_STATE] * numbers
        return found

    def read(self, number: int, paths: Sequence[str]) -> Arrays:
        """Reads some arrays; the last row holds a final state, and no step."""
        columns = self._columns(number)
        if missing := [path for path in paths if path not in columns]:
            raise ImportDataError(f"{self._path}: episode {number} has no {', '.join(missing)}")
        found = {p: table.matrix(f"{self._path}/{number}: {p}", columns[p]) for p in paths}
        return {p: a if p.split("/")[0] in _OF_STATES else a[:-1] for p, a in found.items()}

    def _columns(self, number: int) -> dict[str, pyarrow.Array]:
        """The columns of an episode by their paths."""
        if self._held[0] == number:
            return self._held[1]
        place = self._path / str(number)
        try:
            content = pyarrow.dataset.dataset(
                str(place), format=self._storage, ignore_prefixes=["_", ".", "metadata.json"]
            )
            limits.fits_memory(str(place), 0, content.count_rows(), len(content.schema))
            batch = content.to_table().combine_chunks()
        except (OSError, pyarrow.ArrowException) as error:
            raise ImportDataError(f"{place} cannot be read: {error}") from error
        columns: dict[str, pyarrow.Array] = {}
        for name in batch.column_names:
            _flatten(name, batch.column(name).combine_chunks(), columns)
        self._held = number, columns
        return columns


def _flatten(path: str, column: pyarrow.Array, columns: dict[str, pyarrow.Array]) -> None:
    if not pyarrow.types.is_struct(column.type):
        columns[path] = column
        return
    for field in column.type:
        _flatten(f"{path}/{field.name}", column.field(field.name), columns)
