"""What rows come to: per task and algorithm, over tasks, and one algorithm against another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moma.studies import statistics
from moma.studies.rows import Row, named
from moma.studies.statistics import Scores

Interval = tuple[float, float] | None
_TEAM = "moma_ppo"
THRESHOLDS = np.linspace(-0.2, 1.2, 57)
"""Scores at which performance profiles are drawn."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What an algorithm's runs on one task come to."""

    scores: NDArray[np.float64]
    mean: float
    worst: float
    interval: Interval
    """Interval of the mean, 95 %; none for a single run."""


@dataclass(frozen=True, kw_only=True)
class Overall:
    """What an algorithm's runs on all tasks come to."""

    tasks: tuple[str, ...]
    """Tasks that it has runs on, of those that are compared."""
    iqm: float
    interval: Interval
    profile: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Duel:
    """The first algorithm against another on the tasks that both have."""

    other: str
    tasks: int
    probability: float
    """Probability that a run of the first one is better."""
    interval: Interval


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All of it; algorithms and tasks in the rows' order."""

    first: str
    """Algorithm that the others are held against."""
    tasks: tuple[str, ...]
    algorithms: tuple[str, ...]
    cells: dict[tuple[str, str], Cell]
    """Cells by task and algorithm; a missing one is missing."""
    overall: dict[str, Overall]
    duels: tuple[Duel, ...]
    seeds: int
    """Most runs that a cell has."""

    @property
    def missing(self) -> list[str]:
        """Cells with fewer runs than the fullest, each with how many it has."""
        return [
            f"{task} {algorithm}: {have} of {self.seeds}"
            for task in self.tasks
            for algorithm in self.algorithms
            if (have := self._runs(task, algorithm)) < self.seeds
        ]

    def _runs(self, task: str, algorithm: str) -> int:
        cell = self.cells.get((task, algorithm))
        return 0 if cell is None else len(cell.scores)


def compare(rows: Sequence[Row], first: str = "") -> Comparison:
    """Returns what rows come to.

    Args:
        rows: of any tasks and algorithms.
        first: algorithm that the others are held against; empty: the team, or the first row's.

    Raises:
        ValueError: there is no row, or none of that algorithm; or two rows are of one run.
    """
    if not rows:
        raise ValueError("there is no row to compare")
    _check_once(rows)
    tasks, algorithms = named([r.name for r in rows]), named([r.algorithm for r in rows])
    first = first or (_TEAM if _TEAM in algorithms else algorithms[0])
    if first not in algorithms:
        raise ValueError(f"there is no row of {first!r}; there are: {', '.join(algorithms)}")
    algorithms = [first, *(name for name in algorithms if name != first)]
    cells = {}
    for task in tasks:
        for algorithm in algorithms:
            of = [r.score for r in rows if (r.name, r.algorithm) == (task, algorithm)]
            if of:
                cells[task, algorithm] = _cell(np.array(of))
    return Comparison(
        first=first,
        tasks=tuple(tasks),
        algorithms=tuple(algorithms),
        cells=cells,
        overall={name: _overall(tasks, cells, name) for name in algorithms},
        duels=tuple(_duel(tasks, cells, first, name) for name in algorithms if name != first),
        seeds=max(len(cell.scores) for cell in cells.values()),
    )


def _check_once(rows: Sequence[Row]) -> None:
    """Refuses rows of one run, which would count twice."""
    seen = set()
    for row in rows:
        key = (row.name, row.algorithm, row.seed)
        if key in seen:
            raise ValueError(f"two rows are of {row.name}, {row.algorithm}, seed {row.seed}")
        seen.add(key)


def _cell(scores: NDArray[np.float64]) -> Cell:
    return Cell(
        scores=scores,
        mean=float(scores.mean()),
        worst=float(scores.min()),
        interval=statistics.interval([scores], statistics.mean),
    )


def _overall(tasks: Sequence[str], cells: dict[tuple[str, str], Cell], name: str) -> Overall:
    have = tuple(task for task in tasks if (task, name) in cells)
    scores: Scores = [cells[task, name].scores for task in have]
    return Overall(
        tasks=have,
        iqm=statistics.iqm(scores),
        interval=statistics.interval(scores, statistics.iqm),
        profile=statistics.profile(scores, THRESHOLDS),
    )


def _duel(tasks: Sequence[str], cells: dict[tuple[str, str], Cell], first: str, other: str) -> Duel:
    both = [task for task in tasks if (task, first) in cells and (task, other) in cells]
    mine = [cells[task, first].scores for task in both]
    theirs = [cells[task, other].scores for task in both]
    return Duel(
        other=other,
        tasks=len(both),
        probability=statistics.improvement(mine, theirs) if both else float("nan"),
        interval=statistics.improvement_interval(mine, theirs) if both else None,
    )
