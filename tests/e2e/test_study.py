"""A study as its user starts it: killed, it ends its runs, and started again it goes on."""

from __future__ import annotations

import json
import os
import signal

import psutil
import pytest

from moma.studies import rows
from tests.e2e.commands import until

ENTRY = {"task": "icg", "variant": "neutral", "words": ["icg", "--eval.every", "2"]}
CLONES = ["--bc.rounds", "2", "--bc.updates", "5"]
VALUES = ["--offline.rounds", "400", "--offline.updates", "5"]


def write(path, *methods):
    """Writes a suite of the game of choices."""
    names = ("label", "algorithm", "words")
    listed = [dict(zip(names, (label, *method), strict=True)) for label, *method in methods]
    path.write_text(json.dumps({"entries": [ENTRY], "methods": listed}))
    return path


@pytest.fixture
def suite(tmp_path):
    """Seconds of cloning, and many seconds of values."""
    return write(tmp_path / "small.json", ("bc", "bc", CLONES), ("iql", "iql", VALUES))


def runs_of(study):
    return [child for child in psutil.Process(study.pid).children() if child.is_running()]


def test_a_study_that_was_killed_goes_on_and_makes_each_row_once(moma, tmp_path, suite):
    words = ("study", suite, "--jobs", "2")
    file, values = tmp_path / "runs/studies/small.jsonl", tmp_path / "runs/studies/small"
    study = moma(*words, name="killed")
    latest = values / "icg-neutral-iql-0" / "checkpoints" / "LATEST"
    until(lambda: len(rows.read(file)) == 1 and latest.exists(), 120, "first row", study)
    children = runs_of(study)
    assert len(children) == 1
    os.kill(study.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(children, 30)
    assert alive == []
    begun = [row.algorithm for row in rows.read(file)]
    assert begun == ["bc"]

    again = moma(*words, name="again")
    assert again.wait(240) == 0, again.err
    made = rows.read(file)
    assert sorted(row.algorithm for row in made) == ["bc", "iql"]
    (row,) = [row for row in made if row.algorithm == "iql"]
    assert (row.name, row.seed, row.rounds, len(row.curve)) == ("icg/neutral", 0, 400, 200)
    assert json.loads((values / "icg-neutral-iql-0" / "result.json").read_text())["resumes"] >= 1
    assert row.seconds["total"] > 0
    assert len(row.data_sha256) == 64
    assert {r.data_sha256 for r in made} == {row.data_sha256}  # both learned from the same data

    third = moma(*words, name="third")
    assert third.wait(60) == 0
    assert "0 of 2 runs are missing" in third.out

    compared = moma("compare", file, "--out", tmp_path / "page", name="compare")
    assert compared.wait(60) == 0, compared.err
    assert "| icg/neutral |" in compared.out
    assert {path.name for path in (tmp_path / "page").iterdir()} == {
        "curves.png", "page.html", "profiles.png", "scores.png", "tables.md",
    }  # fmt: skip


def test_a_run_that_fails_is_told_and_is_no_row(moma, tmp_path):
    suite = write(tmp_path / "bad.json", ("omar", "omar", []), ("bc", "bc", CLONES))
    study = moma("study", suite, "--jobs", "1", name="bad")
    assert study.wait(120) == 1
    assert "FAILED with status 2: icg-neutral-omar-0" in study.out
    assert "learns continuous actions" in study.out
    assert "1 runs failed: icg-neutral-omar-0" in study.err
    assert [r.algorithm for r in rows.read(tmp_path / "runs/studies/bad.jsonl")] == ["bc"]


def test_a_study_ends_at_its_limit_with_the_command_that_goes_on(moma, suite):
    study = moma("study", suite, "--jobs", "2", "--minutes", "0.001", name="short")
    assert study.wait(120) == 3
    assert "2 runs are missing; go on with: moma study" in study.err
