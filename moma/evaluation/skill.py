"""What a model is worth on held-out steps, beside the simplest predictions that there are."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from moma.evaluation.judgement import Skill
from moma_core import seeds
from moma_core.datasets import Dataset
from moma_core.datasets.holdout import Runs, held_episodes
from moma_core.ports import Dynamics
from moma_core.types import Query, Transitions

_HELD = 64
"""Held-out episodes that the model is tried on, at most."""
_DRAWS = 8
"""Predictions of a step that are averaged."""
_ROWS = 8192
"""Rows that the linear prediction is fitted to, at most."""
_GOOD = 0.3
"""Error, in errors of a world standing still, from which on nobody is asked to do better."""


class _Linear:
    """The next state as a linear function of state and action: what any model has to know.

    Args:
        dataset: the log.
        train: rows to fit it to.
    """

    def __init__(self, dataset: Dataset, train: Runs) -> None:
        place = np.linspace(0, len(train) - 1, min(len(train), _ROWS)).astype(np.int64)
        data = dataset.rows(train.at(place))
        mean, std = (torch.from_numpy(part).double() for part in dataset.units())
        self._mean, self._std = mean, std
        inputs = self._inputs(data)
        target = (data.next_state.double() - mean) / std
        ridge = 1e-6 * len(inputs) * torch.eye(inputs.shape[1], dtype=torch.float64)
        self._weight = torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ target)

    def __call__(self, data: Transitions) -> Float32[Tensor, "N S"]:
        """Predicts the next states of some steps."""
        predicted: Tensor = self._inputs(data) @ self._weight * self._std + self._mean
        return predicted.float()

    def _inputs(self, data: Transitions) -> Float64[Tensor, "N I"]:
        state = (data.state.double() - self._mean) / self._std
        one = torch.ones(len(state), 1, dtype=torch.float64)
        return torch.cat([state, data.action.flatten(1).double(), one], dim=1)


def skill(model: Dynamics, dataset: Dataset, train: Runs, held: Runs, seed: int) -> Skill:
    """Asks the model for every step of some held-out episodes, from the logged states.

    Args:
        model: the model.
        dataset: the log.
        train: rows that it was fitted to.
        held: rows that were held out.
        seed: of the draws.
    """
    whole = held_episodes(dataset, held)[:_HELD]
    linear = _Linear(dataset, train)
    errors, squares, still, straight = [], [], [], []
    for episode in whole.tolist():
        step = np.arange(dataset.edges[episode], dataset.edges[episode + 1])
        data = dataset.rows(step)
        age = torch.arange(len(step))
        said = [
            model.predict(
                Query(
                    state=data.state,
                    action=data.action,
                    age=age,
                    seed=seeds.rows(seeds.derive(seed, "skill", episode, draw), len(step)),
                )
            )
            for draw in range(_DRAWS)
        ]
        state = torch.stack([one.next_state for one in said])
        reward = torch.stack([one.reward for one in said]).mean(0)
        errors.append(float((reward - data.reward).sum()))
        # A mean of few draws is off by their chance as well, which is no error of the model.
        chance = state.var(0) / _DRAWS
        squares.append((state.mean(0) - data.next_state).square() - chance)
        still.append((data.state - data.next_state).square())
        straight.append((linear(data) - data.next_state).square())
    if not errors:
        return Skill(state_error=0.0, return_error=0.0, return_error_se=0.0)
    error, stood, simple = (
        torch.cat(part).mean(0).clamp_min(0).sqrt() for part in (squares, still, straight)
    )
    moves = stood > 1e-6 * torch.from_numpy(dataset.units()[1])
    ratio = (error / torch.minimum(stood, torch.maximum(simple, _GOOD * stood)))[moves]
    return Skill(
        state_error=float(ratio.median()) if moves.any() else 0.0,
        return_error=float(np.mean(errors)),
        return_error_se=float(np.std(errors) / np.sqrt(len(errors))),
    )
