"""D4RL's HDF5 files: single-agent, `observations, actions, rewards, terminals, timeouts`.

A time-out is no terminal: the episode is truncated there. Everything else in the file (`infos`,
`metadata`) is left alone. See `transitions` for what becomes of the last step of an episode.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from moma.log_tools.importing import hdf5, transitions
from moma.log_tools.importing.log import Log


def read(path: Path) -> Log:
    """Opens such a file.

    Raises:
        ImportDataError: it is none, or must not be read.
    """
    return transitions.read(str(path), lambda: _fields(path))


@contextmanager
def _fields(path: Path) -> Iterator[transitions.Fields]:
    names = (*transitions.REQUIRED, *transitions.OPTIONAL)
    with hdf5.opened(path) as file:
        yield {name: [hdf5.array(file, name)] for name in names if hdf5.has(file, name)}
