"""What a run's files say of it, as a report needs it; what is not there yet is empty."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moma_core import documents
from moma_core.runtime.run import RunDirectory

_TEAM = "team"


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval."""

    mean: float
    low: float
    high: float

    def __sub__(self, other: Interval) -> Interval:
        """Returns the difference of two independent figures, by the squares of their intervals."""
        low = math.hypot(self.mean - self.low, other.high - other.mean)
        high = math.hypot(self.high - self.mean, other.mean - other.low)
        apart = self.mean - other.mean
        return Interval(apart, apart - low, apart + high)

    def __str__(self) -> str:
        return f"{self.mean:.4g} ({self.low:.4g} to {self.high:.4g})"


@dataclass(frozen=True)
class RunFacts:
    """A run as its directory has it."""

    run: RunDirectory

    @cached_property
    def config(self) -> dict[str, Any]:
        """Every setting by its dotted name."""
        return dict(_flat(documents.read(self.run.config_path), ""))

    @cached_property
    def result(self) -> dict[str, Any]:
        """What came out; empty before the end."""
        return documents.read(self.run.result) if self.run.result.is_file() else {}

    @cached_property
    def belief(self) -> dict[str, Any]:
        """Estimates and the judgement on them; empty where there are none."""
        return self.result.get("belief") or {}

    @cached_property
    def model(self) -> dict[str, Any]:
        """What was measured of the world model; empty where there is none."""
        path = self.run.model / "report.json"
        return documents.read(path) if path.is_file() else {}

    @cached_property
    def features(self) -> list[str]:
        """Names of what the model predicts, the reward last; empty where there is no model."""
        path = self.run.model / "card.json"
        card = documents.read(path) if path.is_file() else {}
        return [*card["task"]["state_names"], "reward"] if card else []

    @cached_property
    def subject(self) -> dict[str, Any]:
        """What the run is about; empty where it has not opened its log."""
        return documents.read(self.run.subject) if self.run.subject.is_file() else {}

    @cached_property
    def log(self) -> dict[str, Any]:
        """Facts of the log, where settings were chosen by them."""
        found = documents.read(self.run.settings) if self.run.settings.is_file() else {}
        log: dict[str, Any] = found.get("log", {})
        return log

    @cached_property
    def _lines(self) -> list[dict[str, Any]]:
        path = self.run.events / "metrics.jsonl"
        if not path.is_file():
            return []
        lines = path.read_text("utf-8").splitlines()
        return [documents.loads(line) for line in lines if line.endswith("}")]

    @property
    def measures(self) -> tuple[object, ...]:
        """What its returns are of: runs that differ in it cannot be compared by them."""
        where = self.subject.get("data_sha256") or self.config["data.path"]
        return where, self.config["task"], self.result.get("note")

    def curve(self, tag: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns steps and values of a tag; of a step that was gone through twice, the last."""
        points = {line["step"]: line[tag] for line in self._lines if line.get(tag) is not None}
        steps = sorted(points)
        return np.array(steps, float), np.array([points[step] for step in steps], float)

    def tags(self, prefix: str) -> list[str]:
        """Returns the tags that begin so."""
        return sorted({tag for line in self._lines for tag in line if tag.startswith(prefix)})

    def policies(self) -> list[str]:
        """Returns the names of the policies that something is known of."""
        known = {**self.belief.get("policies", {}), **self.result.get("measured", {})}
        return sorted(known, key=lambda name: (name != _TEAM, name))

    def measured(self, policy: str = _TEAM) -> Interval | None:
        """Returns what a policy earned in an environment."""
        score = self.result.get("measured", {}).get(policy)
        return None if score is None else _interval(score)

    def estimated(self, policy: str = _TEAM) -> Interval | None:
        """Returns what a policy is believed to be worth."""
        estimate = self.belief.get("policies", {}).get(policy)
        return None if estimate is None else _interval(estimate["worth"])

    def judged(self, policy: str = _TEAM) -> Mapping[str, Any]:
        """Returns the judgement on a policy's estimate."""
        estimate = self.belief.get("policies", {}).get(policy, {})
        unknown: Mapping[str, Any] = {"word": "not judged", "reasons": ()}
        found: Mapping[str, Any] = estimate.get("judgement", unknown)
        return found


def _interval(part: Mapping[str, Any]) -> Interval:
    return Interval(part["return_mean"], *part["return_ci95"])


def _flat(section: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
