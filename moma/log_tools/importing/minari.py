"""Minari's datasets, HDF5 storage: `data/main_data.hdf5` and `data/metadata.json`.

A group `episode_K` holds `observations` (T+1 rows), `actions`, `rewards`, `terminations`,
`truncations` (T rows). Minari has no notion of a team. A team's log has actions of a Dict (or
Tuple) space, one Box or Discrete per agent, and observations of a Dict space with the same keys,
and optionally the global state (T+1 rows) as `infos/state`. Anything else is single-agent; parts of
a Dict observation are then joined. Action bounds and choices are those of the spaces.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from moma.log_tools.importing import hdf5
from moma.log_tools.importing.log import (
    Bounds,
    Episode,
    ImportDataError,
    Layout,
    Log,
    columns,
    float_rows,
    numbered,
)
from moma_core import documents

_FILE = "main_data.hdf5"


@dataclass(frozen=True, kw_only=True)
class _Names:
    """Paths in an episode's group: per agent those of its observations, and that of its action."""

    agents: tuple[str, ...]
    observations: tuple[tuple[str, ...], ...]
    actions: tuple[str, ...]
    state: bool


def read(path: Path) -> Log:
    """Opens a dataset by its directory, or that of its `data`.

    Raises:
        ImportDataError: it is none, or must not be read.
    """
    path = path / "data" if (path / "data").is_dir() else path
    spaces = _space(path / "metadata.json")
    with hdf5.opened(path / _FILE) as file:
        count = sum(key.startswith("episode_") for key in file)
        first = hdf5.member(file, "episode_0")
        names = _names(first)
        layout = _layout(first, names, spaces, str(path))
        # How many there are in all would take reading each; the first one's length will do.
        steps = count * len(hdf5.array(first, "rewards"))
    return Log(
        source=str(path),
        layout=layout,
        rows=steps,
        episodes=lambda: _episodes(path / _FILE, count, names),
    )


def _space(path: Path) -> dict[str, Any]:
    try:
        document = documents.read(path)
        space = documents.loads(document["action_space"], infinite=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ImportDataError(f"{path} says nothing of an action space: {error!r}") from error
    if document.get("data_format", "hdf5") != "hdf5" or not isinstance(space, dict):
        raise ImportDataError(f"{path}: only Minari's hdf5 storage can be read")
    return space


def _names(first: h5py.Group) -> _Names:
    state = hdf5.has(first, "infos") and hdf5.is_group(first, "infos")
    if state:
        infos, steps = hdf5.member(first, "infos"), len(hdf5.array(first, "rewards"))
        state = hdf5.has(infos, "state") and len(hdf5.array(infos, "state")) == steps + 1
    if hdf5.is_group(first, "actions"):
        agents = tuple(hdf5.member(first, "actions"))
        seen = tuple((f"observations/{agent}",) for agent in agents)
        acted = tuple(f"actions/{agent}" for agent in agents)
        return _Names(agents=agents, observations=seen, actions=acted, state=state)
    parts: tuple[str, ...] = ("observations",)
    if hdf5.is_group(first, "observations"):
        parts = tuple(f"observations/{part}" for part in hdf5.member(first, "observations"))
    return _Names(agents=("agent_0",), observations=(parts,), actions=("actions",), state=state)


def _at(group: h5py.Group, path: str) -> tuple[h5py.Group, str]:
    """The group that holds the last part of a path, and that part's name."""
    *parents, name = path.split("/")
    for parent in parents:
        group = hdf5.member(group, parent)
    return group, name


def _width(group: h5py.Group, path: str) -> int:
    return math.prod(hdf5.array(*_at(group, path)).shape[1:])


def _layout(first: h5py.Group, names: _Names, space: dict[str, Any], source: str) -> Layout:
    seen = [sum(_width(first, part) for part in own) for own in names.observations]
    acted = tuple(_width(first, path) for path in names.actions)
    state = _width(first, "infos/state") if names.state else 0
    kinds = _kinds(space, names)
    discrete = [kind.get("type") == "Discrete" for kind in kinds]
    for agent, kind in zip(names.agents, kinds, strict=True):
        if kind.get("type") not in ("Box", "Discrete") or kind.get("start", 0) != 0:
            raise ImportDataError(
                f"{source}: each agent's actions must be of a Box space, or of a Discrete one from "
                f"0; those of {agent} are {kind.get('type')} from {kind.get('start', 0)}"
            )
    return Layout(
        agents=names.agents,
        features=(
            *numbered("state", state),
            *(n for a, width in zip(names.agents, seen, strict=True) for n in numbered(a, width)),
        ),
        observations=columns(seen, state),
        action_widths=acted,
        state_width=state,
        bounds=_bounds(kinds, acted),
        choices=tuple(
            int(kind["n"]) if chooses else None
            for kind, chooses in zip(kinds, discrete, strict=True)
        ),
    )


def _kinds(space: dict[str, Any], names: _Names) -> list[dict[str, Any]]:
    """The action space of each agent."""
    if names.actions == ("actions",):
        return [space]
    inner = space.get("subspaces")
    if isinstance(inner, list):
        inner = {f"_index_{i}": part for i, part in enumerate(inner)}
    return [inner.get(agent, {}) if isinstance(inner, dict) else {} for agent in names.agents]


def _bounds(kinds: list[dict[str, Any]], widths: tuple[int, ...]) -> Bounds | None:
    """The bounds of Box spaces, none of others; None where one is not finite or does not fit."""
    needed = [w if kind["type"] == "Box" else 0 for kind, w in zip(kinds, widths, strict=True)]
    sides = [
        [np.asarray(kind.get(side, ()), np.float32).reshape(-1) for kind in kinds]
        for side in ("low", "high")
    ]
    for side in sides:
        for own, width in zip(side, needed, strict=True):
            if own.shape != (width,) or not np.isfinite(own).all():
                return None
    low, high = (tuple(tuple(map(float, own)) for own in side) for side in sides)
    return low, high


def _episodes(path: Path, count: int, names: _Names) -> Iterator[Episode]:
    row = 0
    with hdf5.opened(path) as file:
        for number in range(count):
            episode = _episode(hdf5.member(file, f"episode_{number}"), names, row)
            yield episode
            row += len(episode.reward)


def _episode(group: h5py.Group, names: _Names, row: int) -> Episode:
    reward = float_rows(hdf5.episode_rows(group, "rewards"))
    steps = len(reward)

    def beside(paths: tuple[str, ...], rows: int) -> NDArray[np.float32]:
        parts = [float_rows(hdf5.episode_rows(*_at(group, path))) for path in paths]
        for path, part in zip(paths, parts, strict=True):
            if len(part) != rows:
                raise ImportDataError(
                    f"{group.file.filename}: {group.name}/{path} has {len(part)} rows, need "
                    f"{rows}: the episode has {steps} rewards"
                )
        return np.concatenate(parts, axis=1)

    seen = tuple(path for own in names.observations for path in own)
    return Episode(
        action=beside(names.actions, steps),
        features=beside((*(("infos/state",) * names.state), *seen), steps + 1),
        reward=reward,
        terminated=bool(hdf5.episode_rows(group, "terminations").any()),
        row=row,
    )
