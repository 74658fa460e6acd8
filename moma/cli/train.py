"""The main job: data, model, training, evaluation, result. `moma train`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from moma import fitting, local
from moma.engines import training, view
from moma.engines.board import Board
from moma.engines.local import LocalEngine
from moma.engines.supervision import RoleError
from moma.evaluation import evaluate
from moma.reports import result as report
from moma_core.rpc.channel import StoppedError
from moma_core.runtime import process
from moma_core.runtime.commandline import RunCommand, parse_run
from moma_core.runtime.run import RunDirectory


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


def _phases(args: Train, run: RunDirectory, board: Board, stopping: Callable[[], bool]) -> int:
    """Goes through the phases; stopping ends them with the command that goes on."""
    config = args.config
    done, peak = False, 0
    try:
        fitting.model(run, config, board, stopping)
        if not stopping():
            board.enter("train")
            if args.in_process:
                done, peak = local.train(run, config, board, stopping)
            else:
                engine = LocalEngine(run.logs, run.addresses)
                done, peak = training.train(run, config, board, stopping, engine)
    except StoppedError:
        pass
    if not done:
        rounds = "no round" if board.progress is None else f"round {board.progress.round}"
        sys.stderr.write(
            f"stopped in phase {board.phase} after {rounds}; "
            f"go on with: moma train --resume {run.path}\n"
        )
        return process.STOPPED
    board.enter("evaluate")
    score = evaluate.evaluate(run, config, config.eval.final_episodes)
    board.enter("report")
    mode = "in-process" if args.in_process else "distributed"
    report.write(run, config, board, score, mode, peak)
    board.close()
    sys.stdout.write(report.line(run, score) + "\n")
    return 0
