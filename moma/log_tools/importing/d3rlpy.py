"""d3rlpy's buffers (`ReplayBuffer.dump`): HDF5 with arrays for each episode, `observations_0` etc.

`columns` names the kinds, `num_episodes` says how many there are. Episodes whose `terminated` is
not set ran out of time. There is no state after the last step of an episode (see `rows`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from moma.log_tools.importing import hdf5
from moma.log_tools.importing.fields import Fields, gather, layout
from moma.log_tools.importing.log import Agent, Arrays, ImportDataError, Log
from moma.log_tools.importing.rows import episodes

_ARRAYS = ("observations", "actions", "rewards")
_NAMES = Fields(
    agents=(Agent(name="agent_0", seen=("observations",), acted=("actions",)),),
    rewards=("rewards",),
    terminated=(("terminated",),),
    number=("episode",),
)


def read(path: Path) -> Log:
    """Opens such a file.

    Raises:
        ImportDataError: it is none, or must not be read.
    """
    with hdf5.opened(path) as file:
        count = hdf5.number(file, "num_episodes")
        if hdf5.has(file, "observations_0_0"):
            raise ImportDataError(f"{path}: observations of several parts cannot be read")
        first = _episode(file, 0)
    return Log(
        source=str(path),
        layout=layout(str(path), _NAMES, first),
        rows=count * len(first["rewards"]),
        episodes=lambda: episodes((gather(_NAMES, one) for one in _arrays(path, count)), str(path)),
    )


def _arrays(path: Path, count: int) -> Iterator[Arrays]:
    with hdf5.opened(path) as file:
        for number in range(count):
            yield _episode(file, number)


def _episode(file: h5py.File, number: int) -> Arrays:
    arrays = {n: hdf5.episode_rows(file, f"{n}_{number}") for n in _ARRAYS}
    ended = np.zeros(len(arrays["rewards"]), np.bool_)
    ended[-1:] = bool(hdf5.number(file, f"terminated_{number}"))
    return {**arrays, "terminated": ended, "episode": np.full(len(ended), number)}
