"""Processes that are killed: the run goes on and says so; or, without `moma train`, ends."""

from __future__ import annotations

import os
import signal

import psutil
import pytest

from tests.e2e.commands import (
    EXACT,
    ROUNDS,
    alive,
    differing,
    pids_of,
    processes,
    read,
    rounds,
    tensors,
    until,
)

VICTIMS = ("worker-0", "model-server-0", "learner")


def start(moma, run, *words):
    """Starts a distributed run and waits until it trains."""
    command = moma("train", "reacher-tiny", "--run-dir", run, *EXACT, *words)
    until(lambda: rounds(run) >= 2, 60, "second round", command)
    until(lambda: len(processes(run)) == 4, 10, "table of four processes", command)
    return command


def test_killed_roles_are_started_again_and_the_run_ends_as_if_nothing_had_been(
    moma, tmp_path, alone
):
    run = tmp_path / "run"
    command = start(moma, run)
    killed = {}
    for role in VICTIMS:
        killed[role] = processes(run)[role]["pid"]
        os.kill(killed[role], signal.SIGKILL)
        until(lambda r=role: processes(run)[r]["restarts"] == 1, 10, f"restart of {role}", command)
        seen = rounds(run)
        until(lambda n=seen: rounds(run) > n + 1, 40, f"round after the {role}'s death", command)
    assert command.wait(60) == 0, command.err
    status, after = read(run / "status.json"), processes(run)
    for role, pid in killed.items():
        (line,) = [fault for fault in status["faults"] if f"{role} (process {pid})" in fault]
        assert "was killed by SIGKILL" in line
        assert f"started again as process {after[role]['pid']}" in line
        assert command.err.count(f"fault: {role} (process {pid})") == 1
    assert {role: entry["restarts"] for role, entry in after.items()} == {
        **dict.fromkeys(VICTIMS, 1),
        "worker-1": 0,
    }
    result = read(run / "result.json")
    assert result["faults"] == status["faults"]
    assert (result["updates"], result["resumes"]) == (ROUNDS, 1)
    assert differing(tensors(alone), tensors(run)) == []


@pytest.mark.reliability(19, "port_and_owner_conflict")
def test_a_second_train_is_refused_and_a_killed_one_leaves_nobody(moma, tmp_path):
    run = tmp_path / "run"
    first = start(moma, run, "--ppo.rounds", "5000")
    config = (run / "config.json").read_text()
    second = moma("train", "--resume", run, "--workers", "7")
    assert second.wait(30) == 2
    assert f"error: another process is at work in {run}" in second.err
    config_after = (run / "config.json").read_text()
    pids = pids_of(run)
    children = [child.pid for child in psutil.Process(first.pid).children(recursive=True)]
    assert set(children) <= set(pids)
    assert len(alive(pids)) == 5
    os.kill(first.pid, signal.SIGKILL)
    first.process.wait(5)
    until(lambda: not alive(pids), 15, "end of every process")
    assert config_after == config, "the refused command changed the run"
