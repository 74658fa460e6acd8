"""One round's segments as flat rows to take minibatches from. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from learner.algorithms.group import Group
from learner.algorithms.moma_ppo.advantages import gae
from learner.algorithms.moma_ppo.critic import Critic, ValueScale
from moma_core.config import PPOConfig
from moma_core.nets import history
from moma_core.nets.history import Path
from moma_core.nets.policy import Actors
from moma_core.types import History, TaskSpec, Trajectory


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Valid steps only, in the order (step, rollout)."""

    state: Float32[Tensor, "N S"]
    age: Int64[Tensor, " N"]
    observed: Float32[Tensor, "N A O"]
    """Observations in the actors' units, as is `path`."""
    path: Path
    """Frames of the round, each once, `Actors.rounded`; a row's window begins at its `place`."""
    frames: int
    """Frames of a window: H."""
    place: Int64[Tensor, " N"]
    action: Float32[Tensor, "N A U"]
    log_prob: Float32[Tensor, "N A"]
    advantage: Float32[Tensor, " N"]
    """Advantages, normalised over the round."""
    value: Float32[Tensor, " N"]
    """Values as the critic saw them before the update."""
    returns: Float32[Tensor, " N"]

    @property
    def remembered(self) -> History:
        """Every row's window."""
        return history.windows(self.path, self.frames, self.place)

    def take(self, index: Int64[Tensor, " M"]) -> Batch:
        """Returns the rows `index`."""
        return replace(self, **{n: getattr(self, n).index_select(0, index) for n in _PER_ROW})

    def parts(self, size: int, group: Group) -> Iterator[tuple[Batch, int]]:
        """Yields minibatches as views of a learner's share of each, and each one's rows in all.

        Args:
            size: rows of a minibatch; the last one may have fewer.
            group: learners that share them.
        """
        for whole in zip(*(getattr(self, name).split(size) for name in _PER_ROW), strict=True):
            count = len(whole[0])
            own = group.share(count)
            part = {name: rows[own] for name, rows in zip(_PER_ROW, whole, strict=True)}
            yield replace(self, **part), count


_PER_ROW = (
    "state",
    "age",
    "observed",
    "place",
    "action",
    "log_prob",
    "advantage",
    "value",
    "returns",
)
"""The fields that have a row for every step."""


def prepare(
    path: Trajectory,
    spec: TaskSpec,
    actors: Actors,
    critic: Critic,
    scale: ValueScale,
    config: PPOConfig,
    floor: Float32[Tensor, " L"] | None = None,
) -> Batch:
    """Values, advantages and windows of a round.

    Args:
        path: the round's rollouts, whose rows come in this order.
        spec: the team.
        actors: the policies that acted; their units are the batch's.
        critic: gives the values.
        scale: from the critic's units to returns.
        config: discount, lambda and the minibatch's size.
        floor: worth of a state of that age in which the model is not to be believed; None: the
            critic's value, as of any other state.
    """
    path = path.to(critic.state_mean.device)
    age = path.age + torch.arange(len(path.state), device=path.age.device)[:, None]
    ended, reward = path.terminated, path.reward
    if config.limit == "ends":
        ended = ended | (age[1:] == spec.episode_limit)
    if floor is not None:
        unknown = config.discount * floor.to(age.device)[age[1:].clamp_max(len(floor) - 1)]
        ended, reward = ended | path.unsure, reward + path.unsure * unknown
    with torch.no_grad():
        value = scale.restore(critic(path.state, age))
        advantage = gae(
            reward, value, ended, path.truncated & ~ended, config.discount, config.gae_lambda
        )
        observed = actors.observed(spec.observe(path.state[:-1]))
        begun = actors.remembered(path.history)
        laid = history.lay(begun, observed, spec.clamp(path.action))
        rows = path.valid
        step, rollout = rows.nonzero().unbind(1)
        flat = advantage[rows]
        return Batch(
            state=path.state[:-1][rows],
            age=age[:-1][rows],
            observed=observed[rows],
            path=actors.rounded(laid, config.minibatch),
            frames=begun.exists.shape[1],
            place=history.places(laid, step, rollout),
            action=path.action[rows],
            log_prob=path.log_prob[rows],
            advantage=(flat - flat.mean()) / (flat.std(correction=0) + 1e-8),
            value=value[:-1][rows],
            returns=(advantage + value[:-1])[rows],
        )
