"""What methods have in common that learn values from a log: its rows, the values, their targets.

A value belongs to an agent, which is judged by what it sees, remembers and does itself, or to the
team, which is judged by all of that: independent and centralised learning (axis G: A agents or 1).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor, nn

from learner.algorithms import base
from learner.algorithms.base import Updated
from learner.algorithms.group import ALONE, Group
from learner.algorithms.optimiser import FlatAdam
from learner.algorithms.values import Values
from moma_core import seeds
from moma_core.config import OfflineConfig
from moma_core.datasets import Dataset
from moma_core.datasets.starts import histories
from moma_core.nets.policy import Actors
from moma_core.types import History, PolicySnapshot, Trajectory

Draw = Callable[..., Tensor]
"""Draws numbers of a shape by a generator, as torch's own functions do."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Steps of the log in the networks' units."""

    observed: Float32[Tensor, "N A O"]
    remembered: History
    action: Float32[Tensor, "N A U"]
    reward: Float32[Tensor, " N"]
    goes_on: Float32[Tensor, " N"]
    """Factor of the next value: 0 where the task itself ended the episode, else 1."""
    next_observed: Float32[Tensor, "N A O"]
    next_remembered: History


@dataclass(frozen=True, kw_only=True)
class Given:
    """What every method is built from."""

    actors: Actors
    """Policies, which the method takes over."""
    dataset: Dataset
    """Log to learn from."""
    config: OfflineConfig
    """Settings that all methods have in common."""
    seed: int
    """Seed of the run."""
    device: torch.device
    """Device on which updates are computed."""
    group: Group = ALONE
    """Learners that share the update."""


class Offline(ABC):
    """An algorithm that learns values and policies from rows of the log, drawn with replacement.

    A method says what one optimiser step is. Behind the seam `Algorithm`.
    """

    imagines = False
    stopped = ""

    def __init__(self, given: Given) -> None:
        """Takes the actors over."""
        actors, config, dataset = given.actors, given.config, given.dataset
        self.version, self.rounds = 0, config.rounds
        self.actors, self.config, self.seed = actors, config, given.seed
        self.spec, self.device = dataset.spec, given.device
        self._dataset, self.group = dataset, given.group
        self._share = self.group.share(config.minibatch)
        mean, std = dataset.units()
        actors.standardise_states(torch.from_numpy(mean), torch.from_numpy(std))
        self._modules: dict[str, nn.Module] = {"actors": actors.to(self.device)}
        self._optimisers: dict[str, FlatAdam] = {}

    @property
    def done(self) -> bool:
        """True after the last round."""
        return self.version >= self.rounds

    def update(self, segments: Sequence[Trajectory]) -> Updated:  # noqa: ARG002 - of the seam
        """Takes one round's optimiser steps on rows of the log."""
        config = self.config
        random = np.random.default_rng(seeds.derive(self.seed, "log rows", self.version))
        noise = seeds.generator(self.seed, "log noise", self.version)
        measured: dict[str, list[Tensor]] = {}
        for step in range(config.updates):
            row = random.integers(self._dataset.transitions, size=config.minibatch)[self._share]
            number = self.version * config.updates + step
            for name, value in self._step(self._read(row), noise, number).items():
                measured.setdefault(name, []).append(value.detach())
        self.version += 1
        means = {name: torch.stack(values).mean() for name, values in measured.items()}
        metrics = {f"values/{name}": float(self._joint(mean)) for name, mean in means.items()}
        metrics["charts/learning_rate"] = config.learning_rate
        return Updated(metrics=metrics, transitions=config.updates * config.minibatch)

    def snapshot(self) -> PolicySnapshot:
        """Returns a copy of the policies at this version."""
        return base.snapshot(self.actors, self.version)

    def state(self) -> dict[str, Tensor]:
        """Returns all networks, targets too, and the optimisers' moments."""
        moments = {name: one.state() for name, one in self._optimisers.items()}
        return base.joined({**self._modules, "optimiser": base.joined(moments)})

    def load(self, state: Mapping[str, Tensor], version: int) -> None:
        """Takes back what `state` gave."""
        for name, module in self._modules.items():
            module.load_state_dict(base.part(state, name))
        for name, one in self._optimisers.items():
            one.load(base.part(base.part(state, "optimiser"), name))
        self.version = version

    @abstractmethod
    def _step(self, rows: Rows, noise: torch.Generator, number: int) -> dict[str, Tensor]:
        """Takes one optimiser step; returns what was measured, by name.

        Args:
            rows: of the log.
            noise: of the step's draws.
            number: of the step, from 0 over all rounds.
        """

    def _values(self, name: str, *, copies: int, team: bool, acts: bool = True) -> Values:
        """Makes values that are kept under a name; of one kind they all begin alike."""
        made = Values(
            self.spec, self.actors.config, self.config, self.seed,
            copies=copies, team=team, acts=acts,
        ).to(self.device)  # fmt: skip
        self._modules[name] = made
        return made

    def _optimiser(self, name: str, *modules: nn.Module) -> FlatAdam:
        """Makes an optimiser of some modules that is kept under a name."""
        every = [parameter for module in modules for parameter in module.parameters()]
        self._optimisers[name] = FlatAdam(every, self.config.learning_rate, self.group)
        return self._optimisers[name]

    def _follow(self, target: nn.Module, source: nn.Module) -> None:
        """Moves a target network's parameters towards another's (Lillicrap et al. 2016)."""
        for behind, ahead in zip(target.parameters(), source.parameters(), strict=True):
            behind.data.lerp_(ahead.data, self.config.target_rate)

    def _descend(self, optimiser: FlatAdam, loss: Float32[Tensor, ""]) -> None:
        """Takes an optimiser's step down a loss."""
        optimiser.zero_gradient()
        loss.backward()
        weight = self.group.weight(self.config.minibatch)
        optimiser.step(loss, self.config.grad_norm, weight)

    def _joint(self, mean: Tensor) -> Tensor:
        """Returns the mean over a minibatch's rows from that over this learner's share of them."""
        return self.group.mean(mean, self.config.minibatch)

    def _drawn(
        self, draw: Draw, shape: tuple[int, ...], noise: torch.Generator
    ) -> Float32[Tensor, "*M N A U"]:
        """Draws numbers for a whole minibatch, and returns those of this learner's share of it.

        Args:
            draw: such as `torch.rand`.
            shape: of the share's numbers, `[*M N A U]`.
            noise: of the step's draws.
        """
        whole = (*shape[:-3], self.config.minibatch, *shape[-2:])
        return draw(whole, generator=noise)[..., self._share, :, :].to(self.device)

    def _read(self, row: NDArray[np.int64]) -> Rows:
        """Reads steps of the log, with what each agent remembers there and one step later."""
        data, actors = self._dataset.rows(row), self.actors
        begun = histories(self._dataset, row, actors.config.history)
        observed = actors.observed(self.spec.observe(data.state).to(self.device))
        remembered = actors.remembered(begun.to(self.device))
        action = data.action.to(self.device)
        frame = torch.cat([observed, action], dim=-1)[:, :, None]
        real = torch.ones(len(row), 1, dtype=torch.bool, device=self.device)
        return Rows(
            observed=observed,
            remembered=remembered,
            action=action,
            reward=self.config.reward_scale * data.reward.to(self.device),
            goes_on=(~data.terminated).float().to(self.device),
            next_observed=actors.observed(self.spec.observe(data.next_state).to(self.device)),
            next_remembered=History(
                frames=torch.cat([remembered.frames, frame], dim=2)[:, :, 1:],
                exists=torch.cat([remembered.exists, real], dim=1)[:, 1:],
            ),
        )


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Lets gradients pass through a module without being taken for its parameters."""
    module.requires_grad_(requires_grad=False)
    yield
    module.requires_grad_(requires_grad=True)


def td_target(rows: Rows, value: Float32[Tensor, "N G"], discount: float) -> Float32[Tensor, "N G"]:
    """Returns reward + discount * value of the next step, which is 0 where the task ended.

    Args:
        rows: the steps.
        value: of what came next, of each agent or of the team.
        discount: per step.
    """
    return rows.reward[:, None] + discount * rows.goes_on[:, None] * value


def squared(value: Float32[Tensor, "C N G"], target: Float32[Tensor, "N G"]) -> Float32[Tensor, ""]:
    """Returns the mean squared error over rows, summed over copies and groups."""
    return (value - target).square().mean(1).sum()
