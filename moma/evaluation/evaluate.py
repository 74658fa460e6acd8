"""A policy of a run, played in the task's environment."""

from __future__ import annotations

from dataclasses import dataclass

from moma.evaluation import intervals, policies
from moma_core import seeds
from moma_core.config import Config
from moma_core.nets.policy import Actors
from moma_core.runtime import subject
from moma_core.runtime.run import RunDirectory
from moma_core.tasks import Task, play


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a policy earned in an environment."""

    policy: str
    score: float | None
    """Score on the task's scale; None where it has none."""
    return_mean: float
    return_ci95: tuple[float, float]
    """Percentile bootstrap over episodes."""
    episodes: int


def evaluate(
    run: RunDirectory,
    config: Config,
    episodes: int,
    seed: int | None = None,
    *,
    policy: str = policies.TEAM,
    sampled: bool = False,
) -> Score | None:
    """Plays a policy of a run; returns None where there is no environment to play in.

    Args:
        run: the run.
        config: its config.
        episodes: to play.
        seed: of the start states; None: the run's own.
        policy: which one, by its name in the run.
        sampled: draw actions from the policies; otherwise the most likely ones are taken.

    Raises:
        ValueError: the run has no such policy.
    """
    task = subject.task(config, run)
    if task.environment is None:
        return None
    actors = policies.load(run, policy, task.spec, config.actor)
    chosen = config.seed if seed is None else seed
    return played(actors, task, episodes, chosen, policy=policy, sampled=sampled)


def played(
    actors: Actors,
    task: Task,
    episodes: int,
    seed: int,
    *,
    policy: str = policies.TEAM,
    sampled: bool = False,
) -> Score:
    """Plays actors in their task's environment.

    Args:
        actors: the policies.
        task: the task, with an environment.
        episodes: to play.
        seed: of the start states.
        policy: its name in the run.
        sampled: draw actions from the policies; otherwise the most likely ones are taken.

    Raises:
        ValueError: the task has no environment.
    """
    start = seeds.derive(seed, "evaluation")
    returns = play.evaluate(actors, task.spec, task.copies(episodes), start, sampled=sampled)
    mean = float(returns.mean())
    return Score(
        policy=policy,
        score=task.score(mean),
        return_mean=mean,
        return_ci95=intervals.bootstrapped(returns.numpy(), start),
        episodes=episodes,
    )
