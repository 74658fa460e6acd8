"""Several learners as roles of a run: to its result, through a killed one, from a checkpoint."""

from __future__ import annotations

import os
import signal

import pytest
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

ROUNDS = 8
pytestmark = pytest.mark.timeout(600)
TWO = (
    "--learners", "2", "--deterministic", "--threads", "1", "--ppo.rounds", str(ROUNDS),
    "--eval.every", "0", "--checkpoint-every", "2",
)  # fmt: skip


def start(moma, run, *words, name="moma"):
    """Starts a run of two learners and waits until it trains."""
    command = moma("train", *words, *TWO, name=name)
    until(lambda: rounds(run) >= 2, 180, "second round", command)
    until(lambda: len(processes(run)) == 5, 20, "table of five processes", command)
    return command


def last(run, command, number=ROUNDS):
    """The tensors of the last round's checkpoint, once it is there."""
    path = run / "checkpoints" / f"{number:08d}" / "tensors.safetensors"
    until(path.exists, 180, "last checkpoint", None if path.exists() else command)
    return load_file(path)


def test_a_killed_learner_is_named_and_the_run_ends_as_if_nothing_had_been(moma, tmp_path):
    """One of several learners is killed.

    Symptom: "learner-1 (process N) has ended, or is held up, in the middle of an update" in the
    learner's log; all learners are started again.
    Cause: One of `--learners` was killed, ran out of memory, or was stopped for long.
    What we do: An update needs all of them: the others end, and the run goes on from its newest
    checkpoint, to the same bits.
    What you do: Nothing; where it happens often, look in that learner's log, or ask for fewer.
    """
    straight = moma("train", "reacher-tiny", "--run-dir", tmp_path / "straight", *TWO)
    undisturbed = last(tmp_path / "straight", straight)
    straight.finish()
    run = tmp_path / "run"
    command = start(moma, run, "reacher-tiny", "--run-dir", run)
    pid = processes(run)["learner-1"]["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: processes(run)["learner"]["restarts"] == 1, 60, "restart of both", command)
    assert command.wait(240) == 0, command.err
    assert command.out.splitlines()[-1].startswith("reacher-leader seed 0: score ")
    assert f"fault: learner-1 (process {pid}) was killed by SIGKILL" in command.err
    said = (run / "logs" / "learner.log").read_text()
    assert f"learner-1 (process {pid}) has ended" in said
    result = read(run / "result.json")
    assert (result["updates"], result["resumes"]) == (ROUNDS, 1)
    assert differing(undisturbed, last(run, command)) == []


def test_an_interrupted_run_saves_and_goes_on_with_another_number_of_learners(moma, tmp_path):
    run = tmp_path / "run"
    command = start(moma, run, "reacher-tiny", "--run-dir", run)
    pids = pids_of(run)
    for pid in pids:  # a batch system asks all of them at once
        os.kill(pid, signal.SIGTERM)
    assert command.wait(20) == 3, command.err
    until(lambda: not alive(pids), 10, "end of every process")
    kept = max(int(path.name) for path in (run / "checkpoints").glob("0*"))
    assert kept == read(run / "learner.json")["round"] >= 2
    further = ("--learners", "3", "--ppo.rounds", str(kept + 2))
    command = moma("train", "--resume", run, *further)
    assert last(run, command, kept + 2)
    assert {"learner-1", "learner-2"} <= set(processes(run))


def test_one_process_is_no_group(moma, tmp_path):
    command = moma("train", "reacher-tiny", "--in-process", "--run-dir", tmp_path / "run", *TWO)
    assert command.wait(30) == 2
    assert "--in-process is one process; leave out --learners 2" in command.err
