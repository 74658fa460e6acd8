"""What a task is: a spec, data made from nothing, an environment, and two scores to measure by."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from torch import Tensor

from moma_core.config import DataConfig
from moma_core.datasets import Dataset
from moma_core.tasks.system import Split, System
from moma_core.types import TaskSpec


def near(name: str, known: Collection[str]) -> str:
    """Returns the known names that a wrong one is nearest to, or all of them, for a message."""
    return ", ".join(difflib.get_close_matches(name, known, n=3, cutoff=0.3) or known)


@runtime_checkable
class Environment(Protocol):
    """B copies of the task's environment, stepped together: to make data and to evaluate only."""

    def reset(self, seed: int) -> Float32[Tensor, "B S"]:
        """Starts one episode in every copy; copy b's start depends on (seed, b) alone."""

    def step(
        self, action: Float32[Tensor, "B A U"]
    ) -> tuple[Float32[Tensor, "B S"], Float32[Tensor, " B"], Bool[Tensor, " B"]]:
        """Returns next state, reward and terminated; the caller counts steps to the limit."""


@runtime_checkable
class Drawn(Protocol):
    """An environment whose first copy may have a picture."""

    @property
    def draws(self) -> bool:
        """Says whether it has one."""

    def frame(self) -> UInt8[np.ndarray, "height width 3"]:
        """Draws the first copy as it stands, in red, green and blue."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task."""

    spec: TaskSpec
    environment: Callable[[int], Environment] | None
    """Factory of that many copies of the environment; None: there is only a log of it."""
    variants: Mapping[str, Callable[[Path, DataConfig, int], Dataset]]
    """Makers of the task's data in a directory from a seed, by name; the first is the default."""
    experts: Mapping[str, str] = field(default_factory=dict)
    """Recipes that train an expert of it online, by convention."""
    facts: Callable[[Dataset], Mapping[str, float]] = lambda _: {}
    """Facts worth knowing of data of this task, by name."""
    return_at_zero: float | None
    """Return that scores 0; None: returns have no scale."""
    return_at_one: float | None
    """Return that scores 1."""
    system: System | None = None
    """MuJoCo system, which the simulator steps from any state; None: there is none."""
    split: Split = ()
    """Actuators that each agent's action drives; only with a system."""
    note: str
    """Source of the task and its scores; printed beside every score."""

    def make_data(self, path: Path, config: DataConfig, seed: int) -> Dataset:
        """Makes the variant of the task's data that the config names.

        Args:
            path: the dataset's directory.
            config: the variant, its episodes and their noise.
            seed: of every draw.

        Raises:
            ValueError: there is no such variant; the text holds the nearest names.
        """
        if not self.variants:
            raise ValueError(
                f"task {self.spec.name} makes no data by itself; give some: --data DIR"
            )
        name = config.variant or next(iter(self.variants))
        if name not in self.variants:
            raise ValueError(
                f"task {self.spec.name} has no data variant {name!r}; "
                f"perhaps you meant: {near(name, self.variants)}"
            )
        return self.variants[name](path, config, seed)

    def score(self, episode_return: float) -> float | None:
        """Returns the normalised score of a return; None where returns have no scale.

        (return - return_at_zero) / (return_at_one - return_at_zero): D4RL's form (arXiv 2004.07219)
        with the task's own ends.
        """
        zero, one = self.return_at_zero, self.return_at_one
        if zero is None or one is None:
            return None
        return (episode_return - zero) / (one - zero)

    def copies(self, count: int) -> Environment:
        """Makes copies of the environment.

        Raises:
            ValueError: there is none.
        """
        if self.environment is None:
            raise ValueError(f"task {self.spec.name} has no environment to play in: --env")
        return self.environment(count)
