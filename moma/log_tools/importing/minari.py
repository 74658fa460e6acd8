"""Minari's datasets: `metadata.json` and episodes, in HDF5, Arrow or Parquet.

An episode holds `observations` (T+1 rows), `actions`, `rewards`, `terminations`, `truncations` (T
rows). Minari has no notion of a team. A team's log has actions of a Dict (or Tuple) space, one Box
or Discrete per agent, and observations of a Dict (or Tuple) with the same keys, of any depth below,
and optionally the global state (T+1 rows) as `infos/state`. Anything else is single-agent; its
parts are then joined. Bounds, choices and the agents' order are those of the spaces.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np

from moma.log_tools.importing import hdf5
from moma.log_tools.importing.fields import Fields, layout, whole
from moma.log_tools.importing.log import Agent, Arrays, Episode, ImportDataError, Log
from moma_core import documents

_STATE = "infos/state"
Space = Mapping[str, Any]


class Store(Protocol):
    """Episodes' arrays by path: `observations/left/position`."""

    count: int
    unreadable: tuple[str, ...]
    """Optional arrays that are there and cannot be read."""

    def paths(self, number: int) -> list[str]:
        """Returns what there is in an episode, and can be read."""

    def read(self, number: int, paths: Sequence[str]) -> Arrays:
        """Reads some arrays of an episode."""


class _Hdf5:
    """A group `episode_K` for each episode."""

    def __init__(self, file: h5py.File) -> None:
        self._file, self.count = file, sum(key.startswith("episode_") for key in file)
        self.unreadable: tuple[str, ...] = ()

    def paths(self, number: int) -> list[str]:
        episode = hdf5.member(self._file, f"episode_{number}")
        found = [*_inside(episode, "observations"), *_inside(episode, "actions")]
        infos = hdf5.has(episode, "infos") and hdf5.is_group(episode, "infos")
        if infos and hdf5.has(hdf5.member(episode, "infos"), "state"):
            try:
                hdf5.array(hdf5.member(episode, "infos"), "state")
                found.append(_STATE)
            except ImportDataError:
                self.unreadable = (_STATE,)
        return found

    def read(self, number: int, paths: Sequence[str]) -> Arrays:
        episode = hdf5.member(self._file, f"episode_{number}")
        return {path: hdf5.episode_rows(*_at(episode, path)) for path in paths}


def _inside(group: h5py.Group, name: str, prefix: str = "") -> list[str]:
    """The arrays in a group, of any depth."""
    path = f"{prefix}{name}"
    if not hdf5.is_group(group, name):
        return [path]
    inner = hdf5.member(group, name)
    return [found for key in inner for found in _inside(inner, key, f"{path}/")]


def _at(group: h5py.Group, path: str) -> tuple[h5py.Group, str]:
    """The group that holds the last part of a path, and that part's name."""
    *parents, name = path.split("/")
    for parent in parents:
        group = hdf5.member(group, parent)
    return group, name


@contextmanager
def _opened(path: Path, storage: str) -> Iterator[Store]:
    if storage == "hdf5":
        with hdf5.opened(path / "main_data.hdf5") as file:
            yield _Hdf5(file)
        return
    from moma.log_tools.importing import arrow  # its library is another one

    yield arrow.Episodes(path, storage)


def read(path: Path) -> Log:
    """Opens a dataset by its directory, or that of its `data`.

    Raises:
        ImportDataError: it is none, or must not be read.
    """
    path = path / "data" if (path / "data").is_dir() else path
    source, storage, spaces = str(path), *_document(path / "metadata.json")
    with _opened(path, storage) as store:
        found = store.paths(0)
        first = store.read(0, [*found, "rewards"])
        count, steps = store.count, len(first["rewards"])
        notes = [f"{path} holds no numbers, and is left out" for path in store.unreadable]
    if _STATE in found and len(first[_STATE]) != steps + 1:
        found.remove(_STATE)
        notes.append("infos/state is left out: it needs one row more than there are steps")
    agents, starts = _agents(source, spaces, found)
    names = Fields(
        agents=agents,
        rewards=("rewards",),
        state=(_STATE,) * (_STATE in found),
        terminated=(("terminations",),),
    )
    if left := [path for path in found if path not in names.all]:
        notes.append(f"left out: {', '.join(left)}")

    def episodes() -> Iterator[Episode]:
        row = 0
        with _opened(path, storage) as store:
            for number in range(count):
                arrays = dict(store.read(number, names.all))
                for action, start in starts.items():
                    arrays[action] = arrays[action] - start if start else arrays[action]
                yield whole(names, arrays, row, f"{source}, episode_{number}")
                row += len(arrays["rewards"])

    # How many steps there are in all would take reading each; the first one's length will do.
    return Log(
        source=source,
        layout=layout(source, names, first),
        rows=count * steps,
        episodes=episodes,
        notes=tuple(notes),
    )


def _document(path: Path) -> tuple[str, tuple[Space, Space]]:
    """The storage, and the spaces of actions and of observations."""
    try:
        document = documents.read(path)
        spaces = (
            documents.loads(document["action_space"], infinite=True),
            documents.loads(document.get("observation_space", "{}"), infinite=True),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ImportDataError(f"{path} says nothing of an action space: {error!r}") from error
    storage = document.get("data_format", "hdf5")
    if storage not in ("hdf5", "arrow", "parquet") or not all(isinstance(s, dict) for s in spaces):
        raise ImportDataError(f"{path}: storage {storage!r} is none of hdf5, arrow, parquet")
    return storage, spaces


def _agents(
    source: str, spaces: tuple[Space, Space], found: list[str]
) -> tuple[tuple[Agent, ...], dict[str, int]]:
    """The agents, in the order of their space, and the first choice of each that chooses."""
    action, observation = spaces
    observed = list(_leaves(observation, "observations", found))
    parts = {}
    for path, space in _inner(action, "actions", found):
        own = path.replace("actions", "observations", 1)
        name = path.removeprefix("actions/").replace("_index_", "agent_")
        parts[name] = [p for p in observed if p == own or p.startswith(f"{own}/")], {path: space}
    if not parts or not all(seen for seen, _ in parts.values()):
        parts = {"agent_0": (observed, _leaves(action, "actions", found))}
    made = tuple(_agent(source, name, *own) for name, own in parts.items())
    return made, {p: int(s.get("start", 0)) for _, own in parts.values() for p, s in own.items()}


def _inner(space: Space, prefix: str, found: list[str]) -> list[tuple[str, Space]]:
    """The parts of a Dict or Tuple space, each with its path; none where it is another space."""
    parts = space.get("subspaces")
    if isinstance(parts, list):
        marked = any(path.startswith(f"{prefix}/_index_") for path in found)  # HDF5, not Arrow
        return [(f"{prefix}/{'_index_' * marked}{i}", part) for i, part in enumerate(parts)]
    return [(f"{prefix}/{name}", part) for name, part in (parts or {}).items()]


def _leaves(space: Space, prefix: str, found: list[str]) -> dict[str, Space]:
    """The arrays of a space, in its order; of an unknown space, all that lie there."""
    if not space:
        return {p: {} for p in found if p == prefix or p.startswith(f"{prefix}/")}
    inner = _inner(space, prefix, found)
    if not inner:
        return {prefix: space} if prefix in found else {}
    return {p: leaf for path, part in inner for p, leaf in _leaves(part, path, found).items()}


def _agent(source: str, name: str, seen: list[str], acted: Mapping[str, Space]) -> Agent:
    kinds = list(acted.values())
    types = [kind.get("type") for kind in kinds]
    if not kinds or not (types == ["Discrete"] or set(types) <= {"Box", "MultiBinary"}):
        raise ImportDataError(
            f"{source}: each agent's actions must be of a Box space, or of a Discrete one; those "
            f"of {name} are {', '.join(map(str, types)) or 'missing'}"
        )
    if not seen:
        raise ImportDataError(f"{source}: nothing that {name} observes can be read")
    low, high = (
        np.concatenate([np.asarray(kind.get(side, ()), np.float64).reshape(-1) for kind in kinds])
        for side in ("low", "high")
    )
    bounded = bool(np.isfinite([*low, *high]).all())
    return Agent(
        name=name,
        seen=tuple(seen),
        acted=tuple(acted),
        choices=int(kinds[0]["n"]) if types == ["Discrete"] else None,
        low=tuple(low.tolist()) if bounded else (),
        high=tuple(high.tolist()) if bounded else (),
        amounts=types != ["Discrete"],
    )
