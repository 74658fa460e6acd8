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

from moma.log_tools.importing import limits, usual
from moma.log_tools.importing.fields import Fields, gather
from moma.log_tools.importing.log import ImportDataError, Layout, Log, team
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
        seen, acted = (_widths(arrays, own) for own in (names.features, names.actions))
        if len(seen) != len(acted):
            raise ImportDataError(
                f"{source}: observations of {len(seen)} agents, actions of {len(acted)}"
            )
        chooses = all(arrays[name].dtype.kind in "iu" for name in names.actions)
        agents = team(tuple(f"agent_{i}" for i in range(len(seen))), seen, acted, chooses=chooses)
        flags = [name for name, array in arrays.items() if array.dtype.kind == "b"]
        notes = usual.unread(flags, names.all)
    if not names.ended:
        notes = ("no timeouts in it: only terminals end its episodes", *notes)

    def stream() -> Iterator[Rows]:
        with opened() as arrays:
            for part in limits.slices(steps, 2 * sum(seen)):
                yield gather(names, {name: arrays[name][part] for name in names.all})

    return Log(
        source=source,
        layout=Layout(agents=agents),
        rows=steps,
        episodes=lambda: episodes(stream(), source),
        notes=notes,
    )


def _names(source: str, arrays: Opened) -> Fields:
    kinds: dict[str, tuple[str, ...]] = {}
    for name in arrays:
        kind = name.split("/")[0]
        kinds[kind] = (*kinds.get(kind, ()), name)
    terminated, ended = usual.ends(arrays)
    missing = [name for name in REQUIRED if name not in kinds]
    if missing or not terminated:
        raise ImportDataError(
            f"{source} has no {', '.join(missing) or 'terminals'}; it needs "
            f"{', '.join(REQUIRED)}, terminals and has {', '.join(arrays)}"
        )
    time = next((kinds[name] for name in usual.TIME if name in kinds), ())
    return Fields(
        features=kinds["observations"],
        actions=kinds["actions"],
        rewards=kinds["rewards"],
        terminated=terminated,
        ended=ended,
        following=kinds.get("next_observations", ()),
        beside={"timestamp": time} if time else {},
    )


def _check(source: str, names: Fields, arrays: Opened) -> int:
    steps = len(arrays[names.features[0]])
    for name in names.all:
        if len(arrays[name]) != steps:
            raise ImportDataError(
                f"{source}: {name} has {len(arrays[name])} rows, {names.features[0]} has {steps}"
            )
    seen, after = (
        [arrays[name].shape[1:] for name in own] for own in (names.features, names.following)
    )
    if names.following and seen != after:
        raise ImportDataError(
            f"{source}: next_observations has rows of shapes {after}, observations of {seen}"
        )
    return steps


def _widths(arrays: Opened, names: tuple[str, ...]) -> list[int]:
    shapes = [arrays[name].shape for name in names]
    if len(shapes[0]) == 3:
        return [int(shapes[0][2])] * int(shapes[0][1])
    return [int(shape[1]) if len(shape) > 1 else 1 for shape in shapes]
