"""A suite: tasks, algorithms, and so a list of runs; a JSON file, so that anybody can write one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from moma.studies.rows import Row
from moma_core import documents


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A task and the data to learn it from."""

    task: str
    variant: str
    words: tuple[str, ...]
    """Words of `moma train` that name them; {seed} is the run's seed."""
    scale: tuple[float, float] | None = None
    """Returns that score 0 and 1; null: the task's own."""
    without: tuple[str, ...] = ()
    """Algorithms that have no form for it."""

    def given(self, seed: int) -> list[str]:
        """Returns the words that name the task and the data of a run of that seed."""
        return [word.replace("{seed}", str(seed)) for word in self.words]

    def score(self, episode_return: float) -> float | None:
        """Returns a return on the entry's scale; None where it has none."""
        if self.scale is None:
            return None
        zero, one = self.scale
        return (episode_return - zero) / (one - zero)


@dataclass(frozen=True, kw_only=True)
class Method:
    """An algorithm and its settings."""

    label: str
    """Name in tables."""
    algorithm: str
    words: tuple[str, ...] = ()
    """Flags of `moma train` in addition."""
    tuning: int = 0
    """Evaluations in the environment that its settings were chosen by."""
    only: tuple[str, ...] = ()
    """Tasks to run it on; none: all."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of a study."""

    entry: Entry
    method: Method
    seed: int

    @property
    def words(self) -> list[str]:
        """What `moma train` is told."""
        return [
            *self.entry.given(self.seed), "--algorithm", self.method.algorithm,
            "--seed", str(self.seed), *self.method.words,
        ]  # fmt: skip

    @property
    def settings(self) -> str:
        """The flags as one text, without the seed."""
        return " ".join([*self.entry.words, *self.method.words])

    @property
    def name(self) -> str:
        """The run's name, which is its directory's."""
        parts = (self.entry.task, self.entry.variant, self.method.label, self.seed)
        return "-".join(str(part) for part in parts if part != "")

    def made(self, row: Row) -> bool:
        """Says whether a row is of this run."""
        mine = (self.entry.task, self.entry.variant, self.method.label, self.seed, self.settings)
        return mine == (row.task, row.variant, row.algorithm, row.seed, row.settings)


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A list of runs."""

    entries: tuple[Entry, ...]
    methods: tuple[Method, ...]

    def jobs(self, seeds: int, first: int = 0) -> Iterator[Job]:
        """Yields the runs, all of a seed before those of the next: tables fill evenly.

        Args:
            seeds: per task and algorithm.
            first: the first of them.
        """
        for seed in range(first, first + seeds):
            for entry in self.entries:
                for method in self.methods:
                    wanted = not method.only or entry.task in method.only
                    if wanted and method.algorithm not in entry.without:
                        yield Job(entry=entry, method=method, seed=seed)


def read(path: Path) -> Suite:
    """Reads a suite.

    Raises:
        ValueError: it is none, or two of its runs would lie in one place.
    """
    suite = documents.load(Suite, path)
    names = [job.name for job in suite.jobs(1)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{path}: two runs are called {twice[0]}; labels and variants must differ")
    return suite
