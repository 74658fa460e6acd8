"""What follows when roles die, hang, or are to end: on an engine without processes or time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from moma.engines.base import Engine, Nodes, RoleSpec, Started, own_words
from moma.engines.supervision import RoleError, Supervisor
from moma_core.address import Address
from moma_core.runtime.listening import LOOPBACK
from moma_core.stopping import BAD_INPUT, PEER_LOST, STOPPED, StoppedError

HERE = Address("127.0.0.1", 4711)
SERVER = RoleSpec(name="server", package="model_server", listening=LOOPBACK)
WORKER = RoleSpec(name="worker", package="rollout_workers", listening=None)
FAR = RoleSpec(name="worker", package="rollout_workers", listening=None, node=2)
HUGE = 2**50
"""Bytes: more than this process has."""


class World:
    """A clock that sleeping moves, and what happens when it gets there."""

    def __init__(self):
        self.now, self.events = 100.0, []

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        for event in [event for event in self.events if event[0] <= self.now]:
            self.events.remove(event)
            event[1]()

    def after(self, seconds, do):
        self.events.append((self.now + seconds, do))


class FakeRole:
    """A role that does what the test says."""

    def __init__(self, number, journal, name):
        self.number, self._journal, self._name = number, journal, name
        self.host = "node"
        self.ended, self.called, self.silent, self.held = None, None, 0.0, 0
        self.words = "  the last words"
        self.on_ask, self.on_kill = lambda: self.end(0), lambda: self.end(-9)

    def end(self, status):
        self.ended = status

    def status(self):
        return self.ended

    def address(self):
        return self.called

    def silent_s(self):
        return self.silent

    def memory(self):
        return self.held

    def tail(self):
        return self.words

    def ask(self):
        self._journal.append(f"ask {self._name}")
        self.on_ask()

    def kill(self):
        self._journal.append(f"kill {self._name}")
        self.on_kill()


class FakeEngine:
    """Starts nothing; notes what it was asked for."""

    def __init__(self):
        self.asked, self.roles, self.journal = [], [], []

    def start(self, role, incarnation, address):
        self.asked.append((role, incarnation, address))
        self.roles.append(FakeRole(1000 + len(self.roles), self.journal, role.name))
        return self.roles[-1]


@pytest.fixture
def world():
    return World()


@pytest.fixture
def engine():
    return FakeEngine()


@pytest.fixture
def faults():
    return []


@pytest.fixture
def supervisor(world, engine, faults):
    return Supervisor(engine, faults.append, clock=world.clock, sleep=world.sleep)


def test_what_stands_in_for_an_engine_is_one(engine, supervisor):
    supervisor.start(WORKER)
    assert isinstance(engine, Engine)
    assert isinstance(engine.roles[0], Started)


def test_a_role_that_listens_is_told_where_and_another_one_who_it_is():
    assert own_words(SERVER, 3, HERE, "file") == [
        "--listen", "127.0.0.1:4711", "--announce", "file",
    ]  # fmt: skip
    assert own_words(WORKER, 3, HERE, "file") == ["--name", "worker", "--incarnation", "3"]


def test_an_address_is_waited_for(world, engine, supervisor):
    supervisor.start(SERVER)
    world.after(7.0, lambda: setattr(engine.roles[0], "called", HERE))
    assert supervisor.address("server") == HERE
    assert 107.0 <= world.now < 107.2


def test_an_address_that_does_not_come_is_given_up(world, supervisor):
    supervisor.start(SERVER)
    with pytest.raises(RoleError, match=r"within 300 s; its log ends:\n  the last words"):
        supervisor.address("server")
    assert 400.0 <= world.now < 400.2


def test_a_role_that_ends_instead_of_saying_its_address_is_given_up_at_once(
    world, engine, supervisor
):
    supervisor.start(SERVER)
    world.after(1.0, lambda: engine.roles[0].end(1))
    with pytest.raises(RoleError, match="server did not start; its log ends:\n  the last words"):
        supervisor.address("server")
    assert world.now < 101.2


def test_what_died_is_started_again_under_its_address_and_said_so_once(
    world, engine, supervisor, faults
):
    supervisor.start(SERVER)
    engine.roles[0].called = HERE
    supervisor.address("server")
    world.sleep(30.0)
    engine.roles[0].end(-9)
    for _ in range(3):
        supervisor.watch()
    assert engine.asked == [(SERVER, 0, None), (SERVER, 1, HERE)]
    assert faults == [
        "server (process 1000) was killed by SIGKILL after 30 s; "
        "started again as process 1001; nothing to do"
    ]
    (row,) = supervisor.table()
    assert (row.role, row.pid, row.address, row.restarts, row.alive) == (
        "server", 1001, "127.0.0.1:4711", 1, True,
    )  # fmt: skip


def test_incarnations_count_up_and_only_of_the_one_that_died(engine, supervisor, faults):
    supervisor.start(SERVER)
    supervisor.start(WORKER)
    for word in ("one", "two", "three"):
        engine.roles[-1].words = word
        engine.roles[-1].end(7)
        supervisor.watch()
    assert engine.asked[2:] == [(WORKER, n, None) for n in (1, 2, 3)]
    assert [row.restarts for row in supervisor.table()] == [0, 3]
    assert all("worker (process 100" in line and "ended with 7" in line for line in faults)


def deaths(supervisor, engine, world, count, apart_s):
    """Lets a role die so often, so many seconds apart."""
    supervisor.start(WORKER)
    for _ in range(count):
        engine.roles[-1].end(-9)
        supervisor.watch()
        world.sleep(apart_s)


def test_five_deaths_in_a_minute_are_too_many(engine, supervisor, world):
    with pytest.raises(
        RoleError, match=r"worker \(process 1004\) was killed by SIGKILL after 14 s; its"
    ):
        deaths(supervisor, engine, world, 5, 14.0)
    assert len(engine.roles) == 5


def test_a_death_every_quarter_of_a_minute_is_not(engine, supervisor, world):
    deaths(supervisor, engine, world, 40, 15.0)
    assert len(engine.roles) == 41


def dies(supervisor, engine, words, status=1):
    engine.roles[-1].words = f"  before\n  {words}"
    engine.roles[-1].end(status)
    supervisor.watch()


def test_the_same_death_twice_in_a_row_ends_the_run_with_its_last_words(engine, supervisor, world):
    """A role dies of the same thing again.

    Symptom: "ROLE ended with 1, as it did before; its log ends:".
    Cause: Something that starting it again does not mend: settings, a file, a limit.
    What we do: The first time it is started again; the second time in ten minutes the run stops
    and quotes its log.
    What you do: Mend what the log names, then `moma train --resume RUN`.
    """
    supervisor.start(WORKER)
    dies(supervisor, engine, "a segment of 216000007 bytes is too large")
    world.sleep(18.0)
    with pytest.raises(RoleError, match=r"(?s)as it did before.*before\n  a segment of 216000008"):
        dies(supervisor, engine, "a segment of 216000008 bytes is too large")
    assert len(engine.roles) == 2


@pytest.mark.parametrize("between_s", [18.0, 700.0])
def test_other_deaths_and_such_as_are_far_between_do_not(engine, supervisor, world, between_s):
    supervisor.start(WORKER)
    same = between_s > 600
    for number in range(4):
        dies(supervisor, engine, "one" if same or number % 2 else "another")
        world.sleep(between_s)
    assert len(engine.roles) == 5


def test_who_ends_because_another_one_has_may_do_so_again(engine, supervisor, world):
    """One of several learners is killed now and then: the others end alike each time."""
    supervisor.start(WORKER)
    for _ in range(3):
        dies(supervisor, engine, "learner-# has ended", PEER_LOST)
        world.sleep(18.0)
    assert len(engine.roles) == 4
    dies(supervisor, engine, "learner-# has ended", 1)  # negative control: of its own
    world.sleep(18.0)
    with pytest.raises(RoleError, match="as it did before"):
        dies(supervisor, engine, "learner-# has ended", 1)


def test_a_death_of_another_is_told_while_an_address_is_waited_for(engine, supervisor, world):
    supervisor.start(WORKER)
    supervisor.start(SERVER)
    world.after(1.0, lambda: engine.roles[0].end(BAD_INPUT))
    with pytest.raises(RoleError, match=r"worker .* ended with 2"):
        supervisor.address("server")
    assert world.now < 101.2


def test_a_stop_is_taken_while_an_address_is_waited_for(world, engine, faults):
    supervisor = Supervisor(
        engine,
        faults.append,
        stopping=lambda: world.now >= 103.0,
        clock=world.clock,
        sleep=world.sleep,
    )
    supervisor.start(SERVER)
    with pytest.raises(StoppedError, match="stopped while server was starting"):
        supervisor.address("server")
    assert world.now < 103.2


def test_who_is_refused_its_input_is_not_started_again(engine, supervisor):
    supervisor.start(WORKER)
    engine.roles[0].end(BAD_INPUT)
    with pytest.raises(RoleError, match="ended with 2 after 0 s; its log ends:\n  the last words"):
        supervisor.watch()
    assert len(engine.roles) == 1


def test_who_is_done_is_not_started_again(engine, supervisor, faults):
    supervisor.start(WORKER)
    assert not supervisor.done("worker")
    engine.roles[0].end(0)
    assert supervisor.done("worker")
    supervisor.watch()
    assert (len(engine.roles), faults) == (1, [])
    assert not supervisor.table()[0].alive


def test_silence_is_named_once_and_again_after_a_sign_of_life(engine, supervisor, faults):
    supervisor.start(WORKER)
    for silent in (0.0, 9.9, 10.4, 11.0, 29.0):
        engine.roles[0].silent = silent
        supervisor.watch()
    (line,) = faults
    said = "worker (process 1000) on node has given no sign of life for 10 s; waiting for it; "
    assert line == said + "after 30 s it is killed and is started again"
    for silent in (0.1, 12.0, 13.0):
        engine.roles[0].silent = silent
        supervisor.watch()
    assert len(faults) == 2
    assert len(engine.roles) == 1


def test_who_is_silent_for_long_is_killed_once_and_started_again(engine, supervisor, faults):
    supervisor.start(WORKER)
    for silent in (12.0, 29.9, 30.0, 31.0, 32.0):
        engine.roles[0].silent = silent
        engine.roles[0].on_kill = lambda: None
        supervisor.watch()
    assert engine.journal == ["kill worker"]
    assert faults[1].endswith("no sign of life for 30 s; killed, to be started again")
    engine.roles[0].end(-9)
    supervisor.watch()
    assert len(engine.roles) == 2
    assert supervisor.table()[0].state == "alive"


def test_what_is_silent_on_another_node_may_not_hear_and_is_waited_for(engine, supervisor, faults):
    supervisor.start(FAR)
    engine.roles[0].silent = 300.0
    supervisor.watch()
    supervisor.watch()
    assert engine.journal == []
    assert len(faults) == 1
    assert supervisor.table()[0].state == "no sign of life for 300 s"


def test_the_silence_of_one_that_died_is_not_its_successors(engine, supervisor, faults):
    supervisor.start(WORKER)
    engine.roles[0].silent = 12.0
    supervisor.watch()
    engine.roles[0].end(-9)
    supervisor.watch()
    engine.roles[1].silent = 12.0
    supervisor.watch()
    assert ["no sign of life" in line for line in faults] == [True, False, True]


def test_the_first_ones_end_before_the_rest_are_asked(world, engine, supervisor, faults):
    for role in (SERVER, WORKER, RoleSpec(name="learner", package="learner", listening=LOOPBACK)):
        supervisor.start(role)
    learner = engine.roles[2]

    def saves():
        world.after(5.0, lambda: (engine.journal.append("learner ends"), learner.end(3)))

    learner.on_ask = saves
    supervisor.stop(["learner", "nobody"], 14.0)
    assert engine.journal == ["ask learner", "learner ends", "ask server", "ask worker"]
    assert 105.0 <= world.now < 105.3
    assert faults == []


def test_who_does_not_end_in_its_time_is_killed_and_named(world, engine, supervisor, faults):
    supervisor.start(SERVER)
    supervisor.start(WORKER)
    engine.roles[0].on_ask = lambda: None
    supervisor.stop(["server"], 14.0)
    assert engine.journal == ["ask server", "kill server", "ask worker"]
    assert faults == ["server (1000) did not stop in time; killed"]
    assert 114.0 <= world.now < 114.3


def test_stopping_ends_even_where_killing_does_not_help(world, engine, supervisor):
    supervisor.start(SERVER)
    engine.roles[0].on_ask = engine.roles[0].on_kill = lambda: None
    supervisor.stop([], 1.0)
    assert world.now < 110.0


def test_who_has_ended_is_not_asked(engine, supervisor):
    supervisor.start(WORKER)
    engine.roles[0].end(0)
    supervisor.stop(["worker"], 1.0)
    assert engine.journal == []


def test_memory_is_that_of_all_at_once_at_its_peak(engine, supervisor):
    supervisor.start(SERVER)
    supervisor.start(WORKER)
    for held in ((HUGE, 0), (HUGE, HUGE), (0, HUGE)):
        for role, size in zip(engine.roles, held, strict=True):
            role.held = size
        supervisor.watch()
    assert 2 * HUGE < supervisor.peak_rss < 2 * HUGE + 2**40


def test_the_run_goes_on_without_what_keeps_dying_on_another_node(
    supervisor, engine, world, faults
):
    supervisor.start(FAR)
    for _ in range(2):
        engine.roles[-1].end(1)
        world.sleep(1)
        supervisor.watch()
    assert len(engine.asked) == 2
    assert "goes on without it and tries node 2 again every 30 s" in faults[-1]
    assert "the last words" in faults[-1]
    told = len(faults)
    for _ in range(120):
        world.sleep(1)
        supervisor.watch()
        engine.roles[-1].end(1)
    assert (len(engine.asked), len(faults)) == (6, told)
    world.sleep(30)
    supervisor.watch()
    world.sleep(10)
    supervisor.watch()
    assert "is back on node 2" in faults[-1]
    assert engine.asked[-1][1] == 6


def test_what_another_nodes_role_is_refused_ends_the_run(supervisor, engine):
    supervisor.start(FAR)
    engine.roles[0].end(BAD_INPUT)
    with pytest.raises(RoleError):
        supervisor.watch()


def test_each_role_is_started_on_its_node(engine):
    other = FakeEngine()
    nodes = Nodes([engine, FakeEngine(), other])
    assert isinstance(nodes, Engine)
    nodes.start(WORKER, 0, None)
    nodes.start(FAR, 3, HERE)
    assert (engine.asked, other.asked) == ([(WORKER, 0, None)], [(FAR, 3, HERE)])


def test_an_address_that_is_late_is_named_once_within_thirty_seconds(
    world, engine, supervisor, faults
):
    supervisor.start(SERVER)
    world.after(45.0, lambda: setattr(engine.roles[0], "called", HERE))
    assert supervisor.address("server") == HERE
    assert faults == ["server (process 1000) has not said its address for 20 s; waiting for it"]


def test_a_role_that_is_let_go_ends_by_itself_and_has_its_next_incarnation_when_it_comes_back(
    engine, supervisor, faults
):
    supervisor.start(WORKER)
    supervisor.release("worker")
    supervisor.watch()
    assert supervisor.table() == []
    supervisor.start(WORKER)
    assert engine.asked == [(WORKER, 0, None), (WORKER, 1, None)]
    assert faults == []


def test_a_role_that_is_let_go_and_does_not_end_is_killed(world, engine, supervisor, faults):
    supervisor.start(WORKER)
    engine.roles[0].on_ask = lambda: None
    supervisor.release("worker")
    supervisor.watch()
    assert len(supervisor.table()) == 1
    world.sleep(61.0)
    supervisor.watch()
    supervisor.watch()
    assert supervisor.table() == []
    assert faults == ["worker (process 1000) did not end within 60 s; killed"]


def test_who_leads_and_was_told_to_stop_is_not_started_again_and_others_are(engine, supervisor):
    supervisor.start(replace(WORKER, name="learner", leads=True))
    supervisor.start(WORKER)
    for role in engine.roles[:2]:
        role.end(STOPPED)
    supervisor.watch()
    assert supervisor.over("learner")
    assert not supervisor.done("learner")
    assert [role.name for role, _, _ in engine.asked] == ["learner", "worker", "worker"]
