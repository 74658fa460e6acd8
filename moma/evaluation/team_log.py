"""A log in memory, with what a team would do in each of its states."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from numpy.typing import NDArray
from torch import Tensor

from moma_core.datasets import Dataset
from moma_core.datasets.mapped import take
from moma_core.datasets.starts import histories
from moma_core.nets.policy import Actors

_CHUNK = 8192
"""States in which the actors are asked at a time."""
_STILL = 1e-6
"""A column with a smaller standard deviation counts as one that does not vary."""


@dataclass(frozen=True, kw_only=True)
class TeamLog:
    """N steps of K episodes, end to end, and their M = N + K states, each episode's last included.

    States and actions are standardised: the log's have mean 0 and deviation 1.
    """

    limit: int
    """Steps of an episode at most; what the log has beyond is left out."""
    edges: NDArray[np.int64]
    """The first step of every episode and, last, the number of steps, `[K+1]`."""
    state: Float32[Tensor, "M S"]
    team_action: Float32[Tensor, "M AU"]
    """The team's most likely joint action in every state."""
    action: Float32[Tensor, "N AU"]
    """The joint action that was logged."""
    reward: Float32[Tensor, " N"]
    terminated: Bool[Tensor, " N"]

    @property
    def episodes(self) -> int:
        """Episodes, K."""
        return len(self.edges) - 1

    @cached_property
    def age(self) -> Int64[Tensor, " N"]:
        """Steps of its episode before every step."""
        lengths = np.diff(self.edges)
        return torch.from_numpy(np.arange(self.edges[-1]) - np.repeat(self.edges[:-1], lengths))

    @cached_property
    def state_age(self) -> Int64[Tensor, " M"]:
        """Steps of its episode before every state."""
        first = self.first_state.numpy()
        return torch.from_numpy(np.arange(len(self.state)) - np.repeat(first, self.lengths + 1))

    @cached_property
    def before(self) -> Int64[Tensor, " N"]:
        """The state in which every step is taken; the next one is where it leads."""
        episode = np.repeat(np.arange(self.episodes), self.lengths)
        return torch.from_numpy(np.arange(self.edges[-1]) + episode)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Steps of every episode, `[K]`."""
        return np.diff(self.edges)

    @property
    def first_state(self) -> Int64[Tensor, " K"]:
        """The state in which every episode begins."""
        return torch.from_numpy(self.edges[:-1] + np.arange(self.episodes))

    @cached_property
    def goes_on(self) -> Bool[Tensor, " N"]:
        """True where something is earned after the step.

        That is not so where the task ended the episode or its limit did; an episode that the log
        cut before its limit would have gone on.
        """
        return ~self.terminated & (self.age + 1 < self.limit)

    @cached_property
    def over(self) -> Bool[Tensor, " M"]:
        """True in states after which nothing is earned any more."""
        found = torch.zeros(len(self.state), dtype=torch.bool)
        found[self.before[~self.goes_on] + 1] = True
        return found

    def logged(self, row: Int64[Tensor, "*B"]) -> Float32[Tensor, "*B I"]:
        """Returns states and logged joint actions of some steps, side by side."""
        return torch.cat([self.state[self.before[row]], self.action[row]], dim=-1)

    def played(self, state: Int64[Tensor, "*B"]) -> Float32[Tensor, "*B I"]:
        """Returns some states and the team's joint actions there, side by side."""
        return torch.cat([self.state[state], self.team_action[state]], dim=-1)

    def deviation(self) -> float:
        """Root mean square of what the team does less what was logged, both standardised."""
        apart = self.team_action[self.before] - self.action
        return float(apart.square().mean().sqrt())

    def returns_to_go(self, discount: float) -> Float32[Tensor, " N"]:
        """Returns what the log earned from every step to its episode's end, discounted."""
        reward = self.reward.double().numpy()
        found, value = np.zeros(len(reward)), np.zeros(self.episodes)
        for back in range(int(self.lengths.max())):
            reaching = np.flatnonzero(self.lengths > back)
            row = self.edges[reaching + 1] - 1 - back
            found[row] = value[reaching] = reward[row] + discount * value[reaching]
        return torch.from_numpy(found.astype(np.float32))

    def draw(
        self, episode: NDArray[np.int64], count: int, random: np.random.Generator
    ) -> Int64[Tensor, " B"]:
        """Draws steps uniformly from some episodes, with replacement.

        Args:
            episode: drawn from, as often as it is named here.
            count: steps to draw, B.
            random: what draws.
        """
        before = np.append(0, np.cumsum(self.lengths[episode]))
        place = random.integers(before[-1], size=count)
        run = np.searchsorted(before, place, side="right") - 1
        return torch.from_numpy(self.edges[episode[run]] + place - before[run])


def retrace(dataset: Dataset, actors: Actors, rows: int, seed: int) -> TeamLog:
    """Asks the actors what they would do in every state of a log, as they would remember it.

    What they remember is what the log's players saw and did up to there.

    Args:
        dataset: the log.
        actors: the team.
        rows: steps that are taken into memory; a larger log is represented by whole episodes of
            it, drawn uniformly.
        seed: of that draw.
    """
    limit = dataset.spec.episode_limit
    chosen = _chosen(dataset, rows, seed)
    lengths = np.minimum(dataset.lengths[chosen], limit)
    edges = np.append(0, np.cumsum(lengths))
    row = _ranges(dataset.episode_start[chosen], lengths)
    at = _ranges(dataset.episode_start[chosen] + chosen, lengths + 1)
    state, action = take(dataset.state, at), take(dataset.action, row).reshape(len(row), -1)
    team_action = _team_actions(dataset, actors, state, at, np.repeat(chosen, lengths + 1))
    mean, std = _units(action)
    return TeamLog(
        limit=limit,
        edges=edges,
        state=_standardised(state, *_units(state)),
        team_action=_standardised(team_action, mean, std),
        action=_standardised(action, mean, std),
        reward=torch.from_numpy(take(dataset.reward, row)),
        terminated=torch.from_numpy(take(dataset.terminated, row)),
    )


def _chosen(dataset: Dataset, rows: int, seed: int) -> NDArray[np.int64]:
    """Returns the episodes that are looked at, ascending: all, or as many as have `rows` steps."""
    if dataset.transitions <= rows:
        return np.arange(dataset.episodes)
    order = np.random.default_rng(seed).permutation(dataset.episodes)
    enough = int(np.searchsorted(np.cumsum(dataset.lengths[order]), rows)) + 1
    return np.sort(order[:enough])


def _ranges(begin: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns `count` consecutive numbers from each `begin` on, end to end."""
    before = np.cumsum(count) - count
    ranges: NDArray[np.int64] = np.repeat(begin - before, count) + np.arange(count.sum())
    return ranges


def _team_actions(
    dataset: Dataset,
    actors: Actors,
    state: NDArray[np.float32],
    at: NDArray[np.int64],
    episode: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Returns the team's most likely action `[M A*U]` in states `at` of the log's episodes."""
    spec, found = dataset.spec, []
    for begin in range(0, len(at), _CHUNK):
        part = slice(begin, begin + _CHUNK)
        row = at[part] - episode[part]
        past = histories(dataset, row, actors.config.history, episode[part])
        observed = actors.observed(spec.observe(torch.from_numpy(state[part])))
        with torch.no_grad():
            action = actors(observed, actors.remembered(past)).mode()
        found.append(spec.clamp(action).flatten(1))
    joint: NDArray[np.float32] = torch.cat(found).numpy()
    return joint


def _units(column: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns every column's mean and deviation; 1 for one that does not vary."""
    std = column.std(0, dtype=np.float64)
    return column.mean(0, dtype=np.float64), np.where(std > _STILL, std, 1.0)


def _standardised(
    column: NDArray[np.float32], mean: NDArray[np.float64], std: NDArray[np.float64]
) -> Float32[Tensor, "N W"]:
    return torch.from_numpy(((column - mean) / std).astype(np.float32))
