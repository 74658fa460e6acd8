"""One's own logs as Parquet: one file, or a directory of files that are read in the order of names.

A row per step with the columns of `canonical`, lists of numbers where they have a width, and
`episode`, an integer that is the same in all rows of an episode, which lie together in one file.
After its T steps, an episode has one more row for the final state: its `reward` is null, its action
is not read. Where that row is missing, the last step has no state after it and is dropped (see
`rows`). `terminated` may be set in the last step or in the row after it. `meta` is a key of the
schema's metadata.
"""

from __future__ import annotations

from pathlib import Path

from moma.log_tools.importing import canonical, table
from moma.log_tools.importing.log import Layout, Log
from moma.log_tools.importing.rows import episodes


def read(path: Path) -> Log:
    """Opens a file, or all files of a directory.

    Raises:
        ImportDataError: a column is missing, of another type, or must not be read.
    """
    return canonical.read(
        path,
        ".parquet",
        _describe,
        lambda files, names: episodes(
            table.rows(
                files, names.features, names.actions, names.rewards, ("terminated", "episode")
            ),
            str(path),
        ),
    )


def _describe(path: Path) -> tuple[canonical.Names, Layout, int]:
    """What a file's columns are, and how many rows it has."""
    with table.opened(path) as content:
        schema, steps = content.schema_arrow, content.metadata.num_rows
    names = canonical.names(str(path), schema.names)
    widths, kinds = table.widths(path, (*names.features, *names.actions, *names.rewards))
    text = (schema.metadata or {}).get(b"meta", b"").decode("utf-8", "replace")
    return names, canonical.layout(str(path), names, widths, kinds, text), steps
