"""Where a round's rollouts begin when there is no log, or when they go on from the last round."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from learner.algorithms import base
from moma_core import seeds
from moma_core.config import RolloutConfig
from moma_core.nets import history
from moma_core.tasks import Environment
from moma_core.types import History, StartStates, TaskSpec, Trajectory

_CARRIED = "carried"


@runtime_checkable
class Starts(Protocol):
    """Draws start states."""

    def draw(self, count: int, seed: int) -> StartStates:
        """Draws `count` of them; every draw comes from `seed`."""


class TrueStarts:
    """Beginnings of the environment's episodes."""

    def __init__(self, environment: Environment, spec: TaskSpec, frames: int) -> None:
        """Takes one copy of the environment.

        Args:
            environment: one copy.
            spec: the team.
            frames: frames that an agent remembers, H; at a beginning none exists.
        """
        self._environment, self._one_at_a_time = environment, Lock()
        self._shape = (len(spec.agents), frames, spec.frame_width)

    def draw(self, count: int, seed: int) -> StartStates:
        """Resets the system `count` times; callers' threads take turns, there is one system."""
        with self._one_at_a_time:
            resets = [self._environment.reset(seeds.derive(seed, row)) for row in range(count)]
        return StartStates(
            state=torch.cat(resets),
            history=History.none(count, *self._shape),
            age=torch.zeros(count, dtype=torch.int64),
        )


def segment_seed(seed: int, sequence: int) -> int:
    """Returns the seed of every draw in a segment of a run: it belongs to it, whoever makes it."""
    return seeds.derive(seed, "segment", sequence)


def starts_seed(segment: int) -> int:
    """Returns the seed of a segment's start states, from the segment's own."""
    return seeds.derive(segment, "starts")


def drawing(fresh: Starts, rows: int) -> Callable[[int, int], StartStates]:
    """Returns what draws a whole segment's starts afresh, whatever its slot."""
    return lambda _, seed: fresh.draw(rows, seed)


class CarriedStarts(nn.Module):
    """Where the last round's rollouts were cut by the horizon; fresh starts for all others.

    Slot k's rollouts go on in slot k of the next round, so that a run does not depend on who made
    which segment. What is carried is part of a checkpoint.
    """

    state: Tensor
    frames: Tensor
    exists: Tensor
    age: Tensor

    def __init__(self, fresh: Starts, spec: TaskSpec, rollout: RolloutConfig, frames: int) -> None:
        """Begins with nothing to go on with: age -1 stands for a rollout that has ended.

        Args:
            fresh: draws starts for rollouts that ended.
            spec: the team.
            rollout: slots, rows and horizon of a round.
            frames: frames that an agent remembers, H.
        """
        super().__init__()
        self._fresh, self._spec, self._horizon = fresh, spec, rollout.horizon
        slots, rows = rollout.segments, rollout.rows
        frame = spec.frame_width
        self.register_buffer("state", torch.zeros(slots, rows, spec.state_width))
        self.register_buffer("frames", torch.zeros(slots, rows, len(spec.agents), frames, frame))
        self.register_buffer("exists", torch.zeros(slots, rows, frames, dtype=torch.bool))
        self.register_buffer("age", torch.full((slots, rows), -1, dtype=torch.int64))

    def draw(self, slot: int, seed: int) -> StartStates:
        """Returns the start states of one slot's segment."""
        state = self.state[slot].clone()
        kept = History(frames=self.frames[slot], exists=self.exists[slot]).clone()
        age = self.age[slot].clone()
        ended = age < 0
        if count := int(ended.sum()):
            fresh = self._fresh.draw(count, seed)
            state[ended], kept.frames[ended] = fresh.state, fresh.history.frames
            kept.exists[ended], age[ended] = fresh.history.exists, fresh.age
        return StartStates(state=state, history=kept, age=age)

    def kept(self) -> dict[str, Tensor]:
        """Returns what is carried, by the names that it has in a checkpoint."""
        return base.joined({_CARRIED: self})

    def load(self, kept: Mapping[str, Tensor]) -> None:
        """Takes back what `kept` gave."""
        self.load_state_dict(base.part(kept, _CARRIED))

    def take(self, trajectories: Sequence[Trajectory]) -> None:
        """Notes where a round's rollouts stopped."""
        for trajectory in trajectories:
            slot = trajectory.sequence % len(self.age)
            steps = len(trajectory.reward)
            age = trajectory.age + steps
            cut = trajectory.truncated[-1] & ~trajectory.unsure[-1]
            goes_on = cut & (age < self._spec.episode_limit)
            if steps < self._horizon:
                goes_on = torch.zeros_like(goes_on)
            self.state[slot] = trajectory.state[-1]
            kept = self._remembered(trajectory)
            self.frames[slot], self.exists[slot] = kept.frames, kept.exists
            self.age[slot] = torch.where(goes_on, age, -1)

    def _remembered(self, trajectory: Trajectory) -> History:
        """The window after the last step."""
        observed = self._spec.observe(trajectory.state[:-1])
        executed = self._spec.clamp(trajectory.action)
        path = history.lay(trajectory.history, observed, executed)
        return history.after(path, trajectory.history.exists.shape[1])
