"""The engine for one machine: a subprocess for each role."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from moma.engines.base import RoleSpec, own_words
from moma_core import documents
from moma_core.address import Address
from moma_core.runtime.process import LIFELINE

_LOG_TAIL = 8
_HELD = psutil.STATUS_STOPPED
"""State of a process that the system does not let run after SIGSTOP; who debugs one knows of it."""


def module(package: str) -> list[str]:
    """Returns the words that begin a role's process."""
    return [sys.executable, "-m", package]


class LocalEngine:
    """Starts processes; they end when this one does, whatever ends it."""

    def __init__(
        self,
        logs: Path,
        addresses: Path,
        begin: Callable[[str], list[str]] = module,
        host: str | None = None,
    ) -> None:
        """Starts nothing yet.

        Args:
            logs: where each process's output goes.
            addresses: where processes announce theirs.
            begin: from a role's package to the words that begin its process.
            host: where they have it run; None: here.
        """
        self._logs, self._addresses, self._begin = logs, addresses, begin
        self._host = host or socket.gethostname()
        addresses.mkdir(parents=True, exist_ok=True)

    def start(self, role: RoleSpec, incarnation: int, address: Address | None) -> LocalProcess:
        """Starts a role's process, kept to its core.

        Args:
            role: what is started.
            incarnation: how often it was started before.
            address: where it has to listen, as before; None: anywhere.
        """
        announce = self._addresses / f"{role.name}.json"
        announce.unlink(missing_ok=True)
        told = own_words(role, incarnation, address, str(announce))
        log = self._logs / f"{role.name}.log"
        with log.open("ab") as output:
            # Its own session: Ctrl-C is for us alone. Its standard input closes when we are gone.
            process = subprocess.Popen(
                [*self._begin(role.package), *role.words, *told],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=os.environ | {LIFELINE: "1"},
                start_new_session=True,
            )
        if role.core is not None:
            with contextlib.suppress(ProcessLookupError):  # its status tells that it has ended
                os.sched_setaffinity(process.pid, {role.core})
        return LocalProcess(process, log, announce, self._host)


class LocalProcess:
    """A role as a process of this machine.

    Args:
        process: as it was started.
        log: the file of its output.
        announce: the file that is to hold its address.
        host: where it runs.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], log: Path, announce: Path, host: str
    ) -> None:
        self._process, self._log, self._announce, self._host = process, log, announce, host
        self._seen = time.monotonic()

    @property
    def host(self) -> str:
        """This machine's name."""
        return self._host

    @property
    def number(self) -> int:
        """Its process number."""
        return self._process.pid

    def status(self) -> int | None:
        """Returns its exit status; None while it runs."""
        status = self._process.poll()
        if status is not None and self._process.stdin is not None:
            self._process.stdin.close()
        return status

    def address(self) -> Address | None:
        """Returns what it announced, if it has."""
        if not self._announce.exists():
            return None
        return Address.parse(documents.read(self._announce)["address"])

    def silent_s(self) -> float:
        """Returns for how long the system has not let it run.

        A process that waits for ever within itself looks alive from here: its peers, who have a
        deadline on every call, name it.
        """
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(self.number).status() != _HELD:
                self._seen = time.monotonic()
        return time.monotonic() - self._seen

    def memory(self) -> int:
        """Returns its resident memory in bytes."""
        try:
            return int(psutil.Process(self.number).memory_info().rss)
        except psutil.NoSuchProcess:
            return 0

    def tail(self) -> str:
        """Returns the last lines of its log."""
        text = self._log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(f"  {line}" for line in text.splitlines()[-_LOG_TAIL:])

    def ask(self) -> None:
        """Sends SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """Sends SIGKILL."""
        self._process.kill()
