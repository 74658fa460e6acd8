"""Roles as processes of this machine: their cores, their end, how long their threads spin."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from moma.engines.base import RoleSpec
from moma.engines.local import LocalEngine
from moma.engines.supervision import RoleError, Supervisor
from moma_core.address import Address
from moma_core.runtime.listening import LOOPBACK
from tests.integration.parts import until

ASLEEP = "import time; time.sleep(60)"
ANNOUNCES = """
import json, sys, time
words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
port = int(words["--listen"].partition(":")[2]) or 4711
with open(words["--announce"] + ".new", "w") as file:
    json.dump({"address": f"127.0.0.1:{port}"}, file)
import os; os.rename(words["--announce"] + ".new", words["--announce"])
time.sleep(60)
"""
STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: None)
sys.stderr.write("ready\\n")
sys.stderr.flush()
while True:
    time.sleep(1)
"""
UNTIL_LEFT = "import os; os.read(0, 1)"
LIMIT_S = 20.0


def role(name, program, *, listens=False, core=None):
    """A role that is a program of its own."""
    return RoleSpec(name=name, package=program, listening=LOOPBACK if listens else None, core=core)


@pytest.fixture
def engine(tmp_path):
    """Starts Python programs instead of packages."""
    begin = lambda program: [sys.executable, "-c", program]  # noqa: E731 - a seam's one word
    return LocalEngine(tmp_path, tmp_path / "addresses", begin)


@pytest.fixture
def faults():
    return []


@pytest.fixture
def supervisor(engine, faults):
    made = Supervisor(engine, faults.append)
    yield made
    made.stop([], 5.0)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system pins nothing")
def test_a_process_keeps_to_its_core_and_so_does_its_successor(supervisor):
    all_cores = os.sched_getaffinity(0)
    one = max(all_cores)
    supervisor.start(role("pinned", ASLEEP, core=one))
    supervisor.start(role("free", ASLEEP))
    first = {row.role: row.pid for row in supervisor.table()}
    assert os.sched_getaffinity(first["pinned"]) == {one}
    assert os.sched_getaffinity(first["free"]) == all_cores
    row = killed(supervisor)
    assert row.pid != first["pinned"]
    assert os.sched_getaffinity(row.pid) == {one}


def killed(supervisor):
    """Kills the first role and returns its row once it was started again."""
    os.kill(supervisor.table()[0].pid, signal.SIGKILL)
    end = time.monotonic() + LIMIT_S
    while (row := supervisor.table()[0]).restarts == 0 and time.monotonic() < end:
        supervisor.watch()
    return row


def test_a_process_says_its_address_and_is_started_again_under_it(supervisor, faults):
    supervisor.start(role("server", ANNOUNCES, listens=True))
    first = supervisor.address("server")
    assert first == Address("127.0.0.1", 4711)
    row = killed(supervisor)
    assert (row.address, row.restarts) == (str(first), 1)
    assert "was killed by SIGKILL" in faults[0]


def test_one_that_ends_before_it_says_its_address_is_quoted(supervisor):
    supervisor.start(role("server", "raise SystemExit('no such model')", listens=True))
    with pytest.raises(RoleError, match="server did not start; its log ends:\n  no such model"):
        supervisor.address("server")


def test_one_that_the_system_does_not_let_run_is_silent_until_it_goes_on(engine):
    started = engine.start(role("asleep", ASLEEP), 0, None)
    try:
        assert started.silent_s() < 0.5
        os.kill(started.number, signal.SIGSTOP)
        until(lambda: started.silent_s() > 0.7, 10, "silence")
        assert started.status() is None
        os.kill(started.number, signal.SIGCONT)
        until(lambda: started.silent_s() < 0.5, 10, "sign of life")
    finally:
        started.kill()
        until(lambda: started.status() is not None, 10, "end")
    assert started.memory() == 0


def test_one_that_will_not_end_is_killed_and_one_that_will_is_not(tmp_path, supervisor, faults):
    supervisor.start(role("stubborn", STUBBORN))
    supervisor.start(role("willing", ASLEEP))
    until((tmp_path / "stubborn.log").read_text, 10, "handler of SIGTERM")
    pid = supervisor.table()[0].pid
    supervisor.stop(["stubborn"], 0.5)
    assert faults == [f"stubborn ({pid}) did not stop in time; killed"]
    assert not any(row.alive for row in supervisor.table())


def test_a_process_holds_a_lifeline_as_long_as_its_starter_lives(tmp_path):
    program = (
        "import sys, time; from pathlib import Path;"
        "from moma.engines.base import RoleSpec; from moma.engines.local import LocalEngine;"
        f"here = Path({str(tmp_path)!r});"
        "engine = LocalEngine(here, here / 'at', lambda words: [sys.executable, '-c', words]);"
        f"spec = RoleSpec(name='child', package={UNTIL_LEFT!r}, listening=None);"
        "child = engine.start(spec, 0, None); print(child.number, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as starter:
        pid = int(starter.stdout.readline())
        time.sleep(0.5)
        assert not gone(pid)
        starter.kill()
        starter.wait(10)
    until(lambda: gone(pid), 10, "end of the child")


def gone(pid):
    """Whether no process with that number runs."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "3000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_torchs_threads_spin_briefly_unless_told_otherwise(given, spins):
    # It has an effect only where it is set before torch is loaded.
    program = (
        "import os, sys, moma.cli.main; from moma_core.runtime import process;"
        "process.main(lambda: print('torch' in sys.modules, os.environ.get('GOMP_SPINCOUNT')))"
    )
    bare = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=bare | given, capture_output=True, text=True, timeout=LIMIT_S, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["False", spins]
