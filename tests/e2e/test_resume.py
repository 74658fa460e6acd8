"""Ctrl-C, then `--resume`: nothing is lost, nothing is done twice, the bits are the same."""

from __future__ import annotations

import os
import re
import signal

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


@pytest.mark.reliability(3, "resume_bitwise")
def test_stopped_and_resumed_equals_uninterrupted_bit_for_bit(moma, tmp_path, alone, other_seed):
    run = tmp_path / "run"
    words = ("--run-dir", run, "--workers", "1", *EXACT)
    first = moma("train", "reacher-tiny", *words, name="first")
    until(lambda: rounds(run) >= 5, 60, "fifth round", first)
    until(lambda: len(processes(run)) == 3, 10, "table of three processes", first)
    pids = pids_of(run)
    assert len(alive(pids)) == 4
    os.kill(first.pid, signal.SIGINT)
    assert first.wait(20) == 3, first.err
    assert alive(pids) == []
    assert f"go on with: moma train --resume {run}" in first.err.splitlines()[-1]
    stopped_at = rounds(run)
    assert 5 <= stopped_at < ROUNDS
    (latest,) = (run / "checkpoints" / "LATEST").read_text().split()
    assert int(latest) >= stopped_at
    assert not (run / "result.json").exists()

    told = re.search(r"go on with: moma (.*)", first.err)[1].split()
    second = moma(*told, name="second")
    assert second.wait(300) == 0, second.err
    result = read(run / "result.json")
    assert (result["updates"], result["resumes"], result["faults"]) == (ROUNDS, 1, [])
    assert result["transitions"] == read(alone / "result.json")["transitions"]
    assert differing(tensors(alone), tensors(run)) == []
    assert differing(tensors(other_seed), tensors(run)) != []
