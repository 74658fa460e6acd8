"""Fitted Q evaluation: what a team is worth by its log alone, with no model of the world.

Networks learn Q(s, a, t): what is still earned in an episode in which the team plays, after the
joint action a in the state s at the age t. The log says what came next, the team what it would do
there (Le, Voloshin, Yue 2019, "Batch policy learning under constraints", algorithm 3; Fu et al.
2021, "Benchmarks for deep off-policy evaluation", section 4.1):

    Q(s, a, t) <- r + Q(s', team(s'), t + 1)

and beyond the episode's limit, or where the task ended it, there is no second term.

How: iterated fits. All targets of a fit are by the values of the one before, and a value must pass
through as many fits as there are steps to the limit; so a fit takes few updates, and there are
several fits for each step. The rate goes to zero by a cosine, which averages the last fits.

Long episodes: beyond `undiscounted` steps errors of hundreds of fits would add up, so values are
discounted by g = 1 - 1 / `undiscounted`, and what that loses is put back. With V discounted,
r_t = V(s_t) - g V(s_{t+1}), so that the sum over an episode is V(s_0) + (1 - g) sum_{t>0} V(s_t),
exactly, over the states that the team itself reaches. Those after the first are taken from the
log, age by age, weighted by the share of episodes that last until then.

What it does not see, each but the last measured:

- An action that the log never shows is valued by extrapolation, often too high, and at times with
  all networks agreed. On carts with a log of 24.1, untrained actors, worth 0.0, came out at 26.5
  +- 6.0, and clones with noise in their weights, worth 19.7, at 29.4 +- 1.5. A clone of the log has
  a `FittedQ.deviation` of the log's own noise; a team well above it is not to be believed.
- Where the log mixes two conventions and a clone acts by their mean, the log has no states such as
  the clone's. Clones on reacher-leader, worth -6.4, came out at -4.8, with a memory and without.
- In long episodes the states after the first, and the share of episodes that last, are the log's.
  Over 1,000 steps that gave 905 for 921; and 511 for 918 where most of the log's episodes ended
  early and none of the team's did (the log's mean was 357). The interval does not know of it.
- What the team remembers in a state is what the log's players had done, not itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from numpy.typing import NDArray
from torch import Tensor, nn

from moma.evaluation.intervals import student
from moma.evaluation.team_log import TeamLog, retrace
from moma_core import seeds
from moma_core.config.checks import positive, require
from moma_core.datasets import Dataset
from moma_core.nets.policy import Actors
from moma_core.nets.stacked import StackedLinear, chain

_FITS_PER_STEP = 4
"""Fits for each step of the horizon: with a discount all but exp(-4) of a value has arrived."""
_CHUNK = 16384
"""States that are valued at a time."""
_NO_SPREAD = 1e-6
"""Deviation of returns below which they count as one number."""


@dataclass(frozen=True, kw_only=True)
class FittedQSettings:
    """Fitted Q evaluation."""

    members: int = 5
    """Networks, each on its own bootstrap of the log's episodes."""
    width: int = 64
    """Hidden width."""
    depth: int = 2
    """Hidden layers."""
    updates: int = 2000
    """Optimiser steps at most, shared out among the fits."""
    most: int = 50
    """Optimiser steps of a fit at most: short episodes take few fits."""
    batch: int = 256
    """Rows of the log per network and optimiser step."""
    learning_rate: float = 3e-3
    """Learning rate of Adam at the beginning."""
    undiscounted: int = 200
    """Steps of an episode up to which values are not discounted."""
    rows: int = 200_000
    """Rows taken into memory; a larger log is represented by whole episodes drawn from it."""

    def __post_init__(self) -> None:
        require(
            "fitted_q",
            members=(self.members, self.members >= 2, "be 2 or greater"),
            width=positive(self.width),
            depth=positive(self.depth),
            updates=positive(self.updates),
            most=positive(self.most),
            batch=positive(self.batch),
            learning_rate=positive(self.learning_rate),
            undiscounted=(self.undiscounted, self.undiscounted >= 2, "be 2 or greater"),
            rows=positive(self.rows),
        )


@dataclass(frozen=True, kw_only=True)
class FittedQ:
    """What the log says that a team is worth. Nobody measured it."""

    return_mean: float
    """Mean undiscounted return of an episode that begins where the log's do."""
    return_ci95: tuple[float, float]
    """Student's t interval over networks, each of which has its own bootstrap of episodes: of what
    it learns from and of where it begins. The error that all networks share is not in it."""
    deviation: float
    """Root mean square of the team's actions less the logged ones in the same states, in standard
    deviations of the logged actions; 1.4 where they have nothing to do with each other."""


def fitted_q(dataset: Dataset, actors: Actors, settings: FittedQSettings, seed: int) -> FittedQ:
    """Values a team of decentralised actors that take their most likely actions.

    Args:
        dataset: the log, as the actors see it (`moma_core.datasets.view`).
        actors: the team, in main memory.
        settings: networks and their updates.
        seed: of every draw.
    """
    log = retrace(dataset, actors, settings.rows, seeds.derive(seed, "fitted q episodes"))
    scale = Scale(log, settings.undiscounted)
    random = np.random.default_rng(seeds.derive(seed, "fitted q rows"))
    own = [random.integers(log.episodes, size=log.episodes) for _ in range(settings.members)]
    values = _fitted(log, scale, own, settings, seed, random)
    means = _worth(log, scale, values, own).numpy()
    half, mean = student(settings.members - 1) * float(means.std(ddof=1)), float(means.mean())
    return FittedQ(
        return_mean=mean,
        return_ci95=(mean - half, mean + half),
        deviation=log.deviation(),
    )


class Scale:
    """What is possible at every age, and the units in which networks say it.

    Values are a base plus a unit times what the networks say: the base is what the log's mean
    reward comes to in the steps that are left, the unit the deviation of the log's returns from it.

    Args:
        log: rewards and their ages.
        undiscounted: steps of an episode up to which values are not discounted.
    """

    def __init__(self, log: TeamLog, undiscounted: int) -> None:
        self.limit = log.limit
        long = log.limit > undiscounted
        self.discount = 1 - 1 / undiscounted if long else 1.0
        self.fits = _FITS_PER_STEP * (undiscounted if long else log.limit)
        """Fits until values have arrived from the limit."""
        weight = torch.full((log.limit,), self.discount, dtype=torch.float64).cumprod(0)
        steps = torch.nn.functional.pad((weight / self.discount).cumsum(0), (1, 0))
        self.left = steps.flip(0).float()
        """Steps that are left at every age up to the limit, discounted, `[limit+1]`."""
        low, high = log.reward.min(), log.reward.max()
        self.base, self.low, self.high = (one * self.left for one in (log.reward.mean(), low, high))
        if log.terminated.any():  # one step may be the last
            self.low, self.high = self.low.clamp_max(low), self.high.clamp_min(high)
        spread = (log.returns_to_go(self.discount) - self.base[log.age]).std(correction=0)
        self.unit = torch.where(spread > _NO_SPREAD, spread, 1.0)

    def possible(
        self, value: Float32[Tensor, "*B"], age: Int64[Tensor, "*B"]
    ) -> Float32[Tensor, "*B"]:
        """Limits values to what the smallest and largest reward in every step left would earn."""
        return torch.clamp(value, self.low[age], self.high[age])

    def units(
        self, value: Float32[Tensor, "*B"], age: Int64[Tensor, "*B"]
    ) -> Float32[Tensor, "*B"]:
        """Returns values in the networks' units."""
        return (value - self.base[age]) / self.unit


class Values(nn.Module):
    """K networks, all with their own rows: state, joint action and age to a value.

    Args:
        inputs: numbers of a state and a joint action.
        scale: of the values.
        settings: number, width and depth of the networks.
        seed: of the first weights.
    """

    def __init__(self, inputs: int, scale: Scale, settings: FittedQSettings, seed: int) -> None:
        super().__init__()
        generator = seeds.generator(seed, "fitted q")
        widths = [inputs + 1, *[settings.width] * settings.depth, 1]
        self.layers = nn.ModuleList(
            StackedLinear(settings.members, i, o, generator) for i, o in pairwise(widths)
        )
        self._scale = scale

    def forward(
        self, x: Float32[Tensor, "K N I"], age: Int64[Tensor, "K N"]
    ) -> Float32[Tensor, "K N"]:
        """Returns values in the networks' units."""
        time = 2 * age / self._scale.limit - 1
        joined = torch.cat([x, time[..., None]], dim=-1)
        return chain([*self.layers], joined, ["relu"] * (len(self.layers) - 1)).squeeze(-1)

    def values(
        self, x: Float32[Tensor, "K N I"], age: Int64[Tensor, "K N"]
    ) -> Float32[Tensor, "K N"]:
        """Returns values in the reward's units, limited to what is possible; no gradient."""
        with torch.no_grad():
            said = self(x, age)
        return self._scale.possible(self._scale.base[age] + self._scale.unit * said, age)


def _fitted(
    log: TeamLog,
    scale: Scale,
    own: Sequence[NDArray[np.int64]],
    settings: FittedQSettings,
    seed: int,
    random: np.random.Generator,
) -> Values:
    """Returns values after all fits, each network having seen its own episodes."""
    values = Values(log.state.shape[1] + log.action.shape[1], scale, settings, seed)
    optimiser = torch.optim.Adam(values.parameters(), lr=settings.learning_rate, fused=True)
    updates = min(math.ceil(settings.updates / scale.fits), settings.most)
    for fit in range(scale.fits):
        decay = 0.5 * (1 + math.cos(math.pi * fit / scale.fits))
        optimiser.param_groups[0]["lr"] = settings.learning_rate * decay
        row = torch.stack([log.draw(one, updates * settings.batch, random) for one in own])
        x, age, target = log.logged(row), log.age[row], _targets(log, scale, values, row)
        parts = (part.split(settings.batch, dim=1) for part in (x, age, target))
        for inputs, ages, wanted in zip(*parts, strict=True):
            loss = (values(inputs, ages) - wanted).square().mean(1).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return values


def _targets(
    log: TeamLog, scale: Scale, values: Values, row: Int64[Tensor, "K N"]
) -> Float32[Tensor, "K N"]:
    """Returns what the networks should say of some steps, by what they say of the next ones."""
    age = log.age[row]
    later = values.values(log.played(log.before[row] + 1), age + 1)
    value = log.reward[row] + scale.discount * later * log.goes_on[row]
    return scale.units(scale.possible(value, age), age)


def _worth(
    log: TeamLog, scale: Scale, values: Values, own: Sequence[NDArray[np.int64]]
) -> Float64[Tensor, " K"]:
    """Returns the mean return by each network, from the states of its own episodes."""
    weight = torch.stack([_weights(log, scale.discount, episode) for episode in own])
    total = torch.zeros(len(own), dtype=torch.float64)
    for state in weight.any(0).nonzero().squeeze(-1).split(_CHUNK):
        age = log.state_age[state].expand(len(own), -1)
        value = values.values(log.played(state).expand(len(own), -1, -1), age)
        total += (value * weight[:, state]).sum(1)
    return total


def _weights(log: TeamLog, discount: float, episode: NDArray[np.int64]) -> Float32[Tensor, " M"]:
    """Returns what the discounted value of every state counts in the mean return.

    Args:
        log: the states.
        discount: of the values; 1: they are the return, and only first states count.
        episode: episodes that the mean is over, as often as they are named here.
    """
    times = np.bincount(episode, minlength=log.episodes)
    age, state_age, ages = log.age.numpy(), log.state_age.numpy(), log.limit + 1
    step = np.repeat(times, log.lengths)
    ended = np.bincount(age, step * log.terminated.numpy(), ages)
    # An episode that was cut says nothing of how long it would have lasted (Kaplan, Meier 1958).
    lasting = np.cumprod(1 - ended / np.maximum(np.bincount(age, step, ages), 1))
    share = np.append(1.0, lasting[:-1])
    count = np.repeat(times, log.lengths + 1)
    count[log.over.numpy()] = 0
    mean = count / np.maximum(np.bincount(state_age, count, ages), 1)[state_age]
    weight = np.where(state_age == 0, 1.0, 1 - discount) * share[state_age] * mean
    return torch.from_numpy(weight.astype(np.float32))
