"""What a task is: a spec, data made from nothing, the true system, and two scores to measure by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from jaxtyping import Bool, Float32
from torch import Tensor

from moma.config import DataConfig
from moma.data import Dataset
from moma.tasks.system import Split, System
from moma.types import TaskSpec


@runtime_checkable
class Environment(Protocol):
    """B copies of the true system, stepped together. Used to make data and to evaluate only."""

    def reset(self, seed: int) -> Float32[Tensor, "B S"]:
        """Starts one episode in every copy; copy b's start depends on (seed, b) alone."""

    def step(
        self, action: Float32[Tensor, "B A U"]
    ) -> tuple[Float32[Tensor, "B S"], Float32[Tensor, " B"], Bool[Tensor, " B"]]:
        """Returns next state, reward and terminated; the caller counts steps to the limit."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task."""

    spec: TaskSpec
    environment: Callable[[int], Environment] | None
    """Makes that many copies of the true system; None: there is only a log of it."""
    make_data: Callable[[Path, DataConfig, int], Dataset]
    """Makes the task's data in a directory from a seed."""
    return_at_zero: float | None
    """The return that scores 0; None: returns have no scale."""
    return_at_one: float | None
    """The return that scores 1."""
    system: System | None = None
    """The MuJoCo system, which the simulator steps from any state; None: there is none."""
    split: Split = ()
    """With a system: the actuators that each agent's action drives."""
    note: str
    """Where the task and its scores come from; printed beside every score."""

    def score(self, episode_return: float) -> float | None:
        """Returns the normalised score of a return; None where returns have no scale."""
        zero, one = self.return_at_zero, self.return_at_one
        if zero is None or one is None:
            return None
        return (episode_return - zero) / (one - zero)

    def copies(self, count: int) -> Environment:
        """Makes copies of the true system.

        Raises:
            ValueError: there is none.
        """
        if self.environment is None:
            raise ValueError(f"task {self.spec.name} has no environment to play in: --env")
        return self.environment(count)
