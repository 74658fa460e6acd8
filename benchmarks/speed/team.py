"""Worker processes that wait for orders, and the model server that they ask."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.speed.load import order
from moma.engines import training
from moma.engines.local import LocalEngine
from moma.engines.supervision import RoleError, Supervisor
from moma.engines.topology import Plan, Server
from moma_core.address import Address
from moma_core.config import Config

_GRACE_S = 10.0
_LOG_TAIL = 8


class Team:
    """N processes. Each costs nothing while it waits, and ends when this process does."""

    def __init__(self, count: int, log: Path) -> None:
        """Starts them; `log` takes what they complain about."""
        self._log = log
        with log.open("ab") as errors:
            self._workers = [_start(errors) for _ in range(count)]

    def ready(self) -> None:
        """Waits until all have loaded what they need."""
        for worker in self._workers:
            self._answer(worker)

    def imagine(
        self, plan: Plan, addresses: Sequence[Address], config: Config, until: float
    ) -> list[list[tuple[float, int]]]:
        """Lets a plan's workers imagine together until a moment of `time.perf_counter`.

        Args:
            plan: who asks which server, on which core.
            addresses: the servers'.
            config: with the rows and the horizon of a segment.
            until: when they stop.

        Returns:
            For each of them, when which number of rows was answered.
        """
        at_work = self._workers[: len(plan.workers)]
        for planned, worker in zip(plan.workers, at_work, strict=True):
            address = addresses[planned.server]
            _keep_to(worker.pid, planned.core)
            assert worker.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # it has ended: its answer will be missing
                worker.stdin.write(order(address, config, until))
                worker.stdin.flush()
        return [[(when, rows) for when, rows in self._answer(worker)] for worker in at_work]

    def close(self) -> None:
        """Ends them all, whatever they are doing."""
        for worker in self._workers:
            assert worker.stdin is not None
            assert worker.stdout is not None
            worker.kill()  # they own nothing that could be left behind
            worker.wait()
            with contextlib.suppress(BrokenPipeError):
                worker.stdin.close()
            worker.stdout.close()

    def _answer(self, worker: subprocess.Popen[str]) -> Any:  # noqa: ANN401 - whatever was asked
        assert worker.stdout is not None
        line = worker.stdout.readline()
        if not line:
            lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
            tail = "\n".join(f"  {text}" for text in lines[-_LOG_TAIL:])
            raise RoleError(f"a worker (process {worker.pid}) ended; its log ends:\n{tail}")
        return json.loads(line)


def _keep_to(pid: int, core: int | None) -> None:
    """Lets a process run on the core that a run's worker would, threads that it has included."""
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = os.sched_getaffinity(0) if core is None else {core}
    with contextlib.suppress(psutil.NoSuchProcess):  # it has ended: its answer will be missing
        for thread in psutil.Process(pid).threads():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(thread.id, cores)


def _start(errors: Any) -> subprocess.Popen[str]:  # noqa: ANN401 - an open file
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.speed.load"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        start_new_session=True,  # Ctrl-C is for us alone
    )


@contextlib.contextmanager
def team(count: int, scratch: Path) -> Iterator[Team]:
    """Yields `count` workers that are ready."""
    workers = Team(count, scratch / "workers.log")
    try:
        workers.ready()
        yield workers
    finally:
        workers.close()


@contextlib.contextmanager
def servers(
    config: Config, model: Path, planned: tuple[Server, ...], scratch: Path
) -> Iterator[list[Address]]:
    """Yields the addresses of model servers, as a run starts them.

    Args:
        config: the run's.
        model: the fitted model's directory.
        planned: the run's servers.
        scratch: where logs and addresses go.
    """
    faults: list[str] = []
    scratch.mkdir(exist_ok=True)
    supervisor = Supervisor(LocalEngine(scratch, scratch / "addresses"), faults.append)
    try:
        yield training.start_servers(supervisor, config, model, planned)
    finally:
        supervisor.stop([], _GRACE_S)
