"""What roles tell each other besides experience."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from moma_core.address import Address
from moma_core.config import ActorConfig, PessimismConfig, RolloutConfig
from moma_core.types.experience import StartStates
from moma_core.types.spec import TaskSpec

Metrics = dict[str, float]
"""Slashed name to value."""
Priority = Literal["training", "evaluation", "warm-up"]
"""What a prediction is for; the first is served first."""


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
    model_servers: tuple[Address, ...]
    """Where the servers of one model are called: a worker asks one of them, always the same."""
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
