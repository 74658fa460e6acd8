"""From a log's arrays to rows and episodes: the one way that every format takes.

A reader says which of its arrays are what (`Fields`) and yields them piece by piece. Flat logs are
then divided by `rows.episodes`; others have whole episodes, with a row more of what belongs to
states than of what belongs to steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moma.log_tools.importing import usual
from moma.log_tools.importing.log import (
    Agent,
    Arrays,
    Episode,
    ImportDataError,
    Layout,
    numbered,
)
from moma.log_tools.importing.rows import Rows


@dataclass(frozen=True, kw_only=True)
class Fields:
    """Which of a log's arrays are what; arrays of one kind lie side by side, in this order."""

    agents: tuple[Agent, ...]
    rewards: tuple[str, ...]
    state: tuple[str, ...] = ()
    """The global state."""
    state_names: tuple[str, ...] = ()
    """Names of its columns; none: numbers."""
    terminated: usual.Flags = ()
    ended: usual.Flags = ()
    """Flags of any other end."""
    number: tuple[str, ...] = ()
    """Number of the episode; one array at most."""
    following: tuple[str, ...] = ()
    """Features after each step."""
    beside: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Arrays of what else is kept at each state, by its name in `Episode.beside`."""

    @cached_property
    def features(self) -> tuple[str, ...]:
        """The global state, then what each agent observes."""
        return (*self.state, *chain(*(agent.seen for agent in self.agents)))

    @cached_property
    def actions(self) -> tuple[str, ...]:
        """What each agent does."""
        return tuple(chain(*(agent.acted for agent in self.agents)))

    @cached_property
    def all(self) -> tuple[str, ...]:
        """The names of all these arrays."""
        flags = chain(*self.terminated, *self.ended)
        flat = (*self.features, *self.actions, *self.rewards, *flags, *self.number, *self.following)
        return tuple(dict.fromkeys(chain(flat, *self.beside.values())))

    @cached_property
    def of_states(self) -> frozenset[str]:
        """Arrays with a row for each state, where a log has one more of them than of steps."""
        return frozenset((*self.features, *chain(*self.beside.values())))


Sample = Mapping[str, Any]
"""Arrays by name, or what has their shape and dtype."""


def layout(source: str, names: Fields, sample: Sample, **traits: Any) -> Layout:  # noqa: ANN401
    """Says who acts in a log, once its arrays are known: what is declared holds, or is refused.

    Args:
        source: the file, for messages.
        names: which array is what, and what is declared of the agents.
        sample: some rows of each array.
        traits: of the format, see `Layout`.

    Raises:
        ImportDataError: names or bounds do not fit the arrays, or integers could be anything.
    """
    widths = {name: int(np.prod(array.shape[1:])) for name, array in sample.items()}
    state = sum(widths[name] for name in names.state)
    if names.state_names and len(names.state_names) != state:
        raise ImportDataError(
            f"{source}: {len(names.state_names)} state_names, the state has {state} columns"
        )
    return Layout(
        agents=tuple(_declared(source, agent, sample, widths) for agent in names.agents),
        widths=widths,
        state=names.state_names or numbered("state", state),
        **traits,
    )


def _declared(source: str, agent: Agent, sample: Sample, widths: Mapping[str, int]) -> Agent:
    """The agent, once it is known what it does."""
    acted, seen = (sum(widths[name] for name in own) for own in (agent.acted, agent.seen))
    bounded = bool(agent.low or agent.high)
    for what, given, need in (
        ("action_low", agent.low, acted * bounded),
        ("action_high", agent.high, acted * bounded),
        ("observation_names", agent.names, seen if agent.names else 0),
    ):
        if len(given) != need:
            raise ImportDataError(
                f"{source}: agent {agent.name}: {what} has {len(given)} entries, need {need}"
            )
    integers = all(sample[name].dtype.kind in "iub" for name in agent.acted)
    chooses = agent.choices is not None or (integers and not agent.amounts and not bounded)
    if chooses and (acted != 1 or bounded):
        what = "bounds beside choices" if bounded else f"{acted} numbers a step"
        raise ImportDataError(
            f"{source}: {', '.join(agent.acted)}: integer actions are choices, one number a step, "
            f"got {what}; write floats where they are none, or declare their bounds"
        )
    return replace(
        agent,
        choices=(agent.choices or 0) if chooses else None,
        asked=acted == 1 and not chooses and not bounded and not agent.amounts,
    )


def gather(names: Fields, arrays: Arrays) -> Rows:
    """Puts the arrays of some rows side by side, and says what is what.

    Args:
        names: which is what.
        arrays: as many rows of each.
    """
    terminated, ends = _marks(names, arrays)
    return Rows(
        features=_side(names.features, arrays),
        action=_side(names.actions, arrays),
        reward=_rewards(names, arrays),
        terminated=terminated,
        ends=ends,
        number=arrays[names.number[0]].reshape(-1).astype(np.int64) if names.number else None,
        following=_side(names.following, arrays) if names.following else None,
        beside=_beside(names, arrays),
    )


def _side(wanted: Sequence[str], arrays: Arrays) -> NDArray[Any]:
    return side_by_side([arrays[name] for name in wanted])


def _rewards(names: Fields, arrays: Arrays) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what lies beyond float32 becomes infinite, and is found
        return np.asarray(_side(names.rewards, arrays), np.float32)


def _marks(names: Fields, arrays: Arrays) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where the team (`[N 1]`) or each agent terminates, and where it ends at all."""
    rows = len(arrays[names.rewards[0]])

    def marks(groups: usual.Flags) -> NDArray[np.bool_]:
        found = [_side(own, arrays) != 0 for own in groups]
        return reduce(np.logical_or, found, np.zeros((rows, 1), np.bool_))

    terminated = marks(names.terminated)
    ends = terminated | marks(names.ended)
    return np.broadcast_to(terminated, ends.shape), ends


def _beside(names: Fields, arrays: Arrays) -> dict[str, NDArray[Any]]:
    """What else is known: `timestamp` [N], `present` [N A], `allowed` [N A U]."""
    found: dict[str, NDArray[Any]] = {}
    for kind, own in names.beside.items():
        parts = [arrays[name] for name in own]
        if kind == "timestamp":
            found[kind] = parts[0].astype(np.float64).reshape(-1)
        elif kind == "present":
            found[kind] = side_by_side(parts) != 0
        elif parts[0].ndim == 3:  # of all agents
            found[kind] = parts[0] != 0
        else:
            widest = max(part.shape[1] for part in parts)
            padded = [np.pad(p != 0, ((0, 0), (0, widest - p.shape[1]))) for p in parts]
            found[kind] = np.stack(padded, axis=1)
    return found


def side_by_side(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Returns rows as one matrix: of float32, or of float64 where that would lose digits."""
    wide = any(part.dtype not in _NARROW for part in parts)
    kind = np.float64 if wide else np.float32
    if len(parts) == 1 and parts[0].dtype == kind:
        return parts[0].reshape(len(parts[0]), -1)
    flat = [np.asarray(part, kind).reshape(len(part), -1) for part in parts]
    return np.concatenate(flat, axis=1)


_NARROW = {np.dtype(kind) for kind in ("f4", "f2", "i1", "u1", "i2", "u2", "?")}
"""Dtypes every value of which float32 holds."""


def whole(names: Fields, arrays: Arrays, row: int, source: str) -> Episode:
    """Makes the episode of arrays that hold it whole.

    Args:
        names: which array is what.
        arrays: T rows of what belongs to steps, T+1 of what belongs to states.
        row: the step of the log at which it begins, for messages.
        source: the file, for the error.

    Raises:
        ImportDataError: as many rows as do not fit together, or it goes on after an end.
    """
    steps = len(arrays[names.rewards[0]])
    for name in names.all:
        need = steps + (name in names.of_states)
        if len(arrays[name]) != need:
            raise ImportDataError(
                f"{source}: {name} has {len(arrays[name])} rows, need {need}: the episode has "
                f"{steps} rewards"
            )
    terminated, ends = _marks(names, arrays)
    over = np.asarray(np.logical_or.accumulate(ends, axis=0).all(axis=1))
    if over[:-1].any():
        flags = ", ".join(chain(*names.terminated, *names.ended))
        raise ImportDataError(
            f"{source}: {flags} is set at row {row + int(over.argmax())}, and its episode goes on "
            f"to row {row + steps - 1}"
        )
    return Episode(
        action=_side(names.actions, arrays),
        features=_side(names.features, arrays),
        reward=_rewards(names, arrays),
        terminated=bool(terminated.any(axis=0).all()),
        row=row,
        beside=_beside(names, arrays),
    )
