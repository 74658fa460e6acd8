"""Two ways to look at a board: a live panel on a terminal, plain lines into a file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from moma.engines.board import Board, View

_LINE_S = 5.0
_FAULTS = 5


def choose() -> View:
    """Returns the view that fits standard output."""
    return LiveView() if sys.stdout.isatty() else PlainView()


class PlainView:
    """A line when the phase changes, one every few seconds, and the last one of every phase."""

    def __init__(self, say: Callable[[str], None] | None = None) -> None:
        """Tells lines to `say`; None: standard output."""
        self._say = say or _print
        self._phase, self._shown = "", 0.0
        self._said, self._held = "", ""
        """The last line that was said, and the newest one."""

    def show(self, board: Board, *, urgent: bool) -> None:  # noqa: ARG002 - faults have their line
        """Prints a line if it is time for one."""
        now, detail = time.monotonic(), f": {board.detail}" if board.detail else ""
        line = f"[{board.phase}]{detail}"
        if board.phase == self._phase and (now - self._shown < _LINE_S or not board.detail):
            self._held = line if board.detail else self._held
            return
        if board.phase != self._phase and self._held != self._said:
            self._say(self._held)
        self._phase, self._shown, self._held, self._said = board.phase, now, line, line
        self._say(line)

    def close(self) -> None:
        """Has nothing to give back."""


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class LiveView:
    """One panel that is drawn anew in place."""

    def __init__(self) -> None:
        self._live = Live(console=Console(), refresh_per_second=4, transient=False)
        self._live.start()

    def show(self, board: Board, *, urgent: bool) -> None:
        """Draws the board."""
        self._live.update(self._panel(board), refresh=urgent)

    def close(self) -> None:
        """Leaves the last drawing where it is."""
        self._live.stop()

    def _panel(self, board: Board) -> Panel:
        rows: list[Table | Text | ProgressBar] = [Text(board.detail or "...")]
        if board.progress is not None:
            rows.append(ProgressBar(total=board.progress.rounds, completed=board.progress.round))
        if board.processes:
            table = Table("process", "pid", "address", "restarts", "state", box=None)
            for process in board.processes:
                cells = (process.role, process.pid, process.address, process.restarts)
                table.add_row(*map(str, cells), process.state)
            rows.append(table)
        rows.extend(Text(line, style="red") for line in board.faults[-_FAULTS:])
        title = f"moma {board.run.name}: {board.phase}"
        return Panel(Group(*rows), title=title, title_align="left")
