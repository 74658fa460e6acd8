"""The main job: data, model, training, evaluation, result. `moma train`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from moma import fitting, local
from moma.engines import cluster, view
from moma.engines.board import Board
from moma.engines.supervisor import RoleError
from moma.evaluation import evaluate
from moma.reports import result as report
from moma_core.runtime import process
from moma_core.runtime.commandline import RunCommand, parse_run
from moma_core.runtime.run import RunDirectory
from moma_core.stopping import STOPPED, Stop, StoppedError


@dataclass(frozen=True, kw_only=True)
class Train(RunCommand):
    """Trains a team from its log: data, world model, policies, evaluation, result.json."""

    in_process: bool = False
    """Everything in this process, without gRPC: the same algorithm, for reading and debugging."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    return process.main(lambda: _train(parse_run(Train, argv, "moma train")))


def _train(args: Train) -> int:
    run = args.open()
    with run.hold("train"):
        run.write_config(args.config)
        stopping = process.begin()
        board = Board(run, view.choose())
        try:
            return _phases(args, run, board, stopping.is_set)
        except RoleError as error:
            sys.stderr.write(f"error: {error}\n")
            return 1
        finally:
            board.close()


def _phases(args: Train, run: RunDirectory, board: Board, stopping: Stop) -> int:
    """Goes through the phases; stopping ends them with the command that goes on."""
    config = args.config
    done, peak = False, 0
    try:
        fitting.model(run, config, board, stopping)
        if not stopping():
            board.enter("train")
            train = local.train if args.in_process else cluster.train
            done, peak = train(run, config, board, stopping)
    except StoppedError:
        pass
    if not done:
        rounds = "no round" if board.progress is None else f"round {board.progress.round}"
        sys.stderr.write(
            f"stopped in phase {board.phase} after {rounds}; "
            f"go on with: moma train --resume {run.path}\n"
        )
        return STOPPED
    board.enter("evaluate")
    score = evaluate.evaluate(run, config, config.eval.final_episodes)
    board.enter("report")
    mode = "in-process" if args.in_process else "distributed"
    report.write(run, config, board, score, mode, peak)
    board.close()
    sys.stdout.write(report.line(run, score) + "\n")
    return 0
