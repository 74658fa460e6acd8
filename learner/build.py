"""From a config, a dataset and a model's card to a learner that is ready."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from learner import checkpoint
from learner.algorithms.moma_ppo.ppo import PPO
from learner.checkpoint import Counters
from learner.loop import Loop, Peers
from learner.service import LearnerService
from learner.starts import CarriedStarts, Starts, TrueStarts, drawing
from moma_core import seeds, tasks
from moma_core.address import Address
from moma_core.config import Config
from moma_core.datasets import Dataset, StartSampler
from moma_core.nets.policy import Actors
from moma_core.runtime.metrics import MetricsWriter
from moma_core.runtime.run import RunDirectory
from moma_core.tasks import Task
from moma_core.tasks import play as evaluation
from moma_core.types import Metrics, RunCard, TaskSpec


def view(dataset: Dataset, config: Config) -> Dataset:
    """Returns the data with the state that the model works on."""
    beside = config.dynamics == "learned" and config.model.works_on == "observations"
    return dataset.side_by_side() if beside else dataset


def spec(dataset: Dataset | None, config: Config) -> TaskSpec:
    """Returns what the team is: by the data, or by the task where there is none."""
    return tasks.get(config.task).spec if dataset is None else view(dataset, config).spec


def learner(
    run: RunDirectory,
    config: Config,
    dataset: Dataset | None,
    model_servers: Sequence[Address],
    peers: Peers,
) -> tuple[Loop, LearnerService, MetricsWriter]:
    """Builds the learner, from the run's newest checkpoint where there is one."""
    team = spec(dataset, config)
    ppo = PPO(team, config, *_units(dataset, config, team))
    fresh = _fresh_starts(dataset, config, team)
    carried = (
        CarriedStarts(fresh, team, config.rollout, config.actor.history)
        if config.rollout.carry
        else None
    )
    found = checkpoint.load(run.checkpoints, ppo, carried)
    counters = (
        Counters(version=0, transitions=0, resumes=0, seconds=0.0)
        if found is None
        else replace(found, resumes=found.resumes + 1)
    )
    card = RunCard(
        run=run.name,
        task=team,
        model_servers=tuple(model_servers),
        rollout=config.rollout,
        pessimism=config.pessimism,
        actor=config.actor,
    )
    draw = drawing(fresh, config.rollout.rows) if carried is None else carried.draw
    service = LearnerService(card, draw, config.seed, counters.resumes)
    purge = None if found is None else counters.transitions + 1
    writer = MetricsWriter(run.events, purge_step=purge)
    peers = replace(peers, carried=carried)
    task = tasks.of(config, run.data)
    if config.eval.every and task.environment is not None:
        peers = replace(peers, look=_look(ppo, config, task))
    loop = Loop(ppo, service, config, run.checkpoints, writer, counters, peers)
    return loop, service, writer


def _units(dataset: Dataset | None, config: Config, team: TaskSpec) -> tuple[Tensor, Tensor]:
    """Returns mean and standard deviation to begin with."""
    if dataset is None:
        return torch.zeros(team.state_width), torch.ones(team.state_width)
    mean, std = map(torch.from_numpy, view(dataset, config).state_moments())
    return mean, torch.where(std > 1e-6, std, torch.ones_like(std))


def _fresh_starts(dataset: Dataset | None, config: Config, team: TaskSpec) -> Starts:
    """Returns what draws beginnings of rollouts, from the data or from the true system."""
    frames = config.actor.history
    if dataset is None:
        return TrueStarts(tasks.get(config.task).copies(1), team, frames)
    return StartSampler(view(dataset, config), frames, config.rollout.episode_starts)


def _look(ppo: PPO, config: Config, task: Task) -> Callable[[], Metrics]:
    """Returns what plays the actors in the true system; always the same start states."""
    environment = task.copies(config.eval.episodes)
    seed = seeds.derive(config.seed, "look")
    actors = Actors(task.spec, config.actor)

    def look() -> Metrics:
        actors.load(ppo.snapshot().parameters)
        mean = float(evaluation.evaluate(actors, task.spec, environment, seed).mean())
        score = task.score(mean)
        return {"eval/return": mean} | ({} if score is None else {"eval/score": score})

    return look
