"""Behaviour cloning: every agent imitates its own part of the log, early stop on held-out episodes.

The simplest thing that learns from a log: no model, no rewards, no interaction. Where the log mixes
conventions, each agent imitates the mixture by itself, and what they do together is chance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor

from learner.algorithms import base
from learner.algorithms.base import Updated
from learner.algorithms.group import ALONE, Group
from learner.algorithms.optimiser import FlatAdam
from moma_core import seeds
from moma_core.config import BCConfig
from moma_core.datasets import Dataset
from moma_core.datasets.holdout import split
from moma_core.datasets.starts import histories
from moma_core.nets.policy import Actors
from moma_core.types import Metrics, PolicySnapshot, Trajectory

_HELD_ROWS = 8192
"""Held-out rows evaluated after every round: the same ones each time."""


class BehaviourCloning:
    """Maximum likelihood of each agent's actions given what it saw and remembered."""

    imagines = False

    def __init__(
        self,
        actors: Actors,
        dataset: Dataset,
        config: BCConfig,
        seed: int,
        device: torch.device | None = None,
        among: NDArray[np.int64] | None = None,
        group: Group = ALONE,
    ) -> None:
        """Takes the actors over and holds episodes out.

        Args:
            actors: the policies; they keep the parameters that were best on held-out rows.
            dataset: the log.
            config: the update's settings.
            seed: the run's.
            device: where updates are computed; None: the CPU.
            among: episodes to imitate, ascending; None: all.
            group: learners that share the update.
        """
        self.version, self.rounds = 0, config.rounds
        self._dataset, self._config, self._seed, self._group = dataset, config, seed, group
        self._device = device or torch.device("cpu")
        self.actors = actors.to(self._device)
        """Best on held-out rows so far."""
        self._current = actors.copy().to(self._device)
        mean, std = dataset.units()
        for policy in (self.actors, self._current):
            policy.standardise_states(torch.from_numpy(mean), torch.from_numpy(std))
        self._optimiser = FlatAdam(self._current.parameters(), config.learning_rate, group)
        self._train, held = split(dataset, config.holdout, "episode", seed, among)
        order = seeds.generator(seed, "bc held out")
        self._held = held.at(torch.randperm(len(held), generator=order)[:_HELD_ROWS].numpy())
        self._best = torch.tensor(math.inf, dtype=torch.float64)
        self._waited = torch.tensor(0)
        """Rounds since the last improvement."""

    @property
    def done(self) -> bool:
        """True after the last round, or once held-out rows have not improved for long enough."""
        return self.version >= self.rounds or bool(self.stopped)

    @property
    def stopped(self) -> str:
        """Says that held-out rows have not improved for long enough."""
        patience = self._config.patience
        if int(self._waited) < patience:
            return ""
        return f"held-out rows have not improved for {patience} rounds"

    def update(self, segments: Sequence[Trajectory]) -> Updated:  # noqa: ARG002 - of the seam
        """Takes one round's optimiser steps on rows of the log, then looks at the held-out ones."""
        config, group = self._config, self._group
        counts, own = [config.minibatch] * config.updates, group.share(config.minibatch)
        random = np.random.default_rng(seeds.derive(self._seed, "bc rows", self.version))
        losses = []
        for _ in range(config.updates):
            drawn = random.integers(len(self._train), size=config.minibatch)
            nll = self._nll(self._current, self._train.at(drawn[own]))
            loss = nll.sum()
            self._optimiser.zero_gradient()
            loss.backward()
            self._optimiser.step(loss, config.grad_norm, group.weight(config.minibatch))
            losses.append(nll.detach())
        with torch.no_grad():
            seen = self._nll(self._current, self._held[group.share(len(self._held))])
        held = group.mean(seen, len(self._held))
        self._keep(float(held.sum()))
        self.version += 1
        metrics = self._metrics(group.means(losses, counts).mean(0), held)
        return Updated(metrics=metrics, transitions=config.updates * config.minibatch)

    def snapshot(self) -> PolicySnapshot:
        """Returns a copy of the best actors so far."""
        return base.snapshot(self.actors, self.version)

    def state(self) -> dict[str, Tensor]:
        """Returns the best and the current actors, the optimiser's moments and the early stop's."""
        return base.joined(
            {
                "actors": self.actors,
                "current": self._current,
                "optimiser": self._optimiser.state(),
                "stop": {"best": self._best, "waited": self._waited},
            }
        )

    def load(self, state: Mapping[str, Tensor], version: int) -> None:
        """Takes back what `state` gave."""
        self.actors.load(base.part(state, "actors"))
        self._current.load(base.part(state, "current"))
        self._optimiser.load(base.part(state, "optimiser"))
        stop = base.part(state, "stop")
        self._best, self._waited, self.version = stop["best"], stop["waited"], version

    def _nll(self, actors: Actors, row: NDArray[np.int64]) -> Float32[Tensor, " A"]:
        """Mean negative log-likelihood of each agent's actions in some rows of the log, in nats."""
        data, spec = self._dataset.rows(row), self._dataset.spec
        begun = histories(self._dataset, row, actors.config.history)
        observed = actors.observed(spec.observe(data.state).to(self._device))
        remembered = actors.remembered(begun.to(self._device))
        log_prob = actors(observed, remembered).log_prob(data.action.to(self._device))
        nll: Tensor = -log_prob.mean(0)
        return nll

    def _keep(self, held: float) -> None:
        """Keeps the current parameters where they are the best so far."""
        if held < float(self._best):
            self.actors.load(self._current.state_dict())
            self._best, self._waited = torch.tensor(held, dtype=torch.float64), torch.tensor(0)
        else:
            self._waited = self._waited + 1

    def _metrics(self, train: Float32[Tensor, " A"], held: Float32[Tensor, " A"]) -> Metrics:
        metrics = {"charts/learning_rate": self._config.learning_rate}
        for name, values in (("nll", train), ("holdout_nll", held)):
            for agent, value in zip(self._dataset.spec.agents, values.tolist(), strict=True):
                metrics[f"losses/{name}/{agent}"] = value
        return metrics
