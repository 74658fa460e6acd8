"""Rows of a study: a JSON line a run, in a file that a kill leaves whole but for its last line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from moma_core import documents
from moma_core.storage import write_text


@dataclass(frozen=True, kw_only=True)
class Returns:
    """Returns of the final episodes."""

    mean: float
    ci95: tuple[float, float]
    episodes: int


@dataclass(frozen=True, kw_only=True)
class Estimated:
    """Opinion of the run itself of what its team is worth."""

    return_mean: float
    return_ci95: tuple[float, float]
    judgement: str


@dataclass(frozen=True, kw_only=True)
class Point:
    """One evaluation on the way."""

    round: int
    score: float


@dataclass(frozen=True, kw_only=True)
class Row:
    """One run and what came of its final policies."""

    task: str
    variant: str
    """Data that was learned from."""
    algorithm: str
    seed: int
    score: float
    """Score of the final policies, on a scale of the task on which 1 is good."""
    returns: Returns
    estimate: Estimated | None
    curve: tuple[Point, ...]
    """Evaluations on the way, which chose nothing."""
    rounds: int
    """Updates in all: the curve's end."""
    seconds: dict[str, float]
    """Seconds of every phase, and of the whole run as `total`."""
    settings: str
    """Flags of the run."""
    commit: str
    """Version and commit of the code."""
    data_sha256: str
    """Digest of the dataset's files."""
    true_evaluations_used_in_tuning: int
    """Evaluations in the environment that the settings were chosen by."""

    @property
    def name(self) -> str:
        """The task and its data."""
        return f"{self.task}/{self.variant}" if self.variant else self.task


def seconds_to(row: Row, score: float) -> float | None:
    """Returns the seconds from the log to the first evaluation of at least a score.

    Data, model and clones count; rounds are taken for equally long.

    Args:
        row: the run.
        score: to reach.

    Returns:
        None where no evaluation on the way reached it.
    """
    reached = [point.round for point in row.curve if point.score >= score]
    if not reached:
        return None
    before = sum(row.seconds.get(phase, 0.0) for phase in ("data", "fit", "clone"))
    return before + row.seconds["training_rounds"] * reached[0] / row.rounds


def read(path: Path) -> list[Row]:
    """Reads rows; none where there is no file, and none from a last line that was cut short.

    Raises:
        ValueError: a whole line is no row; the text names it.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [documents.parse(Row, line, f"{path}:{n}") for n, line in enumerate(lines, 1)]


def append(path: Path, row: Row) -> None:
    """Adds a row, and takes away what a kill left of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        file.write(json.dumps(asdict(row)).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def write(path: Path, rows: Iterable[Row]) -> None:
    """Replaces a file of rows."""
    write_text(path, "".join(json.dumps(asdict(row)) + "\n" for row in rows))


def ordered(rows: Iterable[Row]) -> list[Row]:
    """Returns rows by task, algorithm and seed, whatever the order in which runs ended."""
    return sorted(rows, key=lambda r: (r.name, r.algorithm, r.settings, r.seed))


def named(values: Sequence[str]) -> list[str]:
    """Returns each name once, in the order in which they came."""
    return list(dict.fromkeys(values))
