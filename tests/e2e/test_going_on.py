"""A run goes on beside a stranger who only asks, and after its processes were stopped."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.e2e.commands import Command, processes, read, rounds, until

NAMED_S = 15.0
WARM, WINDOW_S = 40, 3.0
"""Rounds after which a newcomer that only asks is tried seldom, and seconds of a window."""
LEAST, PAIRS = 0.7, (3, 12)
"""Share of the rounds made alone, and pairs of windows that it is taken from: other work on the
machine is noise, which more of them average out."""
ROLES = ("worker-0", "model-server-0", "learner")


@pytest.fixture(scope="module")
def endless(tmp_path_factory):
    """A run without an end, once it trains: its directory, and its command."""
    place = tmp_path_factory.mktemp("endless")
    words = ("train", "reacher-tiny", "--ppo.rounds", "1000000", "--eval.every", "0")
    command = Command(place, "moma", (*words, "--run-dir", place / "run"))
    try:
        until(lambda: rounds(place / "run") >= 2, 240, "second round", command)
        until(lambda: len(processes(place / "run")) == 5, 10, "table of five processes", command)
        yield place / "run", command
    finally:
        command.finish()


def made(run):
    """Rounds of one window."""
    before = rounds(run)
    time.sleep(WINDOW_S)
    return rounds(run) - before


def share_beside(run, stranger):
    """Returns the rounds made beside a stranger as a share of those made alone, in turn."""
    alone = beside = 0
    for pair in range(1, PAIRS[1] + 1):
        stranger.send_signal(signal.SIGSTOP)
        alone += made(run)
        stranger.send_signal(signal.SIGCONT)
        beside += made(run)
        if pair >= PAIRS[0] and beside >= LEAST * alone:
            break
    return beside / alone


@pytest.mark.reliability(21, "overload")
def test_beside_one_who_only_asks_most_of_the_rounds_are_made(endless, record_property):
    run, command = endless
    address = read(run / "addresses" / "learner.json")["address"]
    words = (sys.executable, "-m", "tests.e2e.stranger", address, "1", "0")
    with subprocess.Popen(words, stdout=subprocess.PIPE) as stranger:
        try:
            assert stranger.stdout.readline() == b"asks\n"
            first = rounds(run)
            until(lambda: rounds(run) >= first + WARM, 200, "round beside it", command)
            share = share_beside(run, stranger)
        finally:
            stranger.kill()
    record_property("note", f"one who only asks: {share:.2f} of the rounds made alone")
    assert share >= LEAST


def said(moma, run):
    """What `moma status` says of a run."""
    command = moma("status", run, name="status")
    assert command.wait(30) == 0, command.err
    return command.out


def silent_for(text, role, pid):
    """For how long it says that a role gives no sign of life; 0 where it does not say so."""
    place = rf"^  {role}: {socket.gethostname()}, process {pid}, .*, no sign of life for (\d+) s$"
    found = re.search(place, text, re.MULTILINE)
    return int(found[1]) if found else 0


def stopped(command, table):
    """Stops the roles all at once; returns after how many seconds each was named on the screen."""
    for role in ROLES:
        os.kill(table[role]["pid"], signal.SIGSTOP)
    begun, named = time.monotonic(), {}
    while len(named) < len(ROLES):
        for role in ROLES:
            who = f"fault: {role} (process {table[role]['pid']}) on {socket.gethostname()}"
            if f"{who} has given no sign of life for 10 s" in command.err:
                named.setdefault(role, time.monotonic() - begun)
        assert time.monotonic() - begun < NAMED_S, command.err
        time.sleep(0.05)
    return named


def stopped_itself(command, moma, run):
    """Stops `moma train`; returns the seconds until `moma status` says that its word is old."""
    os.kill(command.pid, signal.SIGSTOP)
    begun = time.monotonic()
    until(lambda: ", STALE: nothing newer has come" in said(moma, run), NAMED_S, "mark", command)
    took = time.monotonic() - begun
    os.kill(command.pid, signal.SIGCONT)
    until(lambda: "STALE" not in said(moma, run), NAMED_S, "word that is new", command)
    return took


@pytest.mark.reliability(11, "frozen_peer")
def test_whoever_is_stopped_is_named_with_host_process_and_seconds(moma, endless, record_property):
    """Processes of a run are stopped by SIGSTOP, as a batch system or a tired user does.

    Symptom: "learner (process N) on HOST has given no sign of life for 10 s"; no further rounds.
    Cause: SIGSTOP, or a batch system that suspends a job in part.
    What we do: It is named within 15 s on the screen and in `moma status`; it goes on where it was
    once it may, and after 30 s it is killed and started again.
    What you do: Nothing. Where `moma status` says STALE, `moma train` itself is stopped: let it go
    on (kill -CONT), or end it and go on with --resume.
    """
    run, command = endless
    table, before = processes(run), said(moma, run)
    # Negative control: of those who run nobody says so.
    assert [silent_for(before, role, table[role]["pid"]) for role in ROLES] == [0, 0, 0]
    assert "STALE" not in before
    named, after = stopped(command, table), said(moma, run)
    assert all(silent_for(after, role, table[role]["pid"]) >= 10 for role in ROLES)
    assert "waiting for" not in re.sub(r"^  fault .*$", "", after, flags=re.MULTILINE)
    assert "the learner has said nothing for" in after
    done = rounds(run)
    for role in ROLES:
        os.kill(table[role]["pid"], signal.SIGCONT)
    until(lambda: rounds(run) > done + 2, 30, "round after they may go on", command)
    assert [entry["restarts"] for entry in processes(run).values()] == [0] * 5
    took = [*named.values(), stopped_itself(command, moma, run)]
    record_property("tried", len(took))
    record_property("passed", sum(seconds < NAMED_S for seconds in took))
    record_property("worst_s", round(max(took), 1))
