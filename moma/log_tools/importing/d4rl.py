"""D4RL's HDF5 files: single-agent, `observations, actions, rewards, terminals, timeouts`.

d3rlpy's first buffers are like them. A time-out is no terminal: the episode is truncated there.
Everything else in the file (`infos`, `metadata`) is left alone. See `transitions` for what becomes
of the last step of an episode.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from moma.log_tools.importing import hdf5, transitions
from moma.log_tools.importing.log import ImportDataError, Log


def read(path: Path) -> Log:
    """Opens such a file.

    Raises:
        ImportDataError: it is none, or must not be read.
    """
    return transitions.read(str(path), lambda: _arrays(path))


@contextmanager
def _arrays(path: Path) -> Iterator[transitions.Opened]:
    with hdf5.opened(path) as file:
        arrays = {name: hdf5.array(file, name) for name in file if transitions.wanted(name)}
        for name in file:
            with suppress(ImportDataError):  # what nobody wants need not be readable
                arrays.setdefault(name, hdf5.array(file, name))
        yield arrays
