"""Starts processes, starts them again when they die, and ends them all. It knows no role's work."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from moma.engines.board import ProcessInfo
from moma_core.address import FREE, Address
from moma_core.runtime.process import BAD_INPUT, LIFELINE

Command = Callable[[int, str, Path], list[str]]
"""(incarnation, address to listen on, file to announce it in) to an argument list."""
_START_S = 60.0
_DEATHS, _DEATHS_S = 5, 60.0
"""A process that dies so often in so many seconds is given up."""
_POLL_S = 0.05
_LOG_TAIL = 8


class RoleError(RuntimeError):
    """A process cannot be kept alive; the text holds the end of its log."""


@dataclass
class _Child:
    role: str
    command: Command
    cores: set[int] | None
    process: subprocess.Popen[bytes] = field(init=False)
    address: Address | None = None
    incarnation: int = 0
    started: float = 0.0
    deaths: deque[float] = field(default_factory=lambda: deque(maxlen=_DEATHS))
    done: bool = False


class Supervisor:
    """Keeps a set of processes alive. Used from one thread."""

    def __init__(self, logs: Path, addresses: Path, fault: Callable[[str], None]) -> None:
        """Takes over nothing that runs already.

        Args:
            logs: where each process's output goes.
            addresses: where processes announce theirs.
            fault: told one line about every death.
        """
        self._logs, self._addresses, self._fault = logs, addresses, fault
        self._children: dict[str, _Child] = {}
        self.peak_rss = 0
        addresses.mkdir(parents=True, exist_ok=True)

    def start(self, role: str, command: Command, cores: set[int] | None = None) -> None:
        """Starts a process and does not wait for it.

        Args:
            role: its name.
            command: what to run.
            cores: the only ones that it may run on; None: it may use all.
        """
        child = _Child(role=role, command=command, cores=cores)
        self._spawn(child)
        self._children[role] = child

    def address(self, role: str) -> Address:
        """Waits for the address that a process announces; once started again it is to keep it."""
        child = self._children[role]
        child.address = child.address or self._await_address(child)
        return child.address

    def watch(self) -> None:
        """Starts again what died. Exit status 0 means that a process was done.

        Raises:
            RoleError: a process was refused its input or keeps dying.
        """
        for child in self._children.values():
            status = child.process.poll()
            if status is None or child.done:
                continue
            if status == 0:
                child.done = True
                continue
            self._revive(child, status)
        self._measure()

    def done(self, role: str) -> bool:
        """True when the process ended with status 0."""
        child = self._children[role]
        return child.done or child.process.poll() == 0

    def table(self) -> list[ProcessInfo]:
        """Returns what there is to say of each process."""
        return [
            ProcessInfo(
                role=child.role,
                pid=child.process.pid,
                address=str(child.address or ""),
                restarts=child.incarnation,
                alive=child.process.poll() is None,
            )
            for child in self._children.values()
        ]

    def stop(self, order: list[str], grace_s: float) -> None:
        """Asks the roles named first to end, one after the other, then all the rest; then kills."""
        until = time.monotonic() + grace_s
        for role in order:
            if role in self._children:
                self._ask([self._children[role]], until)
        self._ask(list(self._children.values()), until + 2.0)

    def _ask(self, children: list[_Child], until: float) -> None:
        for child in children:
            if child.process.poll() is None:
                child.process.terminate()
        for child in children:
            try:
                child.process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._fault(f"{child.role} ({child.process.pid}) did not stop in time; killed")
                child.process.kill()
                child.process.wait()
            if child.process.stdin and not child.process.stdin.closed:
                child.process.stdin.close()

    def _spawn(self, child: _Child) -> None:
        announce = self._addresses / f"{child.role}.json"
        announce.unlink(missing_ok=True)
        listen = str(child.address or FREE)
        with (self._logs / f"{child.role}.log").open("ab") as log:
            # Its own session: Ctrl-C is for us alone. Its standard input closes when we are gone.
            child.process = subprocess.Popen(
                child.command(child.incarnation, listen, announce),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=os.environ | {LIFELINE: "1"},
                start_new_session=True,
            )
        if child.cores:
            with contextlib.suppress(ProcessLookupError):  # `watch` notices that it has ended
                os.sched_setaffinity(child.process.pid, child.cores)
        child.started = time.monotonic()

    def _revive(self, child: _Child, status: int) -> None:
        lived = time.monotonic() - child.started
        how = (
            f"was killed by {signal.Signals(-status).name}"
            if status < 0
            else f"ended with {status}"
        )
        what = f"{child.role} (process {child.process.pid}) {how} after {lived:.0f} s"
        now = time.monotonic()
        child.deaths.append(now)
        often = len(child.deaths) == _DEATHS and now - child.deaths[0] < _DEATHS_S
        if status == BAD_INPUT or often:
            raise RoleError(f"{what}; its log ends:\n{self._tail(child)}")
        if child.process.stdin:
            child.process.stdin.close()
        child.incarnation += 1
        self._spawn(child)
        self._fault(f"{what}; started again as process {child.process.pid}; nothing to do")

    def _await_address(self, child: _Child) -> Address:
        announce = self._addresses / f"{child.role}.json"
        until = time.monotonic() + _START_S
        while time.monotonic() < until:
            if announce.exists():
                return Address.parse(json.loads(announce.read_text(encoding="utf-8"))["address"])
            if child.process.poll() is not None:
                raise RoleError(f"{child.role} did not start; its log ends:\n{self._tail(child)}")
            time.sleep(_POLL_S)
        raise RoleError(f"{child.role} did not say its address within {_START_S:.0f} s")

    def _tail(self, child: _Child) -> str:
        text = (self._logs / f"{child.role}.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(f"  {line}" for line in text.splitlines()[-_LOG_TAIL:])

    def _measure(self) -> None:
        """Notes the largest memory that all processes, this one included, held together."""
        total = psutil.Process().memory_info().rss
        for child in self._children.values():
            try:
                total += psutil.Process(child.process.pid).memory_info().rss
            except psutil.NoSuchProcess:
                continue
        self.peak_rss = max(self.peak_rss, total)
