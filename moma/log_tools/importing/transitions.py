"""Logs in D4RL's manner: named arrays with a row per step, episodes end to end.

`observations` and `actions` have a row per step, `rewards` and flags of episodes' ends (see
`usual`) a number per step; optional `next_observations` is the observation after each step. Each
array may have an axis of agents after that of rows, or be several, `NAME/0`, `NAME/1`, one for each
agent. With `next_observations` every step is kept, and an episode also ends where they do not
continue in the next row; without them, the last step of each has no state after it and is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

from numpy.typing import NDArray

from moma.log_tools.importing import limits, usual
from moma.log_tools.importing.fields import Fields, gather, layout
from moma.log_tools.importing.log import Agent, ImportDataError, Log
from moma.log_tools.importing.rows import Rows, episodes

REQUIRED = ("observations", "actions", "rewards")
OPTIONAL = ("next_observations",)
Opened = Mapping[str, Any]
"""Arrays that can be sliced along their rows, by name."""


def wanted(name: str) -> bool:
    """Says whether an array of this name is read."""
    kind = name.split("/")[0]
    known = (*REQUIRED, *OPTIONAL, *usual.TIME)
    return kind in known or any(usual.ends([kind]))


def read(source: str, opened: Callable[[], AbstractContextManager[Opened]]) -> Log:
    """Opens such a log.

    Args:
        source: the file, for messages.
        opened: opens its arrays, each checked to hold plain numbers.

    Raises:
        ImportDataError: an array is missing or its shape does not fit.
    """
    with opened() as arrays:
        names = _names(source, arrays)
        steps = _check(source, names, arrays)
        described = layout(source, names, {n: _own(arrays, n, slice(0, 1)) for n in names.all})
        flags = [name for name, array in arrays.items() if array.dtype.kind == "b"]
        notes = usual.unread(flags, names.all)
    if not names.ended:
        notes = ("no timeouts in it: only terminals end its episodes", *notes)

    def stream() -> Iterator[Rows]:
        with opened() as arrays:
            for part in limits.slices(steps, 2 * len(described.features)):
                held = {name: arrays[name][part] for name in {n.split("#")[0] for n in names.all}}
                yield gather(names, {name: _own(held, name) for name in names.all})

    return Log(
        source=source,
        layout=described,
        rows=steps,
        episodes=lambda: episodes(stream(), source),
        notes=notes,
    )


def _names(source: str, arrays: Opened) -> Fields:
    kinds: dict[str, list[str]] = {}
    for name, array in arrays.items():
        agents = range(array.shape[1]) if array.ndim == 3 else ()
        each = [f"{name}#{i}" for i in agents] or [name]
        kinds.setdefault(name.split("/")[0], []).extend(each)
    terminated, ended = usual.ends(arrays)
    missing = [name for name in REQUIRED if name not in kinds]
    if missing or not terminated:
        raise ImportDataError(
            f"{source} has no {', '.join(missing) or 'terminals'}; it needs "
            f"{', '.join(REQUIRED)}, terminals and has {', '.join(arrays)}"
        )
    seen, acted = kinds["observations"], kinds["actions"]
    if len(seen) != len(acted):
        raise ImportDataError(
            f"{source}: observations of {len(seen)} agents, actions of {len(acted)}"
        )
    time = next((tuple(kinds[name]) for name in usual.TIME if name in kinds), ())
    return Fields(
        agents=tuple(
            Agent(name=f"agent_{i}", seen=(own,), acted=(done,))
            for i, (own, done) in enumerate(zip(seen, acted, strict=True))
        ),
        rewards=tuple(kinds["rewards"]),
        terminated=terminated,
        ended=ended,
        following=tuple(kinds.get("next_observations", ())),
        beside={"timestamp": time} if time else {},
    )


def _own(arrays: Opened, name: str, rows: slice = slice(None)) -> NDArray[Any]:
    """Rows of an array, or of one agent's part of it, `NAME#AGENT`."""
    whole, _, agent = name.partition("#")
    part: NDArray[Any] = arrays[whole][rows]
    return part[:, int(agent)] if agent else part


def _check(source: str, names: Fields, arrays: Opened) -> int:
    shapes = {name: arrays[name.split("#")[0]].shape for name in names.all}
    first, *_ = names.features
    for name, shape in shapes.items():
        if shape[0] != shapes[first][0]:
            raise ImportDataError(
                f"{source}: {name} has {shape[0]} rows, {first} has {shapes[first][0]}"
            )
    seen, after = ([shapes[n][1:] for n in own] for own in (names.features, names.following))
    if names.following and seen != after:
        raise ImportDataError(
            f"{source}: next_observations has rows of shapes {after}, observations of {seen}"
        )
    return int(shapes[first][0])
