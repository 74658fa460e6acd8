"""What roles tell each other besides experience."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from moma_core.address import Address
from moma_core.config import ActorConfig, PessimismConfig, RolloutConfig
from moma_core.types.experience import StartStates
from moma_core.types.spec import TaskSpec

Metrics = dict[str, float]
"""Slashed name to value."""


@dataclass(frozen=True, kw_only=True)
class PolicySnapshot:
    """The actors' parameters at one version."""

    version: int
    parameters: Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """The learner's answer to a worker that asks for work."""

    policy_version: int
    """Version that the segment has to be made with."""
    epoch: int
    """Number of times that the learner was resumed; versions of two epochs may differ."""
    first: int
    """Number in the run of the first rollout to make; -1 when there is none to make now."""
    starts: StartStates | None
    """Beginnings of the rollouts, and their seeds."""
    stop: bool
    """End of the run: the worker may go."""


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """The learner's answer to a submitted segment."""

    version: int
    reason: str
    """Reason for which a segment was refused: "stale" or "duplicate"; "" when it was not."""
    stop: bool


@dataclass(frozen=True, kw_only=True)
class RunCard:
    """All that a worker has to know of a run; it is asked for, not configured."""

    run: str
    task: TaskSpec
    model_servers: tuple[Address, ...]
    """Addresses of the servers of one model; a worker asks one of them, always the same."""
    rollout: RolloutConfig
    together: int
    """Rollouts that are imagined together, always the same ones; 0: all that were assigned."""
    pessimism: PessimismConfig
    actor: ActorConfig


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a served model is, without its weights."""

    task: TaskSpec
    members: int
    elites: tuple[int, ...]
    """Members that were kept, best first."""
    disagreement_quantiles: Mapping[str, float]
    """Quantiles of disagreement on held-out data: "0.50" to "1.00"."""
    measured: Metrics
    """Measurements on held-out data, for TensorBoard."""
    terminates: bool
    """Presence of terminals in the data; without them none is ever predicted."""
    digest: str
    """SHA-256 of the weights."""
