"""From a config, a dataset and a model's card to a learner that is ready."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from learner import checkpoint
from learner.checkpoint import Counters
from learner.loop import Loop, Peers
from learner.ppo import PPO
from learner.service import LearnerService
from moma import evaluation, seeds, tasks
from moma.config import Config
from moma.data import Dataset, StartSampler
from moma.metrics import MetricsWriter
from moma.run import RunDirectory
from moma.types import Metrics, RunCard


def view(dataset: Dataset, config: Config) -> Dataset:
    """Returns the data with the state that the model works on."""
    return dataset.side_by_side() if config.model.works_on == "observations" else dataset


def learner(
    run: RunDirectory, config: Config, dataset: Dataset, model_address: str, peers: Peers
) -> tuple[Loop, LearnerService, MetricsWriter]:
    """Builds the learner, from the run's newest checkpoint where there is one."""
    data = view(dataset, config)
    mean, std = map(torch.from_numpy, data.state_moments())
    ppo = PPO(data.spec, config, mean, torch.where(std > 1e-6, std, torch.ones_like(std)))
    found = checkpoint.load(run.checkpoints, ppo)
    counters = (
        Counters(version=0, transitions=0, resumes=0, seconds=0.0)
        if found is None
        else replace(found, resumes=found.resumes + 1)
    )
    card = RunCard(
        run=run.name,
        task=data.spec,
        model_address=model_address,
        rollout=config.rollout,
        pessimism=config.pessimism,
        actor=config.actor,
    )
    starts = StartSampler(data, config.actor.history, config.rollout.episode_starts)
    service = LearnerService(card, starts, config.seed, counters.resumes)
    purge = None if found is None else counters.transitions + 1
    writer = MetricsWriter(run.events, purge_step=purge)
    if config.eval.every:
        peers = replace(peers, look=_look(ppo, config))
    loop = Loop(ppo, service, config, run.checkpoints, writer, counters, peers)
    return loop, service, writer


def _look(ppo: PPO, config: Config) -> Callable[[], Metrics]:
    """Returns what plays the actors in the true system; always the same start states."""
    task = tasks.get(config.task)
    environment = task.environment(config.eval.episodes)
    seed = seeds.derive(config.seed, "look")

    def look() -> Metrics:
        mean = float(evaluation.evaluate(ppo.actors, task.spec, environment, seed).mean())
        return {"eval/return": mean, "eval/score": task.score(mean)}

    return look
