"""Trains with one model server, N workers and the learner as processes that speak gRPC."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from launch.board import Board
from launch.supervisor import Supervisor
from moma import documents
from moma.config import Config
from moma.run import RunDirectory
from moma.types import Progress

_LOOK_S = 0.2
_GRACE_S = 14.0
"""For the learner's last checkpoint; with what follows it stays under 20 s."""


def train(
    run: RunDirectory, config: Config, board: Board, stopping: Callable[[], bool]
) -> tuple[bool, int]:
    """Starts all roles and keeps them alive until the learner is done.

    Returns:
        Whether the last round was reached, and the peak memory of all processes in bytes.
    """
    supervisor = Supervisor(run.logs, run.path / "addresses", board.fault)
    try:
        _start(supervisor, run, config)
        while not supervisor.done("learner") and not stopping():
            supervisor.watch()
            _show(supervisor, run, board)
            time.sleep(_LOOK_S)
        return supervisor.done("learner"), supervisor.peak_rss
    finally:
        _show(supervisor, run, board)
        supervisor.stop(["learner"], _GRACE_S)
        board.processes = supervisor.table()


def _start(supervisor: Supervisor, run: RunDirectory, config: Config) -> None:
    def serve(_: int, listen: str, announce: Path) -> list[str]:
        flags = ["--deterministic"] if config.deterministic else []
        model = ["--model", str(run.model), "--precision", config.precision]
        model += ["--device", config.device]
        if config.dynamics == "simulator":
            model = ["--simulator", config.task]
        threads = ["--threads", str(_model_threads(config))]
        return [*_role("model_server"), *model, *threads, *_at(listen, announce), *flags]

    address = supervisor.start("model-server", serve, announces=True)

    def learn(_: int, listen: str, announce: Path) -> list[str]:
        where = ["--resume", str(run.path), "--model-server", address]
        return [*_role("learner"), *where, *_at(listen, announce)]

    learner = supervisor.start("learner", learn, announces=True)
    for index in range(config.workers):
        name = f"worker-{index}"

        def work(incarnation: int, _: str, __: Path, name: str = name) -> list[str]:
            identity = ["--name", name, "--incarnation", str(incarnation)]
            return [*_role("rollout_workers"), "--learner", learner, *identity]

        supervisor.start(name, work)


def _model_threads(config: Config) -> int:
    """Returns the model server's threads: the cores that the workers leave, one at least.

    Workers compute while the server does, so a server with every core only waits for its own
    threads to be scheduled: 15.1 against 15.8 thousand transitions/s on two cores. The learner
    takes every core, since all others wait while it updates.
    """
    return config.threads or max(1, (os.cpu_count() or 1) - config.workers)


def _role(package: str) -> list[str]:
    return [sys.executable, "-m", package]


def _at(listen: str, announce: Path) -> list[str]:
    return ["--listen", listen, "--announce", str(announce)]


def _show(supervisor: Supervisor, run: RunDirectory, board: Board) -> None:
    board.processes = supervisor.table()
    if run.progress.exists():
        text = run.progress.read_text(encoding="utf-8")
        board.update(documents.parse(Progress, text, str(run.progress)))
    else:
        board.tell("the processes start")
