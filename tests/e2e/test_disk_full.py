"""A disk that fills while a run trains: what is there stays whole, and the run goes on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

import pytest

from learner import checkpoint
from tests.e2e.commands import EXACT, read, rounds, until

SIZE = 24 << 20


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    if (
        shutil.which("mount") is None
        or subprocess.run(words, check=False, capture_output=True).returncode
    ):
        pytest.skip("this machine does not let us mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(path):
    """Writes until there is no room."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            pass
    return path


@pytest.mark.reliability(15, "disk_full")
def test_a_full_disk_costs_checkpoints_and_not_the_run(moma, disk):
    """The disk of a run fills and is emptied again.

    Symptom: "fault: the disk of RUN is full" on the screen.
    Cause: Somebody, or the run itself, has filled the disk.
    What we do: Training goes on; checkpoints that are there stay whole, and the next one is
    tried when it is due.
    What you do: Free some space. What was not saved is lost only if the run is ended before.
    """
    run = disk / "run"
    command = moma("train", "reacher-tiny", "--run-dir", run, *EXACT, "--ppo.rounds", "100000")
    until(lambda: rounds(run) >= 3, 60, "third round", command)
    filler = fill(disk / "filler")
    said = f"fault: the disk of {run} is full"
    until(lambda: said in command.err, 20, "word of the full disk", command)
    whole = checkpoint.newest(run / "checkpoints")
    assert whole is not None
    checkpoint.actors(whole)
    filler.unlink()
    until(lambda: int(checkpoint.newest(run / "checkpoints").name) > int(whole.name) + 2, 30,
          "checkpoint once there is room", command)  # fmt: skip
    os.kill(command.pid, signal.SIGINT)
    assert command.wait(20) == 3, command.err
    assert "Traceback" not in command.err
    assert [p for p in run.rglob("*") if ".tmp" in p.name] == []
    # It was the disk that was said, and nobody died of it.
    others = [fault for fault in read(run / "status.json")["faults"] if "is full" not in fault]
    assert [fault for fault in others if "No space left" not in fault] == []


@pytest.mark.reliability(15, "disk_full")
def test_a_disk_that_is_full_at_the_start_is_one_line_and_leaves_nothing(moma, disk):
    run = disk / "run"
    fill(disk / "filler")
    command = moma("train", "reacher-tiny", "--run-dir", run, *EXACT)
    assert command.wait(60) == 2
    (line,) = command.err.splitlines()
    assert f"{run}" in line
    assert "the disk is full" in line
    assert not run.exists()
