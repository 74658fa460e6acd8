"""One's own logs as Parquet: one file, or a directory of files that are read in the order of names.

A row per step with the columns of `canonical`, lists of numbers where they have a width, and
`episode`, an integer that is the same in all rows of an episode, which lie together in one file.
After its T steps, an episode has one more row for the final state: its `reward` is null, its action
is not read. Where that row is missing, the last step has no state after it and is dropped (see
`rows`). `terminated` may be set in the last step or in the row after it. `meta` is a key of the
schema's metadata. Columns of single numbers are named by a `columns.toml` (see `columns`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from moma.log_tools.importing import canonical, columns, table
from moma.log_tools.importing.fields import Fields, layout
from moma.log_tools.importing.log import ImportDataError, Layout, Log


def read(path: Path) -> Log:
    """Opens a file, or all files of a directory.

    Raises:
        ImportDataError: a column is missing, of another type, or must not be read.
    """
    said = columns.beside(path) if path.is_dir() else None
    return canonical.read(
        path,
        ".parquet",
        lambda file: _described(file, said),
        lambda files, names: table.episodes(files, names, table.parquet, str(path)),
    )


def _described(path: Path, said: Fields | None) -> tuple[Fields, Layout, int, Sequence[str]]:
    """What a file's columns are, how many rows it has, and its flags."""
    with table.opened(path) as content:
        schema, steps = content.schema_arrow, content.metadata.num_rows
    text = (schema.metadata or {}).get(b"meta", b"").decode("utf-8", "replace")
    names = said or canonical.fields(str(path), schema.names, text)
    if not said and not names.number and not names.ended:
        raise ImportDataError(
            f"{path} has no episode: an integer that is the same in all rows of one; there are: "
            f"{', '.join(schema.names)}"
        )
    first = table.first(table.parquet, path, names.all)
    return names, layout(str(path), names, first), steps, table.flags(schema)
