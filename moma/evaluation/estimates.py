"""What is believed of a run's policies without a simulator: two estimates each, and a judgement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from moma import fitting
from moma.evaluation import policies
from moma.evaluation.fitted_q import FittedQ, FittedQSettings, fitted_q
from moma.evaluation.imagined import Imagined, imagine
from moma.evaluation.judgement import Judgement, LogReturns, Skill, Worth, judge, worth
from moma.evaluation.skill import skill
from moma_core import pessimism, seeds
from moma_core.config import Config
from moma_core.datasets import Dataset, facts
from moma_core.datasets.holdout import split
from moma_core.datasets.view import works_on
from moma_core.runtime import subject
from moma_core.runtime.run import RunDirectory

_EPISODES = 256
"""Episodes that a policy plays in the model."""


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
    train, held = split(data, config.model.holdout, config.model.holdout_by, config.seed)
    log, tried = returns_of(data), skill(model, data, train, held, seed)
    values, found = FittedQSettings(updates=config.eval.value_updates), {}
    for name in policies.names(run):
        actors = policies.load(run, name, data.spec, config.actor)
        imagined = imagine(model, data, actors, truncation, _EPISODES, seed)
        fitted = fitted_q(data, actors, values, seed)
        judgement = judge(log, tried, imagined, fitted)
        found[name] = Estimate(
            worth=worth(log, tried, imagined, fitted),
            by_model=imagined,
            by_log=fitted,
            judgement=judgement,
        )
    return Belief(log=log, skill=tried, policies=found, recommended=recommend(found))


def recommend(found: Mapping[str, Estimate]) -> str:
    """Returns the supported policy that is taken to be worth most, by both estimates together.

    Not by the lower of the two: the team was made to be worth much in the model, so the model
    flatters it alone, and the log's estimate, which flatters none, must have its say.
    Where none is supported it is the imitation of the whole log, which departs least from it.
    """
    supported = {n: e for n, e in found.items() if e.judgement.word == "supported"}
    if not supported:
        return policies.FLOOR if policies.FLOOR in found else next(iter(found))
    return max(supported, key=lambda name: supported[name].worth.return_mean)


def returns_of(dataset: Dataset) -> LogReturns:
    """Returns what the log's own episodes earned."""
    earned = dataset.returns()
    return LogReturns(
        episodes=len(earned),
        return_mean=float(earned.mean()),
        best_tenth=facts.best_tenth(earned),
    )
