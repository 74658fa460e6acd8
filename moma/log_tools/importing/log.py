"""The nouns of importing: what a log in another format says of a team, and one episode of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Float, Float32
from numpy.typing import NDArray

from moma_core.datasets.validate import DatasetError

Arrays = Mapping[str, NDArray[Any]]
"""Some consecutive rows of a log's arrays, by name."""


class ImportDataError(DatasetError):
    """A log that cannot be read, or that must not be: names file, field and what to do."""


@dataclass(frozen=True, kw_only=True)
class Agent:
    """One agent of a log: which arrays are its own, and what the log declares of its action."""

    name: str
    seen: tuple[str, ...]
    """Arrays that it observes, side by side; none: the whole global state."""
    acted: tuple[str, ...]
    names: tuple[str, ...] = ()
    """Names of what it observes, column by column; none: numbers."""
    choices: int | None = None
    """Number of its choices, 0 where the log does not say; None: it does not choose."""
    low: tuple[float, ...] = ()
    """Lower bounds of its action; empty: the log does not say, the data's extremes are taken."""
    high: tuple[float, ...] = ()
    amounts: bool = False
    """Numbers that are no choices, also where they are integers."""
    asked: bool = False
    """Floats of width 1 of which nothing is said: choices or amounts, where all are whole."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Who acts in a log, and which columns of its rows are whose.

    A row of features (C columns) holds the global state, where the log has one, then what each
    agent observes; a row of actions (W columns) holds the agents' actions side by side.
    """

    agents: tuple[Agent, ...]
    widths: Mapping[str, int]
    """Columns of each array."""
    state: tuple[str, ...] = ()
    """Names of the columns, the first ones, that are the global state."""
    padded: bool = False
    """Padding up to the widest agent: columns that are 0 or -inf in every row."""
    tolerance: float = 0.0
    """Difference up to which two columns are one feature, relative to 1 and their size."""
    limits_are_terminals: bool = False
    """Format that marks an episode which ran out of time as terminated."""

    def width(self, arrays: tuple[str, ...]) -> int:
        """Returns the columns of some arrays side by side."""
        return sum(self.widths[name] for name in arrays)

    @property
    def names(self) -> tuple[str, ...]:
        """The agents' names."""
        return tuple(agent.name for agent in self.agents)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns of features."""
        own = (a.names or numbered(a.name, self.width(a.seen)) for a in self.agents)
        return (*self.state, *chain(*own))

    @property
    def observations(self) -> tuple[tuple[int, ...], ...]:
        """Columns of features that each agent observes."""
        own = columns([self.width(agent.seen) for agent in self.agents], len(self.state))
        whole = tuple(range(len(self.state)))
        return tuple(c if a.seen else whole for a, c in zip(self.agents, own, strict=True))

    @property
    def action_widths(self) -> tuple[int, ...]:
        """Width of each agent's action; 1 where it is the number of a choice."""
        return tuple(self.width(agent.acted) for agent in self.agents)

    @property
    def discrete(self) -> tuple[bool, ...]:
        """Per agent, whether it chooses."""
        return tuple(agent.choices is not None for agent in self.agents)


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One episode of T steps; T may be 0 where a log has a single row."""

    action: Float[np.ndarray, "T W"]
    """Actions of all agents side by side: dimensions, or the number of a choice."""
    features: Float[np.ndarray, "T+1 C"]
    """Features in the log's own precision."""
    reward: Float32[np.ndarray, "T R"]
    """Rewards; R is 1, the team's, or one per agent."""
    terminated: bool
    row: int
    """Row of the log at which it begins, for messages."""
    dropped: Float32[np.ndarray, "1 R"] | None = None
    """Reward of a last step that was dropped because the log has no state after it."""
    beside: Arrays = field(default_factory=dict)
    """Further facts of each of the T+1 states: `timestamp`, `present`, `allowed`."""


@dataclass(frozen=True, kw_only=True)
class Log:
    """A log in another format, opened: what it says of the team, and its episodes, streamed."""

    source: str
    """File, for messages."""
    layout: Layout
    rows: int
    """Steps that it says it has, at most."""
    episodes: Callable[[], Iterator[Episode]]
    """Reader from the beginning."""
    notes: tuple[str, ...] = ()
    """Notes of a reader that its user should know."""


def columns(widths: list[int], first: int = 0) -> tuple[tuple[int, ...], ...]:
    """Returns ranges of columns side by side, the first beginning at `first`."""
    ends = first + np.cumsum(widths)
    return tuple(
        tuple(range(int(end) - width, int(end))) for end, width in zip(ends, widths, strict=True)
    )


def numbered(name: str, width: int) -> tuple[str, ...]:
    """Returns `name.0`, `name.1`, ..."""
    return tuple(f"{name}.{i}" for i in range(width))
