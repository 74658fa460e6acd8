"""A whole run, phase by phase: data, world model, training, evaluation, result."""

from __future__ import annotations

import sys

from moma import fitting, local
from moma.engines import launch, training, view
from moma.engines.board import Board
from moma.engines.deployment import Deployment
from moma.engines.supervision import RoleError
from moma.evaluation import estimates, evaluate, film, policies
from moma.reports import result as report
from moma.reports.result import Outcome
from moma_core.config import Config
from moma_core.documents import printable
from moma_core.runtime import process, subject
from moma_core.runtime.listening import LOOPBACK, Listening
from moma_core.runtime.run import RunDirectory
from moma_core.stopping import NOT_SUPPORTED, STOPPED, Stop, StoppedError


def train(
    run: RunDirectory,
    config: Config,
    stopping: Stop,
    listening: Listening = LOOPBACK,
    deployment: Deployment | None = None,
) -> int:
    """Begins a run or goes on with it, to its result; returns the exit status.

    Args:
        run: the run's directory.
        config: what to do; it replaces the run's own once it fits what there is.
        stopping: true once the process shall stop.
        listening: where the learner listens, and with which keys of the run.
        deployment: where the roles run; None: all in this process, without gRPC.
    """
    with run.hold("train"):
        process.goes_on_with(f"moma train --resume {run.path}")
        board = Board(run, view.choose())
        try:
            return _phases(run, config, board, stopping, listening, deployment)
        except RoleError as error:
            sys.stderr.write(f"error: {printable(str(error))}\n")
            return 1
        finally:
            board.close()


def _phases(
    run: RunDirectory,
    config: Config,
    board: Board,
    stopping: Stop,
    listening: Listening,
    deployment: Deployment | None,
) -> int:
    """Goes through the phases; stopping ends them with the command that goes on."""
    outcome, done, peak = None, False, 0
    try:
        fitting.model(run, config, board, stopping)
        fitting.clones(run, config, board, stopping)
        if not stopping():
            board.enter("train")
            if deployment is None:
                done, peak = local.train(run, config, board, stopping)
            else:
                with launch.engine(run, config, deployment) as (engine, host):
                    where = launch.reachable(run, listening, host)
                    done, peak = training.train(
                        run, config, board, stopping, engine, where, deployment
                    )
        if done:
            outcome = _outcome(run, config, board, stopping)
    except StoppedError:
        pass
    if outcome is None:
        rounds = "no round" if board.progress is None else f"round {board.progress.round}"
        sys.stderr.write(
            f"stopped in phase {board.phase} after {rounds}; "
            f"go on with: moma train --resume {run.path}\n"
        )
        return STOPPED
    board.enter("report")
    report.chart(run, config, outcome)
    mode = "in-process" if deployment is None else "distributed"
    report.write(run, config, board, outcome, mode, peak)
    board.close()
    sys.stdout.write(report.line(run, outcome) + "\n")
    return 0 if outcome.supported else NOT_SUPPORTED


def _outcome(run: RunDirectory, config: Config, board: Board, stopping: Stop) -> Outcome:
    """Estimates the run's policies, and plays them where there is an environment.

    Args:
        run: the run, trained.
        config: its config.
        board: told how far it is.
        stopping: true once the process shall stop.

    Raises:
        StoppedError: the process was told to stop meanwhile.
    """
    belief = None
    if config.imagines and config.rollout.starts == "data":
        board.enter("estimate")
        belief = estimates.estimate(run, config)
    board.enter("evaluate")
    episodes, measured = config.eval.final_episodes, dict[str, evaluate.Score]()
    for name in policies.names(run):
        if stopping():
            raise StoppedError("stopped before the policies were played")
        score = evaluate.evaluate(run, config, episodes, policy=name)
        measured |= {} if score is None else {name: score}
    if config.eval.film and film.drawable(run, config):
        board.enter("film")
        if why := film.attempt(run, config, stopping):
            board.note(f"no video of the team was made: {why}")
    task = subject.task(config, run)
    return Outcome(task=task, measured=measured, belief=belief)
