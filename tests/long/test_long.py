"""The long tests, `scripts/test --long`: each keeps its state in .long, and goes on from there.

MOMA_LONG_MINUTES shortens the runs under fire (30 by default); the scorecard says how long they
were.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from benchmarks.scale import real
from tests.e2e.commands import Command, processes, read, rounds, until
from tests.storms import Memory, flip_bytes, kill_savers

STATE = Path(os.environ.get("MOMA_LONG", ".long")).resolve()
MINUTES = float(os.environ.get("MOMA_LONG_MINUTES", "30"))
WORDS = ("train", "reacher-tiny", "--eval.every", "0", "--ppo.rounds", "1000000")
pytestmark = pytest.mark.timeout(4 * 3600)


@pytest.fixture
def state(request):
    """The test's own directory, which outlives it."""
    place = STATE / request.node.name
    place.mkdir(parents=True, exist_ok=True)
    return place


def kept(state, name, measure):
    """A measurement, taken once."""
    path = state / f"{name}.json"
    if not path.exists():
        found = measure()
        path.write_text(json.dumps(found))
    return json.loads(path.read_text())


@pytest.mark.reliability(1, "ckpt_kill9_random")
def test_300_kills_of_a_process_that_saves(state, record_property):
    memory = Memory(state / "memory.json")
    kill_savers(state / "checkpoints", memory, 300)
    record_property("tried", memory["tried"])
    record_property("passed", memory["tried"] - memory["torn"])
    record_property("worst_s", round(memory["worst"], 2))
    assert memory["torn"] == 0


@pytest.mark.reliability(20, "ckpt_bitrot")
def test_1000_flipped_bytes(state, record_property):
    memory = Memory(state / "memory.json")
    flip_bytes(state / "checkpoints", memory, 1000)
    record_property("tried", memory["tried"])
    record_property("passed", memory["tried"] - memory["missed"])
    assert memory["missed"] == 0


def run_for(state, name, words, minutes, disturb=None, every_s=60.0):
    """Trains for so long, disturbed every so often; returns what was measured."""
    run = state / f"{name}-{int(time.time())}"
    command = Command(state, name, (*WORDS, "--run-dir", run, *words))
    try:
        until(lambda: rounds(run) >= 5, 300, "fifth round", command)
        begun, first = time.monotonic(), rounds(run)
        due, came_back, memory = begun + every_s, [], []
        while (now := time.monotonic()) < begun + 60 * minutes:
            if disturb is not None and now >= due:
                came_back.append(disturb(run, command))
                due += every_s
            memory.append((now - begun, rss(command)))
            time.sleep(0.5)
        made, learner = rounds(run) - first, processes(run)["learner"]
        os.kill(command.pid, signal.SIGINT)
        command.wait(20)
        return {
            "rounds_per_s": made / (60 * minutes),
            "came_back_s": came_back,
            "memory": memory[:: max(1, len(memory) // 500)],
            "learner_restarts": learner["restarts"],
            "faults": len(read(run / "status.json")["faults"]),
        }
    finally:
        command.finish()


def rss(command):
    """Bytes that a run's processes hold."""
    total = 0
    for process in [psutil.Process(command.pid), *psutil.Process(command.pid).children()]:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def kill(roles):
    """Returns what kills one of these roles from outside and waits for its successor."""

    def disturb(run, command):
        table = processes(run)
        role = random.choice([name for name in table if name.startswith(roles)])
        before, begun = table[role]["restarts"], time.monotonic()
        os.kill(table[role]["pid"], signal.SIGKILL)
        until(lambda: processes(run)[role]["restarts"] > before, 30, f"new {role}", command)
        return time.monotonic() - begun

    return disturb


@pytest.mark.reliability(7, "goodput_under_fire")
def test_a_kill_a_minute_leaves_four_fifths_of_the_rounds(state, record_property):
    clean = kept(state, "clean", lambda: run_for(state, "clean", (), MINUTES / 3))
    any_role = ("learner", "worker", "model-server")
    fire = kept(state, "fire", lambda: run_for(state, "fire", (), MINUTES, kill(any_role)))
    share = fire["rounds_per_s"] / clean["rounds_per_s"]
    back = fire["came_back_s"]
    record_property("tried", len(back))
    record_property("passed", len(back) if share >= 0.8 else 0)
    record_property("worst_s", round(max(back), 2))
    record_property(
        "note",
        f"{MINUTES:g} min, goodput {share:.2f}, back after p50 {np.percentile(back, 50):.1f} s, "
        f"p95 {np.percentile(back, 95):.1f} s",
    )
    assert share >= 0.8


@pytest.mark.reliability(12, "worker_kill_loop")
def test_a_worker_killed_every_five_seconds_is_replaced(state, record_property):
    minutes, eight = MINUTES / 6, ("--workers", "8")
    quiet = kept(state, "quiet", lambda: run_for(state, "quiet", eight, minutes))
    found = kept(
        state, "loop", lambda: run_for(state, "loop", eight, minutes, kill(("worker",)), 5.0)
    )
    share = found["rounds_per_s"] / quiet["rounds_per_s"]
    back = found["came_back_s"]
    record_property("tried", len(back))
    record_property("passed", sum(seconds <= 10 for seconds in back))
    record_property("worst_s", round(max(back), 2))
    record_property("note", f"{minutes:g} min of 8 workers, {share:.2f} of the quiet run's rounds")
    assert max(back) <= 10
    assert found["learner_restarts"] == 0
    assert share >= 0.7


@pytest.mark.reliability(27, "soak")
def test_memory_does_not_grow(state, record_property):
    found = kept(
        state, "soak", lambda: run_for(state, "soak", (), MINUTES, kill(("worker",)), 120.0)
    )
    seconds, held = np.array(found["memory"]).T
    warm = seconds > seconds[-1] / 3
    slope = np.polyfit(seconds[warm], held[warm], 1)[0] * 3600 / 2**20
    record_property("note", f"{MINUTES:g} min, {slope:.1f} MB/h")
    assert slope <= 2 or MINUTES < 30


def test_eight_workers_make_eight_times_the_rounds_of_one_and_none_is_idle(state):
    """Processes on a round that two could make, and a dynamics server that sleeps."""

    def measure(name, *words):
        return kept(state, name, lambda: table(real.parsed(words), (1, 2, 4, 8)))

    def table(args, counts):
        return [real.measure(args, workers) for workers in counts]

    rows = measure("wide", "--seconds", "20")
    for row in rows:
        assert row["workers in a round"] == row["workers"]
        assert row["handed out again"] == 0
        assert row["rounds/s"] / rows[0]["rounds/s"] >= 0.9 * row["workers"]
    # Negative control: a server with room for two is full with two.
    rows = measure("narrow", "--seconds", "20", "--at-once", "2")
    assert rows[-1]["rounds/s"] / rows[0]["rounds/s"] < 0.9 * 4
