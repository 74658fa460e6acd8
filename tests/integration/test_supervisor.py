"""What a supervisor gives its processes: their cores, and how long their threads spin."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from moma.engines.supervisor import Supervisor

ASLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
LIMIT_S = 20.0


@pytest.fixture
def supervisor(tmp_path):
    made = Supervisor(tmp_path, tmp_path / "addresses", lambda _: None)
    yield made
    made.stop([], 5.0)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system pins nothing")
def test_a_process_keeps_to_its_cores_and_so_does_its_successor(supervisor):
    all_cores = os.sched_getaffinity(0)
    one = {max(all_cores)}
    supervisor.start("pinned", lambda *_: ASLEEP, one)
    supervisor.start("free", lambda *_: ASLEEP)
    first = {row.role: row.pid for row in supervisor.table()}
    assert os.sched_getaffinity(first["pinned"]) == one
    assert os.sched_getaffinity(first["free"]) == all_cores
    os.kill(first["pinned"], 9)
    until = time.monotonic() + LIMIT_S
    while (row := supervisor.table()[0]).restarts == 0 and time.monotonic() < until:
        supervisor.watch()
    assert row.pid != first["pinned"]
    assert os.sched_getaffinity(row.pid) == one


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
