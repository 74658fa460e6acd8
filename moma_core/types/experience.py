"""What happened, or was imagined to happen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from moma_core.types.layout import Layout, layouts


@dataclass(frozen=True, kw_only=True)
class Transitions:
    """Single steps of the data, in any order."""

    state: Float32[Tensor, "N S"]
    action: Float32[Tensor, "N A U"]
    reward: Float32[Tensor, " N"]
    next_state: Float32[Tensor, "N S"]
    terminated: Bool[Tensor, " N"]
    truncated: Bool[Tensor, " N"]
    episode: Int64[Tensor, " N"]
    age: Int64[Tensor, " N"]
    """Steps since each one's episode began."""


@dataclass(frozen=True, kw_only=True)
class History:
    """What every agent remembers: its last own frames, and which of them there are.

    A frame of zeros may be a real one (an agent at rest), so that zeros cannot tell.
    """

    frames: Float[Tensor, "N A H F"]
    """Last H own (observation, action) frames, oldest first, zero where there is none."""
    exists: Bool[Tensor, "N H"]
    """Mask of real frames: false for steps before the episode began."""

    @classmethod
    def none(cls, rows: int, agents: int, frames: int, width: int) -> History:
        """Returns the history of rollouts that begin: no frame exists.

        Args:
            rows: rollouts, N.
            agents: agents, A.
            frames: frames that an agent remembers, H.
            width: width of a frame, F.
        """
        return cls(
            frames=torch.zeros(rows, agents, frames, width),
            exists=torch.zeros(rows, frames, dtype=torch.bool),
        )

    @classmethod
    def joined(cls, parts: Sequence[History]) -> History:
        """Returns the histories of several groups of rollouts, one after the other."""
        return cls(
            frames=torch.cat([part.frames for part in parts]),
            exists=torch.cat([part.exists for part in parts]),
        )

    def to(self, device: torch.device) -> History:
        """Returns the history on a device."""
        return History(frames=self.frames.to(device), exists=self.exists.to(device))

    def clone(self) -> History:
        """Returns a copy that may be changed."""
        return History(frames=self.frames.clone(), exists=self.exists.clone())


@dataclass(frozen=True, kw_only=True)
class StartStates:
    """Where rollouts begin, with what each agent remembers there."""

    state: Float32[Tensor, "B S"]
    history: History
    age: Int64[Tensor, " B"]
    """Steps since each one's episode began: 0 at a beginning."""
    seed: Int64[Tensor, " B"]
    """Seeds of all draws in each one, its start's included: it is the same whoever makes it."""

    def parts(self, size: int) -> Iterator[StartStates]:
        """Yields the starts of `size` rollouts after the other; 0: of all at once."""
        count = len(self.age)
        for begin in range(0, count, size or count):
            own = slice(begin, begin + (size or count))
            yield StartStates(
                state=self.state[own],
                history=History(frames=self.history.frames[own], exists=self.history.exists[own]),
                age=self.age[own],
                seed=self.seed[own],
            )


@dataclass(frozen=True, kw_only=True)
class Query:
    """What a `Dynamics` is asked: B independent rows."""

    state: Float32[Tensor, "B S"]
    """Joint states in the data's units."""
    action: Float32[Tensor, "B A U"]
    """Joint actions within the task's bounds."""
    age: Int64[Tensor, " B"]
    """Steps since each row's episode began."""
    seed: Int64[Tensor, " B"]
    """All draws of a row depend on its seed and on nothing else."""

    @property
    def rows(self) -> int:
        """B."""
        return self.state.shape[0]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a `Dynamics` answers: what comes next, and how sure it is."""

    next_state: Float32[Tensor, "B S"]
    reward: Float32[Tensor, " B"]
    terminated: Bool[Tensor, " B"]
    disagreement: Float32[Tensor, " B"]
    aleatoric: Float32[Tensor, " B"]
    reward_disagreement: Float32[Tensor, " B"]
    outside: Bool[Tensor, "B S+1"]
    """Features, and last the reward, that would have left the log's range; they are clamped."""
    model: str
    """Digest of the one model that answered all rows, as its card has it."""


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """One segment of imagined experience: B rollouts of a round, T steps, by one policy version."""

    policy_version: int
    epoch: int
    worker: str
    incarnation: int
    """Number of times that this worker was started before; a respawned one counts on."""
    first: int
    """Number in the run of its first rollout, as the learner assigned it; the others follow."""
    history: History
    """Histories at the start; `moma_core.nets.history.windows` rebuilds every later one."""
    age: Int64[Tensor, " B"]
    """Steps since each rollout's episode began, at its start."""
    action: Float32[Tensor, "T B A U"]
    """Actions as sampled, before any clamp: what the log-probability belongs to."""
    state: Float32[Tensor, "T+1 B S"]
    log_prob: Float32[Tensor, "T B A"]
    reward: Float32[Tensor, "T B"]
    """Rewards after the penalty."""
    penalty: Float32[Tensor, "T B"]
    terminated: Bool[Tensor, "T B"]
    truncated: Bool[Tensor, "T B"]
    unsure: Bool[Tensor, "T B"]
    """Mask of truncated steps after which the model is not to be believed."""
    valid: Bool[Tensor, "T B"]
    """Mask of real steps: false after the one at which a row terminated or was truncated."""
    model: str = ""
    """Digest of the model that answered all of it."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Measurements of the worker while it made this segment."""

    @property
    def rollouts(self) -> range:
        """Numbers of its rollouts in the run."""
        return range(self.first, self.first + len(self.age))

    @classmethod
    def joined(cls, parts: Sequence[Trajectory]) -> Trajectory:
        """Returns segments side by side, as if the first one's maker had made them in one.

        Shorter ones are padded with steps that are not valid; measurements become means over
        rollouts, and maxima where their names end so.
        """
        if len(parts) == 1:
            return parts[0]
        longest = max(len(part.reward) for part in parts)

        def beside(name: str, layout: Layout) -> Tensor:
            pieces = [getattr(part, name) for part in parts]
            if layout.axes[0] == ("B", 0):
                return torch.cat(pieces)
            missing = [longest - len(part.reward) for part in parts]
            padded = [
                torch.cat([piece, piece.new_zeros(less, *piece.shape[1:])]) if less else piece
                for piece, less in zip(pieces, missing, strict=True)
            ]
            return torch.cat(padded, dim=1)

        found = layouts(Trajectory).items()
        tensors: dict[str, Any] = {name: beside(name, layout) for name, layout in found}
        history = History.joined([part.history for part in parts])
        return replace(parts[0], history=history, metrics=_measured(parts), **tensors)

    def to(self, device: torch.device) -> Trajectory:
        """Returns the segment on a device."""
        tensors: dict[str, Any] = {n: getattr(self, n).to(device) for n in layouts(Trajectory)}
        return replace(self, history=self.history.to(device), **tensors)


def _measured(parts: Sequence[Trajectory]) -> dict[str, float]:
    """Returns means over rollouts of what was measured, 0 where it was not; maxima of maxima."""
    total = sum(len(part.age) for part in parts)
    found = {}
    for name in sorted({name for part in parts for name in part.metrics}):
        values = [part.metrics.get(name, 0.0) for part in parts]
        whole = sum(v * len(part.age) for v, part in zip(values, parts, strict=True)) / total
        found[name] = max(values) if name.endswith("_max") else whole
    return found
