"""What the model says that a team is worth: whole episodes of it, each inside of one member."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from moma.evaluation import intervals
from moma_core import seeds
from moma_core.datasets import Dataset, StartSampler
from moma_core.datasets.floor import usual
from moma_core.nets.policy import Actors
from moma_core.pessimism import Truncation
from moma_core.ports import Dynamics
from moma_core.tasks import play
from moma_core.types import Query

_TOLD = 10
"""Features whose share is told, at most."""
_USUAL = "0.95"
"""Quantile of the held-out data's disagreement above which a step counts as unusual."""
_NOTHING = 1e-12
"""Sum of distances of rewards that is none."""
_ALIKE = 1e-3
"""Disagreement, in variances of the data, that is none: means 3 % of a deviation apart."""


@dataclass(frozen=True, kw_only=True)
class Imagined:
    """What the model says of a policy, and where it was asked. Nobody measured it."""

    return_mean: float
    """Mean undiscounted return; where an episode was ended, what the log usually earned follows."""
    return_ci95: tuple[float, float]
    """Student's t interval over members; the error that all of them share is not in it."""
    outside_share: float
    """Share of episodes that were ended because they left the log's range."""
    outside: Mapping[str, float]
    """The same by feature, the largest ones."""
    cut_share: float
    """Share of episodes that were ended because the members disagreed."""
    unusual_share: float
    """Share of steps in which members disagree more than in 95 % of the held-out ones."""
    unusual_reward_share: float
    """Share of what is earned that is earned in those steps: of the sum of the rewards' distances
    from the log's mean reward, since few steps may decide a return."""


def imagine(
    dynamics: Dynamics,
    dataset: Dataset,
    actors: Actors,
    truncation: Truncation,
    episodes: int,
    seed: int,
    *,
    sampled: bool = False,
) -> Imagined:
    """Plays a policy in the model, from where the log's episodes began.

    Args:
        dynamics: the model.
        dataset: the log.
        actors: the policy.
        truncation: where an episode ends, as a rollout is truncated.
        episodes: how many.
        seed: of starts and draws.
        sampled: draw actions from the policies; otherwise the most likely ones are taken.
    """
    starts = StartSampler(dataset, history=0, episode_starts=1.0)
    environment = Members(dynamics, starts, episodes, truncation, float(dataset.reward.mean()))
    earned = play.evaluate(actors, dataset.spec, environment, seed, sampled=sampled)
    earned = earned + environment.ended * usual(dataset, 1.0)[environment.lasted]
    count = len(dynamics.describe().elites)
    member = seeds.choose(environment.row_seed, count)
    means = [float(earned[member == m].mean()) for m in range(count) if (member == m).any()]
    left = environment.outside.float().mean(0)
    names = (*dataset.spec.state_names, "reward")
    most = [i for i in left.argsort(descending=True).tolist()[:_TOLD] if left[i] > 0]
    return Imagined(
        return_mean=float(earned.mean()),
        return_ci95=intervals.over_members(np.array(means), earned.numpy()),
        outside_share=float(environment.outside.any(1).float().mean()),
        outside={names[i]: float(left[i]) for i in most},
        cut_share=float((environment.ended & ~environment.outside.any(1)).float().mean()),
        unusual_share=environment.unusual / max(environment.steps, 1),
        unusual_reward_share=environment.decided_unusually / max(environment.decided, _NOTHING),
    )


class Members:
    """Episodes of a model, each with one member from its first step to its last.

    An episode ends where the model says so, and where it is not to be believed any more.
    """

    def __init__(
        self,
        dynamics: Dynamics,
        starts: StartSampler,
        count: int,
        truncation: Truncation,
        mean_reward: float,
    ) -> None:
        self._dynamics, self._starts, self._truncation = dynamics, starts, truncation
        self._mean_reward = mean_reward
        self._usual = max(dynamics.describe().disagreement_quantiles[_USUAL], _ALIKE)
        self._count = count

    def reset(self, seed: int) -> Float32[Tensor, "B S"]:
        """Draws a start for every copy."""
        count = self._count
        starts = seeds.rows(seeds.derive(seed, "starts"), count)
        self._state = self._starts.draw(starts).state
        self.row_seed: Int64[Tensor, " B"] = seeds.rows(seeds.derive(seed, "members"), count)
        self.lasted = torch.zeros(count, dtype=torch.int64)
        """Steps of every episode."""
        self.ended, self._over = torch.zeros(2, count, dtype=torch.bool)
        """Where an episode ended because the model was not to be believed."""
        self.outside = torch.zeros(count, self._state.shape[1] + 1, dtype=torch.bool)
        """The features by which it left the log's range."""
        self.unusual, self.steps = 0.0, 0.0
        self.decided_unusually, self.decided = 0.0, 0.0
        """Sums of the rewards' distances from the log's mean: in unusual steps, and in all."""
        return self._state

    def step(
        self, action: Float32[Tensor, "B A U"]
    ) -> tuple[Float32[Tensor, "B S"], Float32[Tensor, " B"], Bool[Tensor, " B"]]:
        """Asks the model for every copy."""
        query = Query(state=self._state, action=action, age=self.lasted, seed=self.row_seed)
        prediction = self._dynamics.predict(query)
        going = ~self._over
        self.lasted = self.lasted + going
        self.steps += float(going.sum())
        unusual = going & (prediction.disagreement > self._usual)
        self.unusual += float(unusual.sum())
        decides = (prediction.reward - self._mean_reward).abs()
        self.decided_unusually += float((decides * unusual).sum())
        self.decided += float((decides * going).sum())
        unsure = self._truncation(prediction) & ~prediction.terminated & going
        self.outside |= prediction.outside & unsure[:, None]
        self.ended = self.ended | unsure
        self._over = self._over | unsure | prediction.terminated
        self._state = prediction.next_state
        return self._state, prediction.reward, self._over
