"""What the user sees of a run: phase, progress, processes, faults; on screen and in status.json."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Protocol, runtime_checkable

import psutil

from moma_core.runtime.progress import Progress, describe
from moma_core.runtime.run import RunDirectory
from moma_core.storage import write_text

_WRITE_S = 1.0
_SILENT_S = 6.0
"""Seconds after which a learner that says nothing new is said to be silent: it does every 2 s."""
_NAMED_S = 2.0
"""Seconds without a sign of life from which on a process is not called alive."""


@dataclass(frozen=True, kw_only=True)
class ProcessInfo:
    """One process of the run."""

    role: str
    host: str
    pid: int
    address: str
    restarts: int
    alive: bool
    silent_s: float = 0.0
    """Seconds since its last sign of life."""

    @property
    def state(self) -> str:
        """Says in words whether it lives."""
        if not self.alive:
            return "ended"
        return "alive" if self.silent_s < _NAMED_S else f"no sign of life for {self.silent_s:.0f} s"


@runtime_checkable
class View(Protocol):
    """Something that shows a board's lines."""

    def show(self, board: Board, *, urgent: bool) -> None:
        """Shows the board; `urgent` when something happened that may not be skipped."""

    def close(self) -> None:
        """Gives the screen back."""


class Board:
    """Keeps what is known of a run and writes it down."""

    def __init__(self, run: RunDirectory, view: View) -> None:
        self.run, self._view = run, view
        self.phase, self.detail = "start", ""
        self.progress: Progress | None = None
        self._heard = time.monotonic()
        """Last time that the learner said something new."""
        self.processes: list[ProcessInfo] = []
        self.faults: list[str] = []
        self.seconds: dict[str, float] = {}
        self._begun = psutil.Process().create_time()
        self._since = time.monotonic()
        self._written = -_WRITE_S
        self._unwritten = False

    def enter(self, phase: str) -> None:
        """Begins a phase; the seconds of the one before are kept."""
        now = time.monotonic()
        self.seconds[self.phase] = self.seconds.get(self.phase, 0.0) + now - self._since
        self.phase, self.detail, self._since = phase, "", now
        self._refresh(urgent=True)

    def tell(self, detail: str) -> None:
        """Says how far the phase is."""
        self.detail = detail
        self._refresh(urgent=False)

    def update(self, progress: Progress) -> None:
        """Takes the learner's progress, which is old where it says nothing new.

        Whom a silent learner waited for is not told: that was then.
        """
        now, self.detail = time.monotonic(), describe(progress)
        if progress != self.progress:
            self.progress, self._heard = progress, now
        elif (silent_s := now - self._heard) >= _SILENT_S:
            then = describe(replace(progress, waiting_for=""))
            self.detail = f"the learner has said nothing for {silent_s:.0f} s; before: {then}"
        self._refresh(urgent=False)

    def fault(self, line: str) -> None:
        """Notes a fault: what, who, since when, what was done, what to do."""
        self.faults.append(f"{datetime.now(UTC):%H:%M:%S} {line}")
        sys.stderr.write(f"fault: {line}\n")
        self._refresh(urgent=True)

    def note(self, line: str) -> None:
        """Says something that is no fault."""
        sys.stderr.write(f"{line}\n")

    def close(self) -> None:
        """Writes the last state and gives the screen back."""
        self.enter("end")
        self._view.close()

    def _refresh(self, *, urgent: bool) -> None:
        now = time.monotonic()
        if urgent or now - self._written >= _WRITE_S:
            self._written = now
            self._write()
        self._view.show(self, urgent=urgent)

    def _write(self) -> None:
        """Writes status.json; a disk that does not take it is a fault, and the run goes on."""
        try:
            write_text(self.run.status, json.dumps(self._status(), indent=1))
        except OSError as error:
            if not self._unwritten:
                self._unwritten = True
                self.fault(f"{error.strerror}; the run goes on")
        else:
            self._unwritten = False

    def _status(self) -> dict[str, object]:
        return {
            "run": self.run.name,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "begun": self._begun,
            "phase": self.phase,
            "detail": self.detail,
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
            "progress": None if self.progress is None else asdict(self.progress),
            "processes": [asdict(process) for process in self.processes],
            "faults": self.faults,
        }
