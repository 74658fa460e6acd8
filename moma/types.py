"""Every noun that travels between roles. No behaviour beyond shape arithmetic.

Axes, always in this order: T imagined steps, B rollouts, A agents, O observation, U action,
S joint state, H history, E ensemble members, N rows; F = O + U is the width of a history frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from moma.config import ActorConfig, PessimismConfig, RolloutConfig

Metrics = dict[str, float]
"""Dotted or slashed name to value."""


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """What a team is: who acts, what each one sees of the joint state, and within which bounds."""

    name: str
    agents: tuple[str, ...]
    state_names: tuple[str, ...]
    """One name per feature of the joint state; their number is S."""
    observation_index: tuple[tuple[int, ...], ...]
    """Per agent, the features of the joint state that it observes."""
    action_low: tuple[tuple[float, ...], ...]
    """Per agent, the lower bound of each of its action's dimensions."""
    action_high: tuple[tuple[float, ...], ...]
    episode_limit: int
    """Steps after which an episode of the true system is truncated."""

    def __post_init__(self) -> None:
        count = len(self.agents)
        for name in ("observation_index", "action_low", "action_high"):
            if len(getattr(self, name)) != count:
                got = len(getattr(self, name))
                raise ValueError(
                    f"task {self.name}: {name} needs one entry per agent: {count}, got {got}"
                )
        for agent, index in zip(self.agents, self.observation_index, strict=True):
            bad = [i for i in index if not 0 <= i < self.state_width]
            if bad:
                raise ValueError(
                    f"task {self.name}: observation_index of {agent} names feature {bad[0]}, "
                    f"the state has {self.state_width}"
                )

    @property
    def state_width(self) -> int:
        """S."""
        return len(self.state_names)

    @property
    def observation_width(self) -> int:
        """O, of the widest agent."""
        return max(len(index) for index in self.observation_index)

    @property
    def action_width(self) -> int:
        """U, of the widest agent."""
        return max(len(low) for low in self.action_low)

    @cached_property
    def observation_mask(self) -> Bool[Tensor, "A O"]:
        """True where an agent's padded observation holds a feature."""
        return _mask([len(index) for index in self.observation_index])

    @cached_property
    def action_mask(self) -> Bool[Tensor, "A U"]:
        """True where an agent's padded action holds a dimension of its own."""
        return _mask([len(low) for low in self.action_low])

    @cached_property
    def action_bounds(self) -> tuple[Float32[Tensor, "A U"], Float32[Tensor, "A U"]]:
        """Lower and upper bounds; both are 0 in the padding, so that clamping clears it."""
        width = self.action_width
        low, high = (
            torch.tensor([[*row, *[0.0] * (width - len(row))] for row in bound])
            for bound in (self.action_low, self.action_high)
        )
        return low, high

    @cached_property
    def _padded_index(self) -> Int64[Tensor, "A O"]:
        width = self.observation_width
        return torch.tensor([[*row, *[0] * (width - len(row))] for row in self.observation_index])

    def side_by_side(self) -> TaskSpec:
        """Returns the same task with all agents' observations, copies included, as its state."""
        names = [
            f"{agent}.{self.state_names[i]}"
            for agent, index in zip(self.agents, self.observation_index, strict=True)
            for i in index
        ]
        ends = list(accumulate(len(index) for index in self.observation_index))
        ranges = tuple(
            tuple(range(end - len(index), end))
            for end, index in zip(ends, self.observation_index, strict=True)
        )
        return replace(self, state_names=tuple(names), observation_index=ranges)

    def observe(self, state: Float32[Tensor, "... S"]) -> Float32[Tensor, "... A O"]:
        """Returns what each agent sees of the joint state, zero where an agent's row is padded."""
        return state[..., self._padded_index] * self.observation_mask

    def clamp(self, action: Float32[Tensor, "... A U"]) -> Float32[Tensor, "... A U"]:
        """Returns the action cut to the task's bounds, as the model and the true system see it."""
        low, high = self.action_bounds
        return torch.clamp(action, low, high)


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


@dataclass(frozen=True, kw_only=True)
class StartStates:
    """Where rollouts begin, with what each agent remembers there."""

    state: Float32[Tensor, "B S"]
    history: Float32[Tensor, "B A H F"]
    """The last H own (observation, action) frames, oldest first, zero before the episode."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a `Dynamics` answers: what comes next, and how sure it is."""

    next_state: Float32[Tensor, "B S"]
    reward: Float32[Tensor, " B"]
    terminated: Bool[Tensor, " B"]
    disagreement: Float32[Tensor, " B"]
    aleatoric: Float32[Tensor, " B"]
    reward_disagreement: Float32[Tensor, " B"]


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """One segment of imagined experience: B rollouts of T steps under one policy version."""

    policy_version: int
    epoch: int
    worker: str
    incarnation: int
    """How often this worker has been started before; a respawned one counts on."""
    sequence: int
    """Which segment of the run this is, as the learner assigned it."""
    history: Float32[Tensor, "B A H F"]
    """At the start only; `moma.history.windows` rebuilds every later one."""
    action: Float32[Tensor, "T B A U"]
    """As sampled, before any clamp: what the log-probability belongs to."""
    state: Float32[Tensor, "T+1 B S"]
    log_prob: Float32[Tensor, "T B A"]
    reward: Float32[Tensor, "T B"]
    """After the penalty."""
    penalty: Float32[Tensor, "T B"]
    terminated: Bool[Tensor, "T B"]
    truncated: Bool[Tensor, "T B"]
    valid: Bool[Tensor, "T B"]
    """False after the step at which a row terminated or was truncated."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """What the worker measured while it made this segment."""


@dataclass(frozen=True, kw_only=True)
class PolicySnapshot:
    """The actors' parameters at one version."""

    version: int
    parameters: Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """The learner's answer to a worker that asks for work."""

    policy_version: int
    """The version that the segment has to be made with."""
    epoch: int
    """How often the learner was resumed; versions of different epochs may differ."""
    sequence: int
    """Which segment to make; -1 when there is none to make now."""
    seed: int
    """The seed of every draw in the segment; whoever makes it, it comes out the same."""
    starts: StartStates | None
    stop: bool
    """True when the run is over and the worker may go."""


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """The learner's answer to a submitted segment."""

    version: int
    accepted: bool
    reason: str
    """Why a segment was not accepted: "stale" or "duplicate"; "" when it was."""
    stop: bool


@dataclass(frozen=True, kw_only=True)
class RunCard:
    """All that a worker has to know of a run; it is asked for, not configured."""

    run: str
    task: TaskSpec
    model_address: str
    rollout: RolloutConfig
    pessimism: PessimismConfig
    actor: ActorConfig


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a served model is, without its weights."""

    task: TaskSpec
    members: int
    elites: tuple[int, ...]
    """The kept members, best first."""
    disagreement_quantiles: Mapping[str, float]
    """Of held-out data: "0.50" to "1.00"."""
    measured: Metrics
    """What was measured of it on held-out data, for TensorBoard."""
    terminates: bool
    """False when the data holds no terminal, so that none is ever predicted."""
    digest: str
    """SHA-256 of the weights."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the learner is, for whoever watches."""

    round: int
    rounds: int
    transitions: int
    """Accepted so far, in the whole run."""
    sps: float
    """Accepted transitions per second of the last round."""
    score: float | None
    """Of the last look at the true system; None before the first."""
    workers_alive: int
    waiting_for: str
    """Whom the learner waits for and since when; "" while it works."""
    seconds: float
    """Of training so far, in this process."""
    faults: tuple[str, ...] = ()
    """One line each, the newest last."""


def _mask(widths: list[int]) -> Bool[Tensor, "A W"]:
    return torch.arange(max(widths)) < torch.tensor(widths)[:, None]
