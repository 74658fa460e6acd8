"""The seam between what runs a learner and what learns. Loop, service and checkpoint know no more.

An algorithm is built from its own section of the config, from the team, and, where it learns from
the log itself, from the dataset. What does not fit it is refused by `learner.build.algorithm`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from moma_core.nets.policy import Actors
from moma_core.types import Metrics, PolicySnapshot, Trajectory

IMAGINED = "charts/imagined_return"
"""Metric of what the team earns an episode in imagination, where the algorithm imagines."""
_SKIPPED, _MOST = "losses/skipped_steps", 20
"""Metric of steps that were skipped, and rounds in a row after which they end a run."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Updated:
    """What came of an update."""

    metrics: Metrics
    transitions: int
    """Steps learned from: imagined ones, or rows of the log."""


@runtime_checkable
class Algorithm(Protocol):
    """Everything that learning changes, and how it changes. Its draws depend on (seed, version)."""

    imagines: bool
    """Need of segments that workers imagine in a model of the team."""
    actors: Actors
    """The decentralised policies that it improves."""
    version: int
    """Updates so far."""
    rounds: int
    """Updates at most."""

    @property
    def done(self) -> bool:
        """True once there is nothing more to learn."""

    @property
    def stopped(self) -> str:
        """Reason for an end before the last round, or that it came too soon; "" where neither."""

    def update(self, segments: Sequence[Trajectory]) -> Updated:
        """Improves the policies by one round; the version goes up by one.

        Args:
            segments: what workers imagined with this version's policies; empty where the
                algorithm does not imagine.
        """

    def snapshot(self) -> PolicySnapshot:
        """Returns a copy of the policies at this version, in this machine's memory."""

    def state(self) -> dict[str, Tensor]:
        """Returns everything that changes, by dotted name; `actors.` are the policies."""

    def load(self, state: Mapping[str, Tensor], version: int) -> None:
        """Takes a state back, after which the next update is the one that it would have been.

        Args:
            state: as `state` gives it, of an algorithm with the same settings.
            version: the updates behind it.
        """


def snapshot(actors: Actors, version: int) -> PolicySnapshot:
    """Returns a copy of actors in this machine's memory."""
    state = actors.state_dict()
    parameters = {name: value.to("cpu", copy=True) for name, value in state.items()}
    return PolicySnapshot(version=version, parameters=parameters)


def joined(parts: Mapping[str, nn.Module | Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Returns the tensors of several modules or states under their parts' names."""
    tensors = {}
    for part, held in parts.items():
        state = held.state_dict() if isinstance(held, nn.Module) else held
        tensors.update({f"{part}.{key}": value.contiguous() for key, value in state.items()})
    return tensors


def part(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Returns the tensors that `joined` put under one part's name."""
    begin = f"{name}."
    return {k.removeprefix(begin): v for k, v in state.items() if k.startswith(begin)}


class Skipped:
    """Rounds in a row in which optimiser steps were skipped: what is learned from is no number."""

    def __init__(self) -> None:
        """Has seen none."""
        self._rounds = 0

    def note(self, metrics: Metrics, version: int) -> None:
        """Says that steps were skipped, and ends a run in which they are, round after round.

        Args:
            metrics: what an update measured.
            version: the round's.

        Raises:
            ValueError: it is no use to go on.
        """
        steps = metrics.get(_SKIPPED, 0.0)
        self._rounds = self._rounds + 1 if steps else 0
        if steps:
            words = f"{steps:.0f} steps of round {version} were skipped: no finite gradient"
            _LOG.warning(words)
            if self._rounds >= _MOST:
                raise ValueError(f"{words}; nor was there in the {_MOST - 1} rounds before")
