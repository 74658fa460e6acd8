"""Several learners as roles of a run: to its result, through a killed one, from a checkpoint."""

from __future__ import annotations

import os
import signal

from safetensors.torch import load_file

from tests.e2e.commands import (
    alive,
    differing,
    pids_of,
    processes,
    read,
    rounds,
    until,
)

ROUNDS = 16
TWO = (
    "--learners", "2", "--deterministic", "--threads", "1", "--ppo.rounds", str(ROUNDS),
    "--eval.every", "0", "--checkpoint-every", "2",
)  # fmt: skip


def start(moma, run, *words, name="moma"):
    """Starts a run of two learners and waits until it trains."""
    command = moma("train", *words, *TWO, name=name)
    until(lambda: rounds(run) >= 2, 90, "second round", command)
    until(lambda: len(processes(run)) == 5, 20, "table of five processes", command)
    return command


def test_a_killed_learner_is_named_and_the_run_ends_as_if_nothing_had_been(moma, tmp_path):
    straight = moma("train", "reacher-tiny", "--run-dir", tmp_path / "straight", *TWO)
    assert straight.wait(180) == 0, straight.err
    assert straight.out.splitlines()[-1].startswith("reacher-leader seed 0: score ")
    run = tmp_path / "run"
    command = start(moma, run, "reacher-tiny", "--run-dir", run)
    pid = processes(run)["learner-1"]["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: processes(run)["learner"]["restarts"] == 1, 30, "restart of both", command)
    assert command.wait(180) == 0, command.err
    assert f"fault: learner-1 (process {pid}) was killed by SIGKILL" in command.err
    said = (run / "logs" / "learner.log").read_text()
    assert f"learner-1 (process {pid}) has ended" in said
    result = read(run / "result.json")
    assert (result["updates"], result["resumes"]) == (ROUNDS, 1)
    newest = f"checkpoints/{ROUNDS:08d}/tensors.safetensors"
    assert differing(load_file(tmp_path / "straight" / newest), load_file(run / newest)) == []


def test_an_interrupted_run_saves_and_goes_on_with_another_number_of_learners(moma, tmp_path):
    run = tmp_path / "run"
    command = start(moma, run, "reacher-tiny", "--run-dir", run)
    pids = pids_of(run)
    for pid in pids:  # a batch system asks all of them at once
        os.kill(pid, signal.SIGTERM)
    assert command.wait(20) == 3, command.err
    until(lambda: not alive(pids), 5, "end of every process")
    kept = max(int(path.name) for path in (run / "checkpoints").glob("0*"))
    assert kept == read(run / "learner.json")["round"] >= 2
    further = ("--learners", "3", "--ppo.rounds", str(kept + 2))
    command = moma("train", "--resume", run, *further)
    assert command.wait(120) == 0, command.err
    assert {"learner-1", "learner-2"} <= set(processes(run))
    assert read(run / "result.json")["updates"] == kept + 2


def test_one_process_is_no_group(moma, tmp_path):
    command = moma("train", "reacher-tiny", "--in-process", "--run-dir", tmp_path / "run", *TWO)
    assert command.wait(30) == 2
    assert "--in-process is one process; leave out --learners 2" in command.err
