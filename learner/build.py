"""From a whole config to a learner that is ready: the only place here that reads all of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from learner import checkpoint
from learner import clones as cloned
from learner.algorithms.base import Algorithm
from learner.algorithms.bc import BehaviourCloning
from learner.algorithms.cql import ContinuousCQL, DiscreteCQL
from learner.algorithms.group import ALONE, Group
from learner.algorithms.iql import IQL
from learner.algorithms.moma_ppo.critic import Critic
from learner.algorithms.moma_ppo.ppo import MomaPPO, Support
from learner.algorithms.offline import Given
from learner.algorithms.omar import OMAR
from learner.algorithms.td3_bc import TD3BC
from learner.checkpoint import Counters
from learner.loop import Loop, Peers, Rounds, Schedule
from learner.service import LearnerService
from learner.starts import CarriedStarts, Draw, Starts, TrueStarts, drawing
from moma_core import documents, seeds, tasks
from moma_core.address import Address
from moma_core.checks import check_log
from moma_core.config import Config
from moma_core.datasets import Dataset, StartSampler
from moma_core.datasets.floor import floor
from moma_core.datasets.view import works_on
from moma_core.nets.kernels import hidden
from moma_core.nets.policy import Actors
from moma_core.runtime import subject
from moma_core.runtime.metrics import MetricsWriter
from moma_core.runtime.run import RunDirectory
from moma_core.storage import MANIFEST, digest
from moma_core.tasks import Task, play
from moma_core.types import Metrics, ModelCard, RunCard, Served, TaskSpec


def algorithm(
    config: Config, dataset: Dataset | None, clones: Path, group: Group = ALONE
) -> Algorithm:
    """Builds what learns, as `config.algorithm` names it.

    Args:
        config: the run's.
        dataset: the log; None where there is none.
        clones: the run's clones of it, which policies begin as where the config says so.
        group: learners that share its updates.

    Raises:
        ValueError: the algorithm needs a log, and there is none; or policies are to stay near
            clones in units that change from round to round.
    """
    team, device = subject.team(config, dataset), torch.device(config.device)
    actors = Actors(team, config.actor, config.seed)
    actors.hidden = hidden(config.precision)
    if not config.imagines:
        if dataset is None:
            raise ValueError(
                f"--algorithm {config.algorithm} learns from a log alone, and this run has none"
            )
        return _from_the_log(config, dataset, actors, device, group)
    support = Support()
    if dataset is not None:
        support = _support(config, dataset, clones, actors)
    mean, std = _units(dataset, config, team)
    limit = team.episode_limit if config.ppo.limit == "ends" else None
    critic = Critic(mean, std, config.ppo, config.seed, limit)
    critic.hidden = actors.hidden
    return MomaPPO(actors, critic, config.ppo, config.seed, device, support, group)


def _from_the_log(
    config: Config, dataset: Dataset, actors: Actors, device: torch.device, group: Group
) -> Algorithm:
    """Builds an algorithm that needs no model.

    Args:
        config: the run's.
        dataset: the log.
        actors: the policies.
        device: where updates are computed.
        group: learners that share its updates.

    Raises:
        ValueError: it has no form for the team's actions.
    """
    name, spec = config.algorithm, dataset.spec
    if name == "bc":
        return BehaviourCloning(actors, dataset, config.bc, config.seed, device, group=group)
    given = Given(
        actors=actors,
        dataset=dataset,
        config=config.offline,
        seed=config.seed,
        device=device,
        group=group,
    )
    if name in ("iql", "ma_iql"):
        return IQL(given, config.iql, team=name == "ma_iql")
    if name == "cql" and all(spec.discrete):
        return DiscreteCQL(given, config.cql)
    if any(spec.discrete):
        choosing = [a for a, one in zip(spec.agents, spec.discrete, strict=True) if one]
        raise ValueError(
            f"--algorithm {name} learns continuous actions, and of this team {', '.join(choosing)} "
            "choose; any team may choose with bc, iql, ma_iql and moma_ppo, a whole one with cql"
        )
    if name == "cql":
        return ContinuousCQL(given, config.td3, config.cql)
    if name == "omar":
        return OMAR(given, config.td3, config.cql, config.omar)
    return TD3BC(given, config.td3, config.td3_bc, team=name == "matd3_bc")


def _support(config: Config, dataset: Dataset, clones: Path, actors: Actors) -> Support:
    """Makes actors clones of the log's where the config says so; returns what keeps them near it.

    Args:
        config: the run's.
        dataset: the log.
        clones: the run's clones of it.
        actors: the policies.

    Raises:
        ValueError: policies are to stay near clones in units that change from round to round.
    """
    ppo, clone = config.ppo, None
    if ppo.near and ppo.standardise == "running":
        raise ValueError("ppo.near needs ppo.standardise data: clones see the log's units")
    if ppo.near or ppo.begin == "clone":
        parameters = cloned.parameters(clones)  # verified by reading the whole file: once
        if ppo.near:
            clone = Actors(actors.spec, config.actor)
            clone.load(parameters)
            clone.to(torch.device(config.device))
        if ppo.begin == "clone":
            actors.load(parameters)
    least = floor(dataset, ppo.discount) if ppo.unsure == "floor" else None
    return Support(floor=least, clone=clone)


@dataclass(frozen=True, kw_only=True)
class Beginnings:
    """Where a round's rollouts begin."""

    draw: Draw
    carried: CarriedStarts | None
    """Rollouts that go on from round to round; None where none do."""


def beginnings(config: Config, dataset: Dataset | None) -> Beginnings:
    """Returns what draws beginnings of rollouts: from the data, or from the simulator's resets."""
    team, frames = subject.team(config, dataset), config.actor.history
    fresh: Starts = (
        TrueStarts(tasks.get(config.task).copies(1), team, frames)
        if dataset is None
        else StartSampler(works_on(dataset, config.works_on), frames, config.rollout.episode_starts)
    )
    if not config.rollout.carry:
        return Beginnings(draw=drawing(fresh, config.seed), carried=None)
    carried = CarriedStarts(fresh, team, config.rollout, frames, config.seed)
    return Beginnings(draw=carried.draw, carried=carried)


def restore(
    learned: Algorithm, carried: CarriedStarts | None, checkpoints: Path, data_sha256: str = ""
) -> Counters:
    """Takes back the newest whole checkpoint, where there is one.

    Args:
        learned: what learns.
        carried: rollouts that go on from round to round; None where none do.
        checkpoints: of the run.
        data_sha256: digest of the run's log; empty: it has none.

    Raises:
        StorageError: there are checkpoints, but none is whole.
        ValueError: the newest is one of other networks, or of another log.
    """
    expected = learned.state() | ({} if carried is None else carried.kept())
    found = checkpoint.load(checkpoints, expected)
    if found is None:
        return Counters(version=0, transitions=0, resumes=0, seconds=0.0, data_sha256=data_sha256)
    counters, state = found
    place = checkpoints / f"{counters.version:08d}"
    check_log(f"the checkpoint {place}", counters.data_sha256, data_sha256)
    learned.load(state, counters.version)
    if carried is not None:
        carried.load(state)
    return replace(counters, resumes=counters.resumes + 1, data_sha256=data_sha256)


def service(
    run: RunDirectory,
    config: Config,
    card: ModelCard,
    model_servers: Sequence[Address],
    model: Path | None,
    begin: Beginnings,
    counters: Counters,
) -> LearnerService:
    """Builds what workers ask.

    Args:
        run: its name is told to workers.
        config: rollouts, pessimism and actors, which workers are told.
        card: the model's, by which what workers send is checked.
        model_servers: where the servers of the run's model are called.
        model: directory of the model that they serve; None: it is not to be had here.
        begin: where rollouts begin.
        counters: their resumes tell segments of the time before a resume.
    """
    served = None
    if model is not None:
        named = digest(model / MANIFEST)
        served = Served(
            digest=named, precision=config.precision, deterministic=config.deterministic
        )
    told = RunCard(
        run=run.name,
        task=card.task,
        model_servers=tuple(model_servers),
        model=served,
        rollout=config.rollout,
        together=config.together,
        pessimism=config.pessimism,
        actor=config.actor,
        data_sha256=subject.kept(run).data_sha256,
    )
    return LearnerService(told, begin.draw, counters.resumes, card)


def loop(
    run: RunDirectory,
    config: Config,
    learned: Algorithm,
    rounds: Rounds,
    counters: Counters,
    peers: Peers,
) -> tuple[Loop, MetricsWriter]:
    """Builds the loop around an algorithm.

    Args:
        run: where checkpoints and numbers go.
        config: when to save and to evaluate, and the environment to evaluate in.
        learned: what learns.
        rounds: where segments come from.
        counters: what goes on counting over a resume.
        peers: what is asked of others; the evaluation is added here.
    """
    purge = counters.transitions + 1 if counters.resumes else None
    writer = MetricsWriter(run.events, purge_step=purge)
    writer.introduce(documents.dump(config))
    task = subject.task(config, run)
    if config.eval.every and task.environment is not None:
        peers = replace(peers, evaluation=_evaluation(learned, config, task))
    schedule = Schedule(
        checkpoint=config.checkpoint_every,
        evaluation=config.eval.every,
        keep=config.keep_every,
    )
    return Loop(learned, rounds, schedule, run, writer, counters, peers), writer


def _units(dataset: Dataset | None, config: Config, team: TaskSpec) -> tuple[Tensor, Tensor]:
    """Returns mean and standard deviation to begin with."""
    if dataset is None:
        return torch.zeros(team.state_width), torch.ones(team.state_width)
    mean, std = map(torch.from_numpy, works_on(dataset, config.works_on).units())
    return mean, std


def _evaluation(learned: Algorithm, config: Config, task: Task) -> Callable[[], Metrics]:
    """Returns what plays the actors in the environment; always the same start states."""
    environment = task.copies(config.eval.episodes)
    seed = seeds.derive(config.seed, "look")
    actors = Actors(task.spec, config.actor)

    def evaluation() -> Metrics:
        actors.load(learned.snapshot().parameters)
        mean = float(play.evaluate(actors, task.spec, environment, seed).mean())
        score = task.score(mean)
        return {"eval/return": mean} | ({} if score is None else {"eval/score": score})

    return evaluation
