"""Episodes of kept policies in the task's simulator, as a dataset, piece by piece."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import mujoco
import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from learner.starts import TrueStarts
from model_server.simulator import Simulator
from moma_core import pessimism, seeds
from moma_core.config import ActorConfig, PessimismConfig, RolloutConfig
from moma_core.datasets import Dataset, EpisodeWriter
from moma_core.nets.policy import Actors
from moma_core.tasks import Task
from moma_core.tasks.system import Split, control
from moma_core.types import Trajectory
from rollout_workers.rollout import Identity, rollout

PIECE = 50_000
"""Transitions of a piece: what an interruption can lose."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One policy to make data with, and how much."""

    run: str
    version: int
    """Version of the policy; 0: before any training."""
    transitions: int
    parameters: Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Cast:
    """Who plays, and whose dataset it is."""

    expert: Task
    """Task as the policies were trained: their observations, their split of the actuators."""
    actor: ActorConfig
    task: Task
    """Task whose dataset is made: the same system, its own split."""


def pieces(sources: Sequence[Source]) -> list[Source]:
    """Returns the sources divided into pieces, in order."""
    return [
        replace(source, transitions=min(PIECE, source.transitions - begin))
        for source in sources
        for begin in range(0, source.transitions, PIECE)
    ]


def collect(
    cast: Cast,
    sources: Sequence[Source],
    path: Path,
    seed: int,
    origin: Mapping[str, object],
    progress: Callable[[int, int], None],
    threads: int,
) -> Dataset:
    """Makes a dataset of the sources' episodes; what was made before an interruption is kept.

    Args:
        cast: who plays what.
        sources: the policies, in the order in which their episodes will lie.
        path: the dataset's directory; pieces lie beside it until it is whole.
        seed: of every draw.
        origin: what else to note of where the data comes from.
        progress: told the transitions made and asked for; what it raises interrupts.
        threads: threads of the simulator.
    """
    aside = path.with_name(f"{path.name}.pieces")
    # The dataset's own system: training may have rewarded a convention besides.
    parts, total, done = pieces(sources), sum(s.transitions for s in sources), 0
    simulator = Simulator(replace(cast.expert, system=cast.task.system), threads)
    datasets = []
    for number, part in enumerate(parts):
        what = (cast.task.spec.name, part.run, part.version, part.transitions)
        drawn = seeds.derive(seed, "piece", number, *what)
        where = aside / f"{number:05d}-{drawn:016x}"  # one of another command stays aside
        if not where.is_dir():
            _make(cast, simulator, part, drawn, where)
        datasets.append(Dataset.load(where))
        done += part.transitions
        progress(done, total)
    origin = {**origin, "mujoco": mujoco.__version__}
    made = _joined(cast.task, parts, datasets, path, origin)
    shutil.rmtree(aside)
    return made


def _make(cast: Cast, simulator: Simulator, part: Source, seed: int, where: Path) -> None:
    """Plays whole episodes until there are enough transitions; the last one is truncated there."""
    rows = math.ceil(part.transitions / cast.expert.spec.episode_limit)
    left, turn = part.transitions, 0
    with EpisodeWriter(cast.task.spec, where, {}) as writer:
        while left > 0:
            segment = play(cast, simulator, part, rows, seeds.derive(seed, "turn", turn))
            left, turn = _write(writer, cast, segment, left), turn + 1


def play(cast: Cast, simulator: Simulator, source: Source, rows: int, seed: int) -> Trajectory:
    """Returns whole episodes from the task's starts; the policy acts with its noise, as it trained.

    Args:
        cast: who plays.
        simulator: of the expert's task.
        source: the policy.
        rows: episodes, B, played side by side.
        seed: of every draw.
    """
    spec, limit = cast.expert.spec, cast.expert.spec.episode_limit
    actors = Actors(spec, cast.actor, seed)
    if source.parameters:
        actors.load(source.parameters)
    who = Identity(
        policy_version=source.version,
        epoch=0,
        worker="player",
        incarnation=0,
        first=0,
    )
    starts = TrueStarts(cast.expert.copies(1), spec, cast.actor.history)
    begun = starts.draw(seeds.rows(seeds.derive(seed, "play"), rows))
    # A simulator is always sure: there is nothing to take off and nothing to stop for.
    penalty = partial(pessimism.penalty, config=PessimismConfig(disagreement=0.0))
    truncation = partial(pessimism.truncate, limit=0.0, edge="clamp")
    settings = RolloutConfig(rows=rows, horizon=limit)
    return rollout(actors, simulator, begun, settings, penalty, truncation, who)


def _write(writer: EpisodeWriter, cast: Cast, segment: Trajectory, left: int) -> int:
    """Adds a segment's episodes, row by row; returns the transitions that are still missing."""
    executed = regroup(
        cast.expert.spec.clamp(segment.action).flatten(0, 1), cast.expert.split, cast.task
    ).unflatten(0, segment.action.shape[:2])
    lengths = segment.valid.sum(0).tolist()
    for row, length in enumerate(lengths):
        steps = min(length, left)
        if steps == 0:
            return 0
        writer.add(
            segment.state[: steps + 1, row].numpy(),
            executed[:steps, row].numpy(),
            segment.reward[:steps, row].numpy(),
            terminated=bool(segment.terminated[steps - 1, row]),
        )
        left -= steps
    return left


def regroup(action: Float32[Tensor, "N A U"], split: Split, task: Task) -> Float32[Tensor, "N B V"]:
    """Returns joint actions of one split of the actuators as another task's agents would act.

    Args:
        action: joint actions, `[N A U]`.
        split: per agent, the actuators that its action drives.
        task: whose agents would act, B of them with actions V wide.
    """
    flat = torch.from_numpy(control(action, split).astype(np.float32))
    regrouped = torch.zeros(len(flat), len(task.split), task.spec.action_width)
    for agent, own in enumerate(task.split):
        regrouped[:, agent, : len(own)] = flat[:, list(own)]
    return regrouped


def _joined(
    task: Task,
    parts: Sequence[Source],
    datasets: Sequence[Dataset],
    path: Path,
    origin: Mapping[str, object],
) -> Dataset:
    """Writes the pieces end to end and notes which policy made which episodes."""
    policies, first = [], 0
    for part, dataset in zip(parts, datasets, strict=True):
        made = {"run": part.run, "version": part.version, "first_episode": first}
        policies.append(made | {"episodes": dataset.episodes})
        first += dataset.episodes
    with EpisodeWriter(task.spec, path, {**origin, "policies": policies}) as writer:
        for dataset in datasets:
            for episode in range(dataset.episodes):
                writer.add(*dataset.episode(episode), terminated=dataset.ended(episode))
    return Dataset.load(path)
