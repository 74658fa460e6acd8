"""Trains with model servers, N workers and the learner as processes that speak gRPC."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from moma.engines.board import Board
from moma.engines.supervisor import Command, Supervisor
from moma_core import documents
from moma_core.address import Address
from moma_core.config import Config
from moma_core.runtime import process
from moma_core.runtime.run import RunDirectory
from moma_core.types import Progress

_LOOK_S = 0.2
_GRACE_S = 14.0
"""For the learner's last checkpoint; with what follows it stays under 20 s."""
_MOST_SERVERS = 4
"""Unless told otherwise; each takes a few hundred megabytes."""


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
    servers = start_servers(supervisor, config, run.model, begin)

    def learn(_: int, listen: str, announce: Path) -> list[str]:
        where = ["--resume", str(run.path), "--model-server", *map(str, servers)]
        return [*begin("learner"), *where, *_at(listen, announce)]

    supervisor.start("learner", learn)
    learner = supervisor.address("learner")
    for index in range(config.workers):
        name, server = f"worker-{index}", servers[index % len(servers)]

        def work(
            incarnation: int, _: str, __: Path, name: str = name, server: Address = server
        ) -> list[str]:
            identity = ["--name", name, "--incarnation", str(incarnation)]
            where = ["--learner", str(learner), "--model-server", str(server)]
            return [*begin("rollout_workers"), *where, *identity]

        supervisor.start(name, work, home(index, len(servers)))


def start_servers(
    supervisor: Supervisor,
    config: Config,
    model: Path,
    begin: Callable[[str], list[str]] = module,
) -> list[Address]:
    """Starts the model servers of a run; returns their addresses."""
    roles = [f"model-server-{index}" for index in range(model_servers(config))]
    for index, role in enumerate(roles):
        supervisor.start(role, _serving(config, model, begin), home(index, len(roles)))
    return [supervisor.address(role) for role in roles]


def home(index: int, servers: int) -> set[int] | None:
    """Returns the core that a model server, or a worker of it, keeps to; None: they may use all.

    A worker waits while its server computes, so that the two can share a core. Where every core has
    its server, the system would often put two such pairs on one core while another is idle:
    a fifth of the rollouts' time on two cores (docs/performance.md).
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return {cores[index % servers]} if 1 < servers == len(cores) else None


def _serving(config: Config, model: Path, begin: Callable[[str], list[str]]) -> Command:

    def serve(_: int, listen: str, announce: Path) -> list[str]:
        flags = ["--deterministic"] if config.deterministic else []
        what = ["--model", str(model), "--precision", config.precision]
        what += ["--device", config.device]
        if config.dynamics == "simulator":
            what = ["--simulator", config.task]
        threads = ["--threads", str(model_threads(config))]
        return [*begin("model_server"), *what, *threads, *_at(listen, announce), *flags]

    return serve


def model_servers(config: Config) -> int:
    """Returns how many processes serve the model.

    Batches side by side in one process wait for its interpreter between operations: two processes
    answer 1.3 to 1.5 times as many rows on two cores (docs/performance.md). Each holds the model.
    A device, or MuJoCo's own threads, are one process's.
    """
    if config.device != "cpu" or config.dynamics == "simulator":
        return 1
    return config.model_servers or min(config.workers, _cores(config), _MOST_SERVERS)


def model_threads(config: Config) -> int:
    """Returns how many batches a model server runs at once: one per core that is its.

    Each is computed by one core alone, so nobody waits at a barrier for a thread that a worker has
    pushed aside; workers compute on one core each while their batch waits (docs/performance.md).
    The learner takes every core, since all others wait while it updates.
    """
    return max(1, _cores(config) // model_servers(config))


def _cores(config: Config) -> int:
    return config.threads or process.cores()


def _at(listen: str, announce: Path) -> list[str]:
    return ["--listen", listen, "--announce", str(announce)]


def _show(supervisor: Supervisor, run: RunDirectory, board: Board) -> None:
    board.processes = supervisor.table()
    if run.progress.exists():
        text = run.progress.read_text(encoding="utf-8")
        board.update(documents.parse(Progress, text, str(run.progress)))
    else:
        board.tell("the processes start")
