"""Logs in D4RL's manner: named arrays with a row per step, episodes end to end.

`observations` and `actions` have a row per step, `rewards`, `terminals` and, optionally,
`timeouts` a number per step; optional `next_observations` is the observation after each step. Each
field may also be a list of arrays, one per agent, or have an axis of agents after that of rows.
With `next_observations` every step is kept, and an episode also ends where they do not continue in
the next row; without them, the last step of each episode has no state after it and is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moma.log_tools.importing import limits
from moma.log_tools.importing.log import ImportDataError, Layout, Log, columns, float_rows, numbered
from moma.log_tools.importing.rows import Rows, episodes

REQUIRED = ("observations", "actions", "rewards", "terminals")
OPTIONAL = ("timeouts", "next_observations")
Fields = Mapping[str, Sequence[Any]]
"""Per field, an array per agent that can be sliced along its rows; one array of all agents has
an axis for them."""


def read(source: str, opened: Callable[[], AbstractContextManager[Fields]]) -> Log:
    """Opens such a log.

    Args:
        source: the file, for messages.
        opened: opens its fields, each checked to hold plain numbers.

    Raises:
        ImportDataError: a field is missing or its shape does not fit.
    """
    with opened() as fields:
        steps = _check(source, fields)
        layout = _layout(fields)
        notes = []
        if "timeouts" not in fields:
            notes.append("no timeouts in it: only terminals end its episodes")

    def stream() -> Iterator[Rows]:
        with opened() as fields:
            for part in limits.slices(steps, 2 * len(layout.features)):
                yield _rows(fields, part)

    return Log(
        source=source,
        layout=layout,
        rows=steps,
        episodes=lambda: episodes(stream(), source),
        notes=tuple(notes),
    )


def _check(source: str, fields: Fields) -> int:
    for name in REQUIRED:
        if name not in fields:
            raise ImportDataError(
                f"{source} has no {name}; it needs {', '.join(REQUIRED)} and has "
                f"{', '.join(fields)}"
            )
    steps = len(fields["observations"][0])
    for name, arrays in fields.items():
        for data in arrays:
            if len(data) != steps:
                raise ImportDataError(
                    f"{source}: {name} has {len(data)} rows, observations has {steps}"
                )
    seen, after = (
        [data.shape[1:] for data in fields.get(name, fields["observations"])]
        for name in ("observations", "next_observations")
    )
    if seen != after:
        raise ImportDataError(
            f"{source}: next_observations has rows of shapes {after}, observations of {seen}"
        )
    agents, acting = len(_widths(fields["observations"])), len(_widths(fields["actions"]))
    if agents != acting:
        raise ImportDataError(f"{source}: observations of {agents} agents, actions of {acting}")
    return steps


def _widths(arrays: Sequence[Any]) -> list[int]:
    if arrays[0].ndim == 3:
        return [int(arrays[0].shape[2])] * int(arrays[0].shape[1])
    return [int(np.prod(a.shape[1:])) for a in arrays]


def _layout(fields: Fields) -> Layout:
    seen, acted = _widths(fields["observations"]), _widths(fields["actions"])
    agents = tuple(f"agent_{i}" for i in range(len(seen)))
    kinds = [a.dtype.kind for a in fields["actions"]]
    kinds = kinds if len(kinds) == len(agents) else kinds * len(agents)
    return Layout(
        agents=agents,
        features=tuple(
            name
            for agent, width in zip(agents, seen, strict=True)
            for name in numbered(agent, width)
        ),
        observations=columns(seen),
        action_widths=tuple(acted),
        choices=tuple(
            0 if kind in "iu" and width == 1 else None
            for kind, width in zip(kinds, acted, strict=True)
        ),
    )


def _rows(fields: Fields, part: slice) -> Rows:
    def beside(name: str) -> NDArray[np.float32]:
        return np.concatenate([float_rows(a[part]) for a in fields[name]], axis=1)

    def all_agents(name: str) -> NDArray[np.bool_]:
        return np.asarray((beside(name) != 0).all(axis=1))

    terminated = all_agents("terminals")
    timeout = all_agents("timeouts") if "timeouts" in fields else np.zeros_like(terminated)
    return Rows(
        features=beside("observations"),
        action=beside("actions"),
        reward=beside("rewards"),
        terminated=terminated,
        ends=terminated | timeout,
        following=beside("next_observations") if "next_observations" in fields else None,
    )
