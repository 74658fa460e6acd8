"""Ctrl-C at any moment: the end comes within 20 s, in a line and without a traceback."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.e2e.commands import EXACT, alive, pids_of, processes, until

LIMIT_S = 20.0


def stopped(command, number=signal.SIGINT):
    """Sends a signal from outside and returns the seconds until the end, which it checks."""
    begun = time.monotonic()
    os.kill(command.pid, number)
    assert command.wait(LIMIT_S) == 3, command.err
    assert "Traceback" not in command.err
    return time.monotonic() - begun


@pytest.fixture(scope="module")
def start_s():
    """Processor seconds that Python takes on this machine to come to our first line."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(2):
        subprocess.run([sys.executable, "-c", "import moma.cli.main"], check=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 2


@pytest.mark.reliability(16, "sigterm_grace")
@pytest.mark.parametrize("computed_s", [0.25, 0.5, 1.0, 2.0])
def test_in_the_first_seconds_it_is_a_line(moma, tmp_path, start_s, computed_s):
    command = moma("train", "reacher-tiny", "--run-dir", "run", *EXACT)
    # Of its own time after Python's, whose own start nobody but Python can take in good order.
    running = psutil.Process(command.pid)
    until(lambda: sum(running.cpu_times()[:2]) >= start_s + computed_s, 60, "work", command)
    if command.process.poll() is None:
        stopped(command)
    assert re.search(r"^(stopped|ended in the middle)", command.err, re.MULTILINE), command.err
    run = tmp_path / "run"
    assert not run.exists() or (run / "config.json").exists()


@pytest.mark.reliability(16, "sigterm_grace")
def test_while_the_model_is_fitted_and_while_roles_start(moma, tmp_path):
    """Ctrl-C comes while nobody can take it at once.

    Symptom: "ended in the middle of its work, 18 s after it was asked to".
    Cause: A step that takes longer than a stop may.
    What we do: The process ends all the same: files are whole or absent at any time.
    What you do: Go on with the command that was printed.
    """
    run = tmp_path / "run"
    words = ("train", "reacher-tiny", "--run-dir", run, *EXACT)
    command = moma(*words, "--model.updates", "100000", "--model.patience", "9999")
    status = run / "status.json"
    until(lambda: status.exists() and "update" in status.read_text(), 60, "fit", command)
    stopped(command)
    assert "stopped in phase fit" in command.err

    again = tmp_path / "again"
    command = moma("train", "reacher-tiny", "--run-dir", again, *EXACT)
    until((again / "status.json").exists, 30, "status", command)
    phase = lambda: json.loads((again / "status.json").read_text())["phase"]  # noqa: E731
    until(lambda: phase() == "train", 60, "start of the roles", command)
    stopped(command)
    pids = pids_of(again)
    assert alive(pids) == []
    assert len(processes(again)) >= 1


@pytest.mark.reliability(16, "sigterm_grace")
def test_a_library_that_catches_everything_does_not_swallow_it():
    """Negative control: Python's own KeyboardInterrupt is swallowed there, and the work goes on."""
    swallowing = (
        "import os, signal, time\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT); time.sleep(1)\n"
        "except BaseException:\n    pass\n"
        "print('went on')"
    )
    ours = "from moma_core import stopping; stopping.leave_when_asked()\n"
    for before, status, out, err in (("", 0, "went on\n", ""), (ours, 3, "", "stopped\n")):
        words = [sys.executable, "-c", before + swallowing]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (status, out, err)


def test_whoever_does_not_come_to_an_end_is_ended():
    """Negative control of the limit: without it the process goes on for a minute."""
    program = (
        "import sys, time; from moma_core.runtime import process;"
        "process._LIMIT_S = float(sys.argv[1]);"
        "process.main(lambda: (process.begin(), process.goes_on_with('again'), "
        "print('ready', flush=True), time.sleep(60)))"
    )

    for limit, ended in (("0.5", True), ("600", False)):
        with subprocess.Popen(
            [sys.executable, "-c", program, limit], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as running:
            assert running.stdout.readline() == b"ready\n"
            running.send_signal(signal.SIGINT)
            time.sleep(3)
            assert (running.poll() == 3) is ended
            running.kill()
            words = running.stderr.read().decode()
            assert (
                "ended in the middle of its work" in words and "go on with: again" in words
            ) is ended
