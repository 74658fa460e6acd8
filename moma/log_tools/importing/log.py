"""The nouns of importing: what a log in another format says of a team, and one episode of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from moma_core.datasets.validate import DatasetError

Bounds = tuple[tuple[tuple[float, ...], ...], tuple[tuple[float, ...], ...]]
"""Per agent, the lower and the upper bounds of its action's dimensions."""


class ImportDataError(DatasetError):
    """A log that cannot be read, or that must not be: names file, field and what to do."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Who acts in a log, and which columns of its rows are whose.

    A row of features (C columns) holds the global state, where the log has one, then what each
    agent observes; a row of actions (W columns) holds the agents' actions side by side.
    """

    agents: tuple[str, ...]
    features: tuple[str, ...]
    """Names of the columns of features."""
    observations: tuple[tuple[int, ...], ...]
    """Columns of features that each agent observes."""
    action_widths: tuple[int, ...]
    """Width of each agent's action; 1 where it is the number of a choice."""
    state_width: int = 0
    """Number of columns, the first ones, that are the global state."""
    bounds: Bounds | None = None
    """Bounds of actions, none of agents that choose; None: the log does not say; the data's own
    extremes are taken."""
    choices: tuple[int | None, ...] = ()
    """Number of each agent's choices, 0 where the log does not say, None where it does not choose;
    empty: nobody does."""
    padded: bool = False
    """Padding up to the widest agent: columns that are 0 or -inf in every row."""
    tolerance: float = 0.0
    """Difference up to which two columns are one feature, relative to 1 and their size."""
    limits_are_terminals: bool = False
    """Format that marks an episode which ran out of time as terminated."""

    @property
    def discrete(self) -> tuple[bool, ...]:
        """Per agent, whether it chooses."""
        return tuple(count is not None for count in self.choices) or (False,) * len(self.agents)


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One episode of T steps; T may be 0 where a log has a single row."""

    action: Float32[np.ndarray, "T W"]
    """Actions of all agents side by side: dimensions, or the number of a choice."""
    features: Float32[np.ndarray, "T+1 C"]
    reward: Float32[np.ndarray, "T R"]
    """Rewards; R is 1, the team's, or one per agent."""
    terminated: bool
    row: int
    """Row of the log at which it begins, for messages."""
    dropped: Float32[np.ndarray, "1 R"] | None = None
    """Reward of a last step that was dropped because the log has no state after it."""


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


def float_rows(array: NDArray[np.generic]) -> NDArray[np.float32]:
    """Returns rows as float32 `[R W]`; what lies beyond float32 becomes infinite, and is found."""
    with np.errstate(over="ignore"):
        return np.asarray(array, dtype=np.float32).reshape(len(array), -1)
