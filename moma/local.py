"""The whole algorithm in one process, without a socket: read it first.

The distributed run makes the same calls from several processes and ends with the same bits.
"""

from __future__ import annotations

import resource
from collections.abc import Sequence
from dataclasses import replace

from learner import build
from learner.build import Beginnings
from learner.loop import Here, Make, Peers
from learner.starts import segment_seed, starts_seed
from moma import fitting
from moma.engines.board import Board
from moma_core import tasks
from moma_core.checks import check_model
from moma_core.config import Config
from moma_core.nets.policy import Actors
from moma_core.ports import Dynamics
from moma_core.runtime import process
from moma_core.runtime.run import RunDirectory
from moma_core.stopping import Stop
from moma_core.types import PolicySnapshot, RunCard, TaskSpec, Trajectory
from rollout_workers import pessimism
from rollout_workers.rollout import Identity, rollout


def train(run: RunDirectory, config: Config, board: Board, stopping: Stop) -> tuple[bool, int]:
    """Imagines and improves in turn until the last round.

    Args:
        run: where data and model lie already.
        config: the run's.
        board: told how far it is.
        stopping: true once the run shall be stopped.

    Returns:
        Whether the last round was reached, and the peak memory of this process in bytes.
    """
    process.compute_on(config.threads)
    peers = Peers(
        progress=board.update, stopping=stopping, model_measured={}, model_metrics=lambda: {}
    )
    # The dataset: a fixed log of the team's episodes.
    dataset = tasks.dataset(config, run.data)
    # What learns: actors, critic, advantages, losses and their update (learner/algorithms).
    learned = build.algorithm(config, dataset)
    rounds, carried = Here(), None
    if learned.imagines:
        # The model: an ensemble that says what comes next, and how far its members disagree.
        team, model = tasks.team(config, dataset), fitting.dynamics(run, config)
        check_model(model.describe(), team, "this process")
        begin = build.beginnings(config, dataset)
        carried = begin.carried
        rounds = Here(imagination(run, config, team, model, begin))
        card = model.describe()
        peers = replace(
            peers, model_measured=card.measured, model_metrics=model.metrics, carried=carried
        )
    counters = build.restore(learned, carried, run.checkpoints)
    loop, writer = build.loop(run, config, learned, rounds, counters, peers)
    try:
        loop.run()
    finally:
        writer.close()
    return loop.done, peak_memory()


def imagination(
    run: RunDirectory, config: Config, team: TaskSpec, model: Dynamics, begin: Beginnings
) -> Make:
    """Returns what makes a round's segments with a policy, as the workers of a run would.

    Args:
        run: named in the segments.
        config: rollouts, pessimism and actors.
        team: as the model sees it.
        model: what the team is imagined in.
        begin: where rollouts begin.
    """
    # The actors: each agent's network sees its own observations and remembers its own frames.
    actors = Actors(team, config.actor)
    # The truncation: where the members disagree more than this, a rollout stops.
    limit = pessimism.threshold(config.pessimism, model.describe())
    # The penalty is part of the card: what the reward loses per unit of disagreement.
    card = RunCard(
        run=run.name,
        task=team,
        model_servers=(),
        rollout=config.rollout,
        pessimism=config.pessimism,
        actor=config.actor,
    )

    def imagine(policy: PolicySnapshot) -> Sequence[Trajectory]:
        actors.load(policy.parameters)
        segments = []
        for slot in range(config.rollout.segments):
            sequence = policy.version * config.rollout.segments + slot
            seed = segment_seed(config.seed, sequence)
            who = Identity(
                policy_version=policy.version,
                epoch=0,
                worker="local",
                incarnation=0,
                sequence=sequence,
                seed=seed,
            )
            # The rollout: act, ask the model, take the penalty off, go on until truncated.
            starts = begin.draw(slot, starts_seed(seed))
            segments.append(rollout(actors, model, starts, card, limit, who))
        return segments

    return imagine


def peak_memory() -> int:
    """Returns the largest memory that this process held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
