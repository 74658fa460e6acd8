"""The nouns of importing: what a log in another format says of a team, and one episode of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
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
    """What a log says of one agent."""

    name: str
    features: tuple[str, ...] | None
    """Names of what it observes; None: the whole global state."""
    width: int
    """Width of its action; 1 where it is the number of a choice."""
    choices: int | None = None
    """Number of its choices, 0 where the log does not say; None: it does not choose."""
    low: tuple[float, ...] = ()
    """Lower bounds of its action; empty: the log does not say, the data's extremes are taken."""
    high: tuple[float, ...] = ()
    asked: bool = False
    """Floats of width 1 of which nothing is said: choices or amounts, where all are whole."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Who acts in a log, and which columns of its rows are whose.

    A row of features (C columns) holds the global state, where the log has one, then what each
    agent observes; a row of actions (W columns) holds the agents' actions side by side.
    """

    agents: tuple[Agent, ...]
    state: tuple[str, ...] = ()
    """Names of the columns, the first ones, that are the global state."""
    padded: bool = False
    """Padding up to the widest agent: columns that are 0 or -inf in every row."""
    tolerance: float = 0.0
    """Difference up to which two columns are one feature, relative to 1 and their size."""
    limits_are_terminals: bool = False
    """Format that marks an episode which ran out of time as terminated."""

    @property
    def names(self) -> tuple[str, ...]:
        """The agents' names."""
        return tuple(agent.name for agent in self.agents)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns of features."""
        return (*self.state, *(name for agent in self.agents for name in agent.features or ()))

    @property
    def observations(self) -> tuple[tuple[int, ...], ...]:
        """Columns of features that each agent observes."""
        own = iter(columns([len(a.features or ()) for a in self.agents], len(self.state)))
        whole = tuple(range(len(self.state)))
        return tuple(whole if a.features is None else c for a, c in zip(self.agents, own))  # noqa: B905

    @property
    def action_widths(self) -> tuple[int, ...]:
        """Width of each agent's action."""
        return tuple(agent.width for agent in self.agents)

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


def team(
    names: Iterator[str] | tuple[str, ...], seen: list[int], acted: list[int], *, chooses: bool
) -> tuple[Agent, ...]:
    """Returns agents of whom a log says no more than how wide their rows are.

    Args:
        names: the agents.
        seen: width of each one's observation.
        acted: width of each one's action.
        chooses: actions are integers: of width 1, they are choices.
    """
    return tuple(
        Agent(
            name=name,
            features=numbered(name, width),
            width=own,
            choices=0 if chooses and own == 1 else None,
            asked=own == 1 and not chooses,
        )
        for name, width, own in zip(names, seen, acted, strict=True)
    )
