"""What methods have in common that learn values from a log: its rows, the values, their targets.

A value belongs to an agent, which is judged by what it sees, remembers and does itself, or to the
team, which is judged by all of that: independent and centralised learning (axis G: A agents or 1).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod, sqrt

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor, nn

from learner.algorithms import base
from learner.algorithms.base import Updated
from learner.algorithms.optimiser import FlatAdam
from moma_core import seeds
from moma_core.config import ActorConfig, OfflineConfig
from moma_core.datasets import Dataset
from moma_core.datasets.starts import histories
from moma_core.nets import memory
from moma_core.nets.policy import Actors
from moma_core.nets.stacked import StackedLinear, chain
from moma_core.types import History, PolicySnapshot, TaskSpec, Trajectory


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


class Values(nn.Module):
    """Values of what agents see and remember, and of what they do there; C copies of each.

    Args:
        spec: the team.
        actor: the memory, which is of the policies' kind.
        config: width and depth.
        seed: of the first weights.
        copies: networks per value, C.
        team: one value of what all agents see and do, or one per agent.
        acts: actions are valued; otherwise what they are done in.
    """

    def __init__(
        self,
        spec: TaskSpec,
        actor: ActorConfig,
        config: OfflineConfig,
        seed: int,
        *,
        copies: int,
        team: bool,
        acts: bool,
    ) -> None:
        super().__init__()
        agents, generator = len(spec.agents), seeds.generator(seed, "values", str(acts))
        self._copies, self._team, self._agents = copies, team, agents
        self.groups = 1 if team else agents
        count, each = copies * self.groups, agents if team else 1
        self.memory = memory.build(actor, copies * agents, spec.frame_width, generator)
        seen = each * (spec.observation_width + self.memory.width)
        done = each * spec.action_width if acts else 0

        def first(inputs: int) -> StackedLinear:
            # Together as one layer of all inputs: what agents do is valued without what they see
            # being computed again for every action.
            scale = sqrt(inputs / (seen + done))
            return StackedLinear(count, inputs, config.width, generator, scale)

        self.state = first(seen)
        self.action = first(done) if acts else None
        widths = [config.width] * config.depth
        self.layers = nn.ModuleList(
            StackedLinear(count, width, width, generator) for width in widths[1:]
        )
        self.head = StackedLinear(count, config.width, 1, generator)

    def seen(
        self, observed: Float32[Tensor, "N A O"], remembered: History
    ) -> Float32[Tensor, "K N W"]:
        """Returns what the first layer makes of what agents see and remember."""
        frames = remembered.frames.transpose(0, 1).repeat(self._copies, 1, 1, 1)
        summary = self.memory(frames, remembered.exists)
        own = torch.cat([observed.transpose(0, 1).repeat(self._copies, 1, 1), summary], dim=-1)
        if self._team:
            own = own.unflatten(0, (self._copies, self._agents)).transpose(1, 2).flatten(2)
        return self.state(own)  # type: ignore[no-any-return]

    def of(
        self, seen: Float32[Tensor, "K N W"], action: Float32[Tensor, "*M N A U"] | None = None
    ) -> Float32[Tensor, "C *M N G"]:
        """Returns the values.

        Args:
            seen: as `seen` gives it.
            action: M joint actions in every row, in the actions' own units; None: no action is
                valued.
        """
        several: Sequence[int] = () if action is None else action.shape[:-3]
        hidden = seen
        if self.action is not None and action is not None:
            own = action.flatten(-2)[None] if self._team else action.movedim(-2, 0)
            own = own.flatten(1, -2).repeat(self._copies, 1, 1)
            done = self.action(own).unflatten(1, (prod(several), seen.shape[1]))
            hidden = (done + seen[:, None]).flatten(1, 2)
        rest = [*self.layers, self.head]
        value = chain(rest, torch.relu(hidden), ["relu"] * len(self.layers))
        shape = (self._copies, self.groups, *several, seen.shape[1])
        return value.reshape(shape).movedim(1, -1)


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
        self._dataset = dataset
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
            row = random.integers(self._dataset.transitions, size=config.minibatch)
            number = self.version * config.updates + step
            for name, value in self._step(self._read(row), noise, number).items():
                measured.setdefault(name, []).append(value.detach())
        self.version += 1
        metrics = {f"values/{k}": float(torch.stack(v).mean()) for k, v in measured.items()}
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
        self._optimisers[name] = FlatAdam(every, self.config.learning_rate)
        return self._optimisers[name]

    def _follow(self, target: nn.Module, source: nn.Module) -> None:
        """Moves a target network's parameters towards another's (Lillicrap et al. 2016)."""
        for behind, ahead in zip(target.parameters(), source.parameters(), strict=True):
            behind.data.lerp_(ahead.data, self.config.target_rate)

    def _descend(self, optimiser: FlatAdam, loss: Float32[Tensor, ""]) -> None:
        """Takes an optimiser's step down a loss."""
        optimiser.zero_gradient()
        loss.backward()
        optimiser.step(loss, self.config.grad_norm)

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
