"""The whole algorithm in one process, without a socket: read it first.

A fixed log of a team's episodes is all there is. A *model* of the team's dynamics is fitted to it.
*Actors*, one per agent, begin as *clones* of the log's agents and act inside that model: *rollouts*
begin in the log's episodes, a *penalty* takes from the reward what the model is not sure of, and a
*truncation* ends a rollout where it is too unsure to go on, or leaves the log. A critic values what
came of it, *advantages* say which joint actions were better than expected, and an *update* goes
down the *losses* that they weigh. Then the actors act again: that is a round.

The distributed run makes the same calls from several processes and ends with the same bits.
"""

from __future__ import annotations

import resource
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from learner import build
from learner.build import Beginnings
from learner.inbox import share
from learner.loop import Here, Make, Peers
from moma import fitting
from moma.engines.board import Board
from moma_core import pessimism
from moma_core.checks import check_model
from moma_core.config import Config
from moma_core.nets.policy import Actors
from moma_core.ports import Dynamics
from moma_core.runtime import process, subject
from moma_core.runtime.run import RunDirectory
from moma_core.stopping import Stop
from moma_core.types import PolicySnapshot, TaskSpec, Trajectory
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
    dataset = subject.dataset(config, run.data)
    # Whoever fitted the model has written it down, and a log's digest takes time.
    about = subject.kept(run) if run.subject.is_file() else subject.keep(run, config, dataset)
    log = about.data_sha256
    # Actors, critic, advantages, losses and the update that goes down them: `learner.algorithms`.
    algorithm = build.algorithm(config, dataset, run.clones)
    peers = Peers(progress=board.update, stopping=stopping)
    rounds = Here()
    if algorithm.imagines:
        team, model = subject.team(config, dataset), fitting.dynamics(run, config)
        card, begin = model.describe(), build.beginnings(config, dataset)
        check_model(card, team, "this process", log)
        rounds = Here(imagination(config, team, model, begin))
        peers = replace(
            peers, model_measured=card.measured, model_metrics=model.metrics, carried=begin.carried
        )
    counters = build.restore(algorithm, peers.carried, run.checkpoints, log)
    loop, writer = build.loop(run, config, algorithm, rounds, counters, peers)
    try:
        loop.run()  # round by round: imagine, update, save, log, evaluate
    finally:
        writer.close()
    return loop.done, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def imagination(config: Config, team: TaskSpec, model: Dynamics, begin: Beginnings) -> Make:
    """Returns what makes a round's segments with a policy, as the workers of a run would.

    Args:
        config: the run's.
        team: as the model sees it.
        model: what the team is imagined in.
        begin: where rollouts begin.
    """
    settings = config.rollout
    actors = Actors(team, config.actor)
    penalty = partial(pessimism.penalty, config=config.pessimism)
    truncation = pessimism.truncation(config.pessimism, model.describe())

    def segment(version: int, rollouts: range) -> Trajectory:
        """Some rollouts of a round: each has its number's seed, and comes out alike anywhere."""
        who = Identity(
            policy_version=version,
            epoch=0,
            worker="local",
            incarnation=0,
            first=rollouts.start,
        )
        groups = begin.draw(rollouts).parts(config.together)
        made = [rollout(actors, model, g, settings, penalty, truncation, who) for g in groups]
        return Trajectory.joined(made)

    def imagine(policy: PolicySnapshot) -> Sequence[Trajectory]:
        actors.load(policy.parameters)
        whole = range(policy.version * settings.rows, (policy.version + 1) * settings.rows)
        pieces = range(0, settings.rows, share(settings, 1, config.together))
        return [segment(policy.version, whole[at : at + pieces.step]) for at in pieces]

    return imagine
