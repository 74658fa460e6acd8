"""Names the workers that were started and have not been heard of: nobody waits without a word."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

_LATE_S = 20.0
"""Seconds after its start in which a worker should have asked for work."""


class Attendance:
    """Who of those that were started has turned up. Used from one thread.

    Args:
        fault: told one line when somebody is missing.
        note: told one line when somebody who was missing has turned up.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        fault: Callable[[str], None],
        note: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fault, self._note, self._clock = fault, note, clock
        self._since: dict[str, float] = {}
        self._missed: set[str] = set()
        self._seen: set[str] = set()

    def look(self, started: Iterable[str], heard: Iterable[str]) -> None:
        """Compares.

        Args:
            started: names of workers, and of nodes, whose workers' names begin with theirs.
            heard: names of the workers that have asked for work.
        """
        now, names, heard = self._clock(), set(started), set(heard)
        self._since = {name: self._since.get(name, now) for name in names}
        self._seen &= names
        for name in sorted(names - self._seen):
            if any(one == name or one.startswith(f"{name}-") for one in heard):
                self._seen.add(name)
                if name in self._missed:
                    self._note(f"{name} has turned up after {now - self._since[name]:.0f} s")
                    self._missed.discard(name)
            elif now - self._since[name] >= _LATE_S and name not in self._missed:
                self._missed.add(name)
                self._fault(
                    f"{name} has not asked for work since it was started {_LATE_S:.0f} s ago; "
                    f"waiting for it, the others go on; see logs/{name}.log"
                )
