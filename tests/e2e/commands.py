"""`moma` as a user starts it: real processes, found again and ended by their ids."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time

import psutil
from safetensors.torch import load_file

ROUNDS = 60
"""Of the runs that are compared: some seconds of training, enough to interrupt."""
EXACT = ("--deterministic", "--threads", "1", "--ppo.rounds", str(ROUNDS), "--eval.every", "0")
"""Conditions under which a run's bits do not depend on who computed what when."""


class Command:
    """One `moma` process with its output in two files."""

    def __init__(self, directory, name, words):
        self.out_file, self.err_file = directory / f"{name}.out", directory / f"{name}.err"
        with self.out_file.open("wb") as out, self.err_file.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "moma", *map(str, words)],
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        self.pid = self.process.pid

    @property
    def out(self):
        return self.out_file.read_text()

    @property
    def err(self):
        return self.err_file.read_text()

    def wait(self, within_s):
        """Returns the exit status."""
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"still running after {within_s} s: {self.out}{self.err}"
            ) from None

    def finish(self):
        """Ends what is left of it, children first."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


def until(true, within_s, what, command=None):
    """Polls until `true()` holds; fails at once when the command that should bring it has ended."""
    end = time.monotonic() + within_s
    while not (found := true()):
        ended = command is not None and command.process.poll() is not None
        words = f": {command.out}{command.err}" if command else ""
        assert not ended, f"ended before there was a {what}{words}"
        assert time.monotonic() < end, f"no {what} within {within_s} s{words}"
        time.sleep(0.03)
    return found


def read(path):
    """Returns a JSON file, or {} while it does not exist."""
    return json.loads(path.read_text()) if path.exists() else {}


def processes(run):
    """Role to what status.json says of its process."""
    return {entry["role"]: entry for entry in read(run / "status.json").get("processes", [])}


def rounds(run):
    """How many rounds the learner of a distributed run has done."""
    return read(run / "learner.json").get("round", 0)


def alive(pids):
    """Those that run; a zombie does not."""
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
    return found


def pids_of(run):
    """The run's processes, `moma train` included."""
    status = read(run / "status.json")
    return [status["pid"], *(entry["pid"] for entry in status["processes"])]


def tensors(run):
    """The last checkpoint's tensors, which must be those of the last round."""
    path = run / "checkpoints" / f"{ROUNDS:08d}" / "tensors.safetensors"
    assert path.exists(), sorted(path.parents[1].iterdir())
    return load_file(path)


def differing(one, other):
    """Names of tensors that differ in a bit."""
    assert one.keys() == other.keys()
    return sorted(
        name for name in one if one[name].numpy().tobytes() != other[name].numpy().tobytes()
    )
