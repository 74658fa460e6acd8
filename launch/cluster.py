"""Trains with one model server, N workers and the learner as processes that speak gRPC."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from launch.board import Board
from launch.supervisor import Command, Supervisor
from moma import documents
from moma.config import Config
from moma.run import RunDirectory
from moma.types import Progress

_LOOK_S = 0.2
_GRACE_S = 14.0
"""For the learner's last checkpoint; with what follows it stays under 20 s."""


def module(package: str) -> list[str]:
    """Returns the words that begin a role's process."""
    return [sys.executable, "-m", package]


def train(
    run: RunDirectory,
    config: Config,
    board: Board,
    stopping: Callable[[], bool],
    begin: Callable[[str], list[str]] = module,
) -> tuple[bool, int]:
    """Starts all roles and keeps them alive until the learner is done.

    Args:
        run: where data and model lie already.
        config: the run's.
        board: told how far it is.
        stopping: true once the run shall be stopped.
        begin: from a role's package to the words that begin its process.

    Returns:
        Whether the last round was reached, and the peak memory of all processes in bytes.
    """
    supervisor = Supervisor(run.logs, run.path / "addresses", board.fault)
    try:
        _start(supervisor, run, config, begin)
        while not supervisor.done("learner") and not stopping():
            supervisor.watch()
            _show(supervisor, run, board)
            time.sleep(_LOOK_S)
        return supervisor.done("learner"), supervisor.peak_rss
    finally:
        _show(supervisor, run, board)
        supervisor.stop(["learner"], _GRACE_S)
        board.processes = supervisor.table()


def _start(
    supervisor: Supervisor, run: RunDirectory, config: Config, begin: Callable[[str], list[str]]
) -> None:
    server = serving(config, run.model, begin)
    address = supervisor.start("model-server", server, announces=True)

    def learn(_: int, listen: str, announce: Path) -> list[str]:
        where = ["--resume", str(run.path), "--model-server", address]
        return [*begin("learner"), *where, *_at(listen, announce)]

    learner = supervisor.start("learner", learn, announces=True)
    for index in range(config.workers):
        name = f"worker-{index}"

        def work(incarnation: int, _: str, __: Path, name: str = name) -> list[str]:
            identity = ["--name", name, "--incarnation", str(incarnation)]
            return [*begin("rollout_workers"), "--learner", learner, *identity]

        supervisor.start(name, work)


def serving(config: Config, model: Path, begin: Callable[[str], list[str]] = module) -> Command:
    """Returns what starts the model server of a run, for its supervisor."""

    def serve(_: int, listen: str, announce: Path) -> list[str]:
        flags = ["--deterministic"] if config.deterministic else []
        what = ["--model", str(model), "--precision", config.precision]
        what += ["--device", config.device]
        if config.dynamics == "simulator":
            what = ["--simulator", config.task]
        threads = ["--threads", str(model_threads(config))]
        return [*begin("model_server"), *what, *threads, *_at(listen, announce), *flags]

    return serve


def model_threads(config: Config) -> int:
    """Returns how many batches the model server runs at once: one per core.

    Each is computed by one core alone, so nobody waits at a barrier for a thread that a worker has
    pushed aside; workers compute on one core each while their batch waits (docs/performance.md).
    The learner takes every core, since all others wait while it updates.
    """
    return config.threads or os.cpu_count() or 1


def _at(listen: str, announce: Path) -> list[str]:
    return ["--listen", listen, "--announce", str(announce)]


def _show(supervisor: Supervisor, run: RunDirectory, board: Board) -> None:
    board.processes = supervisor.table()
    if run.progress.exists():
        text = run.progress.read_text(encoding="utf-8")
        board.update(documents.parse(Progress, text, str(run.progress)))
    else:
        board.tell("the processes start")
