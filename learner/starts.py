"""Where a round's rollouts begin when there is no log, or when they go on from the last round."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int64
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

    def draw(self, seed: Int64[Tensor, " B"]) -> StartStates:
        """Draws one for each seed, which depends on that seed alone."""


Draw = Callable[[range], StartStates]
"""Draw of the start states of some rollouts, by their numbers in the run."""


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

    def draw(self, seed: Int64[Tensor, " B"]) -> StartStates:
        """Resets the system for each seed; callers' threads take turns, there is one system."""
        with self._one_at_a_time:
            resets = [self._environment.reset(seeds.derive(each)) for each in seed.tolist()]
        return StartStates(
            state=torch.cat(resets),
            history=History.none(len(seed), *self._shape),
            age=torch.zeros_like(seed),
            seed=seed,
        )


def rollout_seeds(seed: int, rollouts: range) -> Int64[Tensor, " B"]:
    """Returns the seeds of some of a run's rollouts: of each one's start, actions and members.

    Args:
        seed: the run's.
        rollouts: their numbers in the run.
    """
    return seeds.rows(seeds.derive(seed, "rollouts"), len(rollouts), rollouts.start)


def drawing(fresh: Starts, seed: int) -> Draw:
    """Returns what draws every rollout's start afresh, by the run's seed."""
    return lambda rollouts: fresh.draw(rollout_seeds(seed, rollouts))


class CarriedStarts(nn.Module):
    """Where the last round's rollouts were cut by the horizon; fresh starts for all others.

    A round's k-th rollout goes on as the k-th one of the next round, so that a run does not depend
    on who made which. What is carried is part of a checkpoint.
    """

    state: Tensor
    frames: Tensor
    exists: Tensor
    age: Tensor

    def __init__(
        self, fresh: Starts, spec: TaskSpec, rollout: RolloutConfig, frames: int, seed: int
    ) -> None:
        """Begins with nothing to go on with: age -1 stands for a rollout that has ended.

        Args:
            fresh: draws starts for rollouts that ended.
            spec: the team.
            rollout: rows and horizon of a round.
            frames: frames that an agent remembers, H.
            seed: the run's.
        """
        super().__init__()
        self._fresh, self._spec, self._horizon, self._seed = fresh, spec, rollout.horizon, seed
        rows, frame = rollout.rows, spec.frame_width
        self.register_buffer("state", torch.zeros(rows, spec.state_width))
        self.register_buffer("frames", torch.zeros(rows, len(spec.agents), frames, frame))
        self.register_buffer("exists", torch.zeros(rows, frames, dtype=torch.bool))
        self.register_buffer("age", torch.full((rows,), -1, dtype=torch.int64))

    def draw(self, rollouts: range) -> StartStates:
        """Returns the start states of some rollouts of a round."""
        place, seed = self._place(rollouts), rollout_seeds(self._seed, rollouts)
        state, age = self.state[place].clone(), self.age[place].clone()
        kept = History(frames=self.frames[place], exists=self.exists[place]).clone()
        ended = age < 0
        if bool(ended.any()):
            fresh = self._fresh.draw(seed[ended])
            state[ended], kept.frames[ended] = fresh.state, fresh.history.frames
            kept.exists[ended], age[ended] = fresh.history.exists, fresh.age
        return StartStates(state=state, history=kept, age=age, seed=seed)

    def kept(self) -> dict[str, Tensor]:
        """Returns what is carried, by the names that it has in a checkpoint."""
        return base.joined({_CARRIED: self})

    def load(self, kept: Mapping[str, Tensor]) -> None:
        """Takes back what `kept` gave."""
        self.load_state_dict(base.part(kept, _CARRIED))

    def take(self, trajectories: Sequence[Trajectory]) -> None:
        """Notes where a round's rollouts stopped."""
        for trajectory in trajectories:
            place = self._place(trajectory.rollouts)
            steps = len(trajectory.reward)
            age = trajectory.age + steps
            cut = trajectory.truncated[-1] & ~trajectory.unsure[-1]
            goes_on = cut & (age < self._spec.episode_limit)
            if steps < self._horizon:
                goes_on = torch.zeros_like(goes_on)
            # Of those that ended nothing is kept: what follows their end depends on the cut.
            self.state[place] = trajectory.state[-1] * goes_on[:, None]
            kept = self._remembered(trajectory)
            self.frames[place] = kept.frames * goes_on[:, None, None, None]
            self.exists[place] = kept.exists & goes_on[:, None]
            self.age[place] = torch.where(goes_on, age, -1)

    def _place(self, rollouts: range) -> slice:
        """Where in a round some rollouts lie."""
        first = rollouts.start % len(self.age)
        return slice(first, first + len(rollouts))

    def _remembered(self, trajectory: Trajectory) -> History:
        """The window after the last step."""
        observed = self._spec.observe(trajectory.state[:-1])
        executed = self._spec.clamp(trajectory.action)
        path = history.lay(trajectory.history, observed, executed)
        return history.after(path, trajectory.history.exists.shape[1])
