"""The final checkpoint in the task's environment, or else in the model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from learner import checkpoint
from moma import fitting
from moma.evaluation.imagined import DynamicsEnvironment
from moma_core import seeds
from moma_core.config import ActorConfig, Config
from moma_core.datasets import StartSampler
from moma_core.datasets.view import works_on
from moma_core.nets.policy import Actors
from moma_core.runtime import subject
from moma_core.runtime.run import RunDirectory
from moma_core.tasks import play
from moma_core.types import TaskSpec
from rollout_workers import pessimism

_RESAMPLES = 10_000


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What the model says that a policy is worth. Nobody measured it."""

    return_mean: float
    return_ci95: tuple[float, float]
    """Percentile bootstrap over imagined episodes; the model's own error is not in it."""
    cut_share: float
    """Share of episodes that were truncated because the model's disagreement was too large."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a policy is worth in the environment, or in the model where that is all there is."""

    task: str
    score: float | None
    """Score on the task's scale; None where it has none, or where nothing was measured."""
    return_mean: float | None
    """Mean return measured in the environment; None where there is none."""
    return_ci95: tuple[float, float] | None
    """Percentile bootstrap over episodes."""
    estimate: Estimate | None
    """Estimate by the model, where there is no environment."""
    episodes: int
    checkpoint: str
    note: str


def evaluate(
    run: RunDirectory,
    config: Config,
    episodes: int,
    seed: int | None = None,
    *,
    sampled: bool = False,
) -> Score:
    """Plays the newest whole checkpoint, in the run's model where its task has no environment.

    Args:
        run: the run.
        config: its config.
        episodes: to play.
        seed: of the start states; None: the run's own.
        sampled: draw actions from the policies; otherwise the most likely ones are taken.

    Raises:
        ValueError: the run has no checkpoint.
    """
    newest = checkpoint.newest(run.checkpoints)
    if newest is None:
        raise ValueError(f"{run.path} has no checkpoint yet")
    task = subject.task(config, run.data)
    found = Score(
        task=task.spec.name,
        score=None,
        return_mean=None,
        return_ci95=None,
        estimate=None,
        episodes=episodes,
        checkpoint=newest.name,
        note=task.note,
    )
    start = seeds.derive(config.seed if seed is None else seed, "evaluation")
    if task.environment is not None:
        actors = _actors(task.spec, config.actor, newest)
        returns = play.evaluate(
            actors, task.spec, task.copies(episodes), start, sampled=sampled
        ).numpy()
        mean, interval = float(returns.mean()), _interval(returns, start)
        return replace(found, score=task.score(mean), return_mean=mean, return_ci95=interval)
    if not config.imagines:
        return replace(found, episodes=0)
    spec, environment = _imagined(run, config, episodes)
    actors = _actors(spec, config.actor, newest)
    returns = play.evaluate(actors, spec, environment, start, sampled=sampled).numpy()
    estimate = Estimate(
        return_mean=float(returns.mean()),
        return_ci95=_interval(returns, start),
        cut_share=float(environment.truncated.float().mean()),
    )
    return replace(found, estimate=estimate)


def _actors(spec: TaskSpec, config: ActorConfig, checkpointed: Path) -> Actors:
    actors = Actors(spec, config)
    actors.load(checkpoint.actors(checkpointed))
    return actors


def _imagined(
    run: RunDirectory, config: Config, episodes: int
) -> tuple[TaskSpec, DynamicsEnvironment]:
    """Returns the run's model as an environment, and the team as the model sees it."""
    dataset = subject.dataset(config, run.data)
    if dataset is None:
        raise ValueError(f"{run.path} has neither data nor an environment to evaluate in")
    data, model = works_on(dataset, config.works_on), fitting.dynamics(run, config)
    truncation = pessimism.truncation(config.pessimism, model.describe())
    starts = StartSampler(data, history=0, episode_starts=1.0)
    return data.spec, DynamicsEnvironment(model, starts, episodes, truncation)


def _interval(returns: NDArray[np.float32], seed: int) -> tuple[float, float]:
    """Returns the central 95 % of bootstrapped means."""
    random = np.random.default_rng(seed)
    means = random.choice(returns, (_RESAMPLES, len(returns))).mean(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def describe(found: Score) -> str:
    """Returns the figures as words: measured, or the model's own estimate and no measurement."""
    if found.estimate is not None:
        low, high = found.estimate.return_ci95
        return (
            "no environment, so no measured return; the model's own estimate of the return is "
            f"{found.estimate.return_mean:.2f} (95 % interval {low:.2f} to {high:.2f}, "
            f"{found.episodes} imagined episodes, {100 * found.estimate.cut_share:.0f} % of them "
            "cut where the model was not sure)"
        )
    if found.return_mean is None or found.return_ci95 is None:
        return (
            "no environment and no model, so nothing is known of the return; "
            "give an environment (--env), or an algorithm with a model"
        )
    low, high = found.return_ci95
    score = "" if found.score is None else f"score {found.score:.3f}, "
    return (
        f"{score}return {found.return_mean:.2f} (95 % interval {low:.2f} to {high:.2f}, "
        f"{found.episodes} episodes)"
    )
