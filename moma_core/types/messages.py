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
class Served:
    """The model of a run's servers, for whoever serves it elsewhere."""

    digest: str
    """SHA-256 of its manifest, which has those of its files: the name by which it is fetched."""
    precision: Literal["auto", "fp32", "bf16"]
    """Precision that it is served in."""
    deterministic: bool
    """One request a batch."""


@dataclass(frozen=True, kw_only=True)
class ModelPart:
    """Some of a model's file, as it is fetched."""

    data: bytes
    size: int
    """Bytes of the whole file."""


@dataclass(frozen=True, kw_only=True)
class RunCard:
    """All that a worker has to know of a run; it is asked for, not configured."""

    run: str
    task: TaskSpec
    model_servers: tuple[Address, ...]
    """Addresses of one model's servers that whoever can call the learner can call as well."""
    model: Served | None
    """Model to fetch for a server of one's own; None where the learner has none."""
    rollout: RolloutConfig
    together: int
    """Rollouts that are imagined together, always the same ones; 0: all that were assigned."""
    pessimism: PessimismConfig
    actor: ActorConfig
    data_sha256: str = ""
    """Digest of the run's log; empty: there is none."""


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
    low: tuple[float, ...] = ()
    """Least that it answers of every state feature and, last, of the reward; empty: anything."""
    high: tuple[float, ...] = ()
    """Most that it answers of them."""
    data_sha256: str = ""
    """Digest of the log that it was fitted to; empty: there was none, or it is not known."""
