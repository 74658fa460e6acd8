"""Keeps a run's roles alive on any engine: starts them again, gives up, ends them all in order."""

from __future__ import annotations

import re
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psutil

from moma.engines.base import Engine, RoleSpec, Started
from moma.engines.board import ProcessInfo
from moma_core.address import Address
from moma_core.stopping import BAD_INPUT, PEER_LOST, STOPPED, Stop, StoppedError

_START_S = 300.0
"""Seconds within which a role must have said its address."""
_LATE_S = 20.0
"""Seconds after which one that has not said it is named."""
_DEATHS, _DEATHS_S = 5, 60.0
"""A role that dies so often in so many seconds is given up."""
_SAME_S = 600.0
"""A role that dies of the same thing twice in so many seconds would die of it again."""
_SILENT_S = 10.0
"""Seconds without a sign of life after which a role is named."""
_HELD_UP_S = 30.0
"""Seconds without one after which a role of the first node is killed, to be started again."""
_AGAIN_S = 30.0
"""Seconds after which a role that is lost with another node is tried again."""
_BACK_S = 10.0
"""Seconds that such a role has to live to be called back."""
_POLL_S = 0.05
_LAST_S = 2.0
"""Seconds more for those that are asked after the first ones have ended."""
_LEAST_S = 0.1
"""Seconds that anybody who was asked has, even where the time for all is over."""
_RELEASE_S = 60.0
"""Seconds that a role has to finish what it is at, once it is let go."""
_KILLED_S = 5.0
"""Seconds to wait for the end of what was killed."""


def _end_of_log(child: _Child) -> str:
    return f"its log ends:\n{child.started.tail()}"


class RoleError(RuntimeError):
    """A role cannot be kept alive; the text holds the end of its log."""


@dataclass
class _Child:
    role: RoleSpec
    started: Started
    since: float
    address: Address | None = None
    incarnation: int = 0
    deaths: deque[float] = field(default_factory=lambda: deque(maxlen=_DEATHS))
    cause: str = ""
    over: bool = False
    late: bool = False
    silent: bool = False
    given_up: bool = False
    released: float | None = None
    lost: bool = False
    """Loss of the role with a node that the run can do without."""

    def __str__(self) -> str:
        return f"{self.role.name} (process {self.started.number})"


class Supervisor:
    """Keeps a set of roles alive. Used from one thread."""

    def __init__(
        self,
        engine: Engine,
        fault: Callable[[str], None],
        *,
        stopping: Stop = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Takes over nothing that runs already.

        Args:
            engine: where roles are started.
            fault: told one line about every death and every silence.
            stopping: true once the run shall be stopped: nobody is waited for then.
            clock: monotonic seconds.
            sleep: pauses for so many seconds.
        """
        self._engine, self._fault, self._stopping = engine, fault, stopping
        self._clock, self._sleep = clock, sleep
        self._children: dict[str, _Child] = {}
        self._past: dict[str, int] = {}
        """By the names of those that were let go, how often they had been started."""
        self.peak_rss = 0

    def start(self, role: RoleSpec) -> None:
        """Starts a role and does not wait for it."""
        if (before := self._children.get(role.name)) is not None:  # let go, and not gone yet
            self._drop(before)
        incarnation = self._past.get(role.name, 0)
        started = self._engine.start(role, incarnation, None)
        self._children[role.name] = _Child(role, started, self._clock(), incarnation=incarnation)

    def release(self, name: str) -> None:
        """Asks a role to end after what it is at, and does not wait for it."""
        child = self._children[name]
        child.released = self._clock()
        child.started.ask()

    def address(self, name: str) -> Address:
        """Waits for a role's address, which it is to keep once it is started again.

        Those that it may be waiting for are watched meanwhile.

        Raises:
            RoleError: it or another one ended instead, or it took too long.
            StoppedError: the run was told to stop meanwhile.
        """
        child, begun = self._children[name], self._clock()
        while (found := child.address or child.started.address()) is None:
            if child.started.status() is not None:
                raise RoleError(f"{name} did not start; {_end_of_log(child)}")
            if self._clock() - begun >= _START_S:
                late = f"{name} did not say its address within {_START_S:.0f} s"
                raise RoleError(f"{late}; {_end_of_log(child)}")
            if self._stopping():
                raise StoppedError(f"stopped while {name} was starting")
            self._wait_for(child, begun)
        child.address = found
        return found

    def _wait_for(self, child: _Child, begun: float) -> None:
        """Looks after all others meanwhile; says it once when a role's address is late."""
        if not child.late and self._clock() - begun >= _LATE_S:
            child.late = True
            self._fault(f"{child} has not said its address for {_LATE_S:.0f} s; waiting for it")
        for other in list(self._children.values()):
            if other is not child:
                self._look(other)
        self._sleep(_POLL_S)

    def watch(self) -> None:
        """Starts again what died, names what is silent.

        Status 0 means that a role was done; one that leads may also have been told to stop. The run
        goes on without what keeps dying on another node, which may be lost; it is tried again now
        and then.

        Raises:
            RoleError: a role was refused its input, or keeps dying on the first node.
        """
        for child in list(self._children.values()):
            self._look(child)
        used = sum(child.started.memory() for child in self._children.values())
        self.peak_rss = max(self.peak_rss, used + psutil.Process().memory_info().rss)

    def done(self, name: str) -> bool:
        """True when the role ended with status 0."""
        return self._children[name].started.status() == 0

    def over(self, name: str) -> bool:
        """True when the role has ended for good, done or told to stop."""
        return self._children[name].over or self.done(name)

    def table(self) -> list[ProcessInfo]:
        """Returns what there is to say of each role."""
        return [
            ProcessInfo(
                role=child.role.name,
                host=child.started.host,
                pid=child.started.number,
                address=str(child.address or ""),
                restarts=child.incarnation,
                alive=child.started.status() is None,
                silent_s=round(child.started.silent_s(), 1),
            )
            for child in self._children.values()
        ]

    def stop(self, order: Sequence[str], grace_s: float) -> None:
        """Asks the roles named first to end, one after the other, then all the rest; then kills."""
        until = self._clock() + grace_s
        for name in order:
            if name in self._children:
                self._end([self._children[name]], until)
        self._end(list(self._children.values()), until + _LAST_S)

    def _look(self, child: _Child) -> None:
        """Starts a role again if it died, names it if it is silent."""
        status = child.started.status()
        if child.released is not None:
            self._let_go(child, status)
        elif child.over or status == 0 or (status == STOPPED and child.role.leads):
            child.over = True
        elif status is None:
            self._hear(child)
        elif not child.lost:
            self._revive(child, status)
        elif self._clock() - child.since >= _AGAIN_S:
            self._restart(child)

    def _let_go(self, child: _Child, status: int | None) -> None:
        """Forgets a role once it has ended; ends one that takes too long."""
        assert child.released is not None
        if status is not None:
            self._drop(child)
        elif self._clock() - child.released > _RELEASE_S:
            self._fault(f"{child} did not end within {_RELEASE_S:.0f} s; killed")
            child.started.kill()

    def _drop(self, child: _Child) -> None:
        if child.started.status() is None:
            child.started.kill()
        self._past[child.role.name] = child.incarnation + 1
        del self._children[child.role.name]

    def _hear(self, child: _Child) -> None:
        """Says it once when a role gives no sign of life, and when a lost one is back.

        On the first node it is not waited for without end: it may be held up for good.
        """
        if child.lost and self._clock() - child.since >= _BACK_S:
            child.lost = False
            child.deaths.clear()
            self._fault(f"{child} is back on node {child.role.node}; nothing to do")
        silent_s, far = child.started.silent_s(), child.role.node > 0
        what = f"{child} on {child.started.host} has given no sign of life for {silent_s:.0f} s"
        if silent_s >= _SILENT_S and not child.silent:
            when = "once it is killed it" if far else f"after {_HELD_UP_S:.0f} s it is killed and"
            self._fault(f"{what}; waiting for it; {when} is started again")
        child.silent = silent_s >= _SILENT_S
        if silent_s >= _HELD_UP_S and not (far or child.given_up):
            child.given_up = True
            self._fault(f"{what}; killed, to be started again")
            child.started.kill()

    def _revive(self, child: _Child, status: int) -> None:
        now = self._clock()
        how = f"ended with {status}"
        if status < 0:
            how = f"was killed by {signal.Signals(-status).name}"
        what = f"{child} {how} after {now - child.since:.0f} s"
        again = self._again(child, status, now)
        child.deaths.append(now)
        often = len(child.deaths) == _DEATHS and now - child.deaths[0] < _DEATHS_S
        far = child.role.node > 0
        if status == BAD_INPUT or ((often or again) and not far):
            why = ", as it did before: starting it again is of no use" if again else ""
            raise RoleError(f"{what}{why}; {_end_of_log(child)}")
        if often or again:
            child.lost = True
            self._fault(
                f"{what}; the run goes on without it and tries node {child.role.node} again every "
                f"{_AGAIN_S:.0f} s; {_end_of_log(child)}"
            )
            return
        self._restart(child)
        self._fault(f"{what}; started again as process {child.started.number}; nothing to do")

    def _restart(self, child: _Child) -> None:
        child.incarnation += 1
        child.started = self._engine.start(child.role, child.incarnation, child.address)
        child.since, child.silent, child.given_up = self._clock(), False, False

    def _again(self, child: _Child, status: int, now: float) -> bool:
        """Says whether a role has just died of what it died of last, by its last words.

        Numbers may differ. Who was killed, or ended with another one, left no words of its own.
        """
        last, own = child.started.tail().splitlines()[-1:], status > 0 and status != PEER_LOST
        cause = re.sub(r"\d+", "#", f"{status} {last}") if own else ""
        before, child.cause = child.cause, cause
        return bool(cause) and cause == before and now - child.deaths[-1] < _SAME_S

    def _end(self, children: Sequence[_Child], until: float) -> None:
        for child in children:
            if child.started.status() is None:
                child.started.ask()
        for child in children:
            if not self._ended(child, max(until, self._clock() + _LEAST_S)):
                number = child.started.number
                self._fault(f"{child.role.name} ({number}) did not stop in time; killed")
                child.started.kill()
                self._ended(child, self._clock() + _KILLED_S)

    def _ended(self, child: _Child, until: float) -> bool:
        """Waits for a role's end; returns whether it came in time."""
        while child.started.status() is None:
            if self._clock() >= until:
                return False
            self._sleep(_POLL_S)
        return True
