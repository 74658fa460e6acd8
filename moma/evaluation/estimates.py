"""What is believed of a run's policies without a simulator: two estimates each, and a judgement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from moma import fitting
from moma.evaluation import policies
from moma.evaluation.fitted_q import FittedQ, FittedQSettings, fitted_q
from moma.evaluation.imagined import Imagined, imagine
from moma.evaluation.judgement import Judgement, LogReturns, Skill, Worth, judge, worth
from moma_core import seeds
from moma_core.config import Config
from moma_core.datasets import Dataset
from moma_core.datasets.holdout import held_episodes, split
from moma_core.datasets.view import works_on
from moma_core.ports import Dynamics
from moma_core.runtime import subject
from moma_core.runtime.run import RunDirectory
from moma_core.types import Query
from rollout_workers import pessimism

_EPISODES = 256
"""Episodes that a policy plays in the model."""
_HELD = 64
"""Held-out episodes that the model is tried on, at most."""
_DRAWS = 8
"""Predictions of a step that are averaged."""


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
        ValueError: the run has no log.
    """
    logged = subject.dataset(config, run.data)
    if logged is None:
        raise ValueError(f"{run.path} has no log to estimate by")
    data, model = works_on(logged, config.works_on), fitting.dynamics(run, config)
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
    earned = np.sort(dataset.returns())
    best = earned[-max(1, len(earned) // 10) :]
    return LogReturns(
        episodes=len(earned), return_mean=float(earned.mean()), best_tenth=float(best.mean())
    )


def skill(model: Dynamics, dataset: Dataset, config: Config, seed: int) -> Skill:
    """Asks the model for every step of some held-out episodes, from the logged states.

    Args:
        model: the model.
        dataset: the log.
        config: which episodes were held out.
        seed: of the draws.
    """
    fitted = config.model
    _, held = split(dataset, fitted.holdout, fitted.holdout_by, config.seed)
    whole = held_episodes(dataset, held)[:_HELD]
    errors, squares, still = [], [], []
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
    if not errors:
        return Skill(state_error=0.0, return_error=0.0, return_error_se=0.0)
    error, stood = (torch.cat(part).mean(0).sqrt() for part in (squares, still))
    moves = stood > 1e-6 * torch.from_numpy(dataset.units()[1])
    ratio = (error / stood)[moves]
    return Skill(
        state_error=float(ratio.median()) if moves.any() else 0.0,
        return_error=float(np.mean(errors)),
        return_error_se=float(np.std(errors) / np.sqrt(len(errors))),
    )
