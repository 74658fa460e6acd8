"""Behaviour cloning as a run of real processes: one learner, no model; killed, it goes on."""

from __future__ import annotations

import os
import signal

from safetensors.torch import load_file

from tests.e2e.commands import differing, processes, read, rounds, until

ROUNDS = 8
WORDS = (
    "train", "icg", "--algorithm", "bc", "--bc.rounds", str(ROUNDS), "--bc.patience", "50",
    "--checkpoint-every", "1", "--threads", "1", "--eval.every", "0",
)  # fmt: skip


def last(run):
    return load_file(run / "checkpoints" / f"{ROUNDS:08d}" / "tensors.safetensors")


def test_a_cloning_run_has_one_process_and_no_model_and_survives_a_kill(moma, tmp_path):
    straight = tmp_path / "straight"
    command = moma(*WORDS, "--run-dir", straight, name="straight")
    assert command.wait(120) == 0, command.err
    assert "score 1.000" in command.out.splitlines()[-1]
    result = read(straight / "result.json")
    assert [entry["role"] for entry in result["processes"]] == ["learner"]
    assert not (straight / "model").exists()

    killed = tmp_path / "killed"
    command = moma(*WORDS, "--run-dir", killed, name="killed")
    until(lambda: rounds(killed) >= 2, 60, "second round", command)
    os.kill(processes(killed)["learner"]["pid"], signal.SIGKILL)
    assert command.wait(120) == 0, command.err
    result = read(killed / "result.json")
    assert (result["updates"], len(result["faults"])) == (ROUNDS, 1)
    assert differing(last(straight), last(killed)) == []
    # Negative control: another seed clones to other bits.
    other = tmp_path / "other"
    command = moma(*WORDS, "--run-dir", other, "--seed", "1", name="other")
    assert command.wait(120) == 0, command.err
    assert differing(last(straight), last(other)) != []


def test_a_setting_of_the_model_is_refused_by_its_name(moma):
    command = moma("train", "icg", "--algorithm", "bc", "--model.width", "7")
    assert command.wait(30) == 2
    assert "--model.width means nothing to --algorithm bc" in command.err
