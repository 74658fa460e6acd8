"""What is believed of a run's policies without a simulator: two estimates each, and a judgement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from moma import fitting
from moma.evaluation import policies
from moma.evaluation.fitted_q import FittedQ, FittedQSettings, fitted_q
from moma.evaluation.imagined import Imagined, imagine
from moma.evaluation.judgement import Judgement, LogReturns, Skill, Worth, judge, worth
from moma_core import seeds
from moma_core.config import Config
from moma_core.datasets import Dataset, facts
from moma_core.datasets.holdout import Runs, held_episodes, split
from moma_core.datasets.view import works_on
from moma_core.ports import Dynamics
from moma_core.runtime import subject
from moma_core.runtime.run import RunDirectory
from moma_core.types import Query, Transitions
from rollout_workers import pessimism

_EPISODES = 256
"""Episodes that a policy plays in the model."""
_HELD = 64
"""Held-out episodes that the model is tried on, at most."""
_DRAWS = 8
"""Predictions of a step that are averaged."""
_ROWS = 8192
"""Rows that the linear prediction is fitted to, at most."""
_GOOD = 0.3
"""Error, in errors of a world standing still, from which on nobody is asked to do better."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What is believed of one policy. Nobody measured it."""

    worth: Worth
    """Both estimates together."""
    by_model: Imagined
    by_log: FittedQ
    judgement: Judgement


@dataclass(frozen=True, kw_only=True)
class Belief:
    """What is believed of a run's policies, and which of them is recommended."""

    log: LogReturns
    skill: Skill
    policies: Mapping[str, Estimate]
    recommended: str
    """Name of the policy to take."""

    @property
    def judgement(self) -> Judgement:
        """The judgement on the team."""
        return self.policies[policies.TEAM].judgement


def estimate(run: RunDirectory, config: Config) -> Belief:
    """Returns what the model and the log say of a run's policies.

    Args:
        run: the run, with a model and a checkpoint.
        config: its config.

    Raises:
        ValueError: the run has no log, or it is not where it was.
    """
    data, model = works_on(subject.log(run, config), config.works_on), fitting.dynamics(run, config)
    truncation = pessimism.truncation(config.pessimism, model.describe())
    seed = seeds.derive(config.seed, "estimate")
    log, tried = returns_of(data), skill(model, data, config, seed)
    found = {}
    for name in policies.names(run):
        actors = policies.load(run, name, data.spec, config.actor)
        imagined = imagine(model, data, actors, truncation, _EPISODES, seed)
        fitted = fitted_q(data, actors, FittedQSettings(), seed)
        judgement = judge(log, tried, imagined, fitted)
        found[name] = Estimate(
            worth=worth(log, tried, imagined, fitted),
            by_model=imagined,
            by_log=fitted,
            judgement=judgement,
        )
    return Belief(log=log, skill=tried, policies=found, recommended=recommend(found))


def recommend(found: Mapping[str, Estimate]) -> str:
    """Returns the supported policy that the lower of its two estimates says most of.

    Where none is supported it is the imitation of the whole log, which departs least from it.
    """
    supported = {n: e for n, e in found.items() if e.judgement.word == "supported"}
    if not supported:
        return policies.FLOOR if policies.FLOOR in found else next(iter(found))
    return max(supported, key=lambda name: _sure(supported[name]))


def _sure(one: Estimate) -> float:
    return min(one.by_model.return_mean, one.by_log.return_mean)


def returns_of(dataset: Dataset) -> LogReturns:
    """Returns what the log's own episodes earned."""
    earned = dataset.returns()
    return LogReturns(
        episodes=len(earned),
        return_mean=float(earned.mean()),
        best_tenth=facts.best_tenth(earned),
    )


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


def skill(model: Dynamics, dataset: Dataset, config: Config, seed: int) -> Skill:
    """Asks the model for every step of some held-out episodes, from the logged states.

    Args:
        model: the model.
        dataset: the log.
        config: which episodes were held out.
        seed: of the draws.
    """
    fitted = config.model
    train, held = split(dataset, fitted.holdout, fitted.holdout_by, config.seed)
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
        state = torch.stack([one.next_state for one in said]).mean(0)
        reward = torch.stack([one.reward for one in said]).mean(0)
        errors.append(float((reward - data.reward).sum()))
        squares.append((state - data.next_state).square())
        still.append((data.state - data.next_state).square())
        straight.append((linear(data) - data.next_state).square())
    if not errors:
        return Skill(state_error=0.0, return_error=0.0, return_error_se=0.0)
    error, stood, simple = (torch.cat(part).mean(0).sqrt() for part in (squares, still, straight))
    moves = stood > 1e-6 * torch.from_numpy(dataset.units()[1])
    ratio = (error / torch.minimum(stood, torch.maximum(simple, _GOOD * stood)))[moves]
    return Skill(
        state_error=float(ratio.median()) if moves.any() else 0.0,
        return_error=float(np.mean(errors)),
        return_error_se=float(np.std(errors) / np.sqrt(len(errors))),
    )
