"""Six gigabytes of log are looked through and described in less than two of memory."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.builders import sparse_dataset

GIGABYTES, MAX_RSS, MAX_CPU_S = 6.0, 2e9, 60.0
CARELESS = """
import sys
from pathlib import Path
from moma_core.datasets import Dataset
Dataset.load(Path(sys.argv[1]), checked=False).state[::5].any()
"""


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return sparse_dataset(tmp_path_factory.mktemp("large") / "log", GIGABYTES)


@pytest.fixture
def measured(tmp_path, root):
    """Runs Python with some words; returns what it said, and what it used."""

    def run(*words):
        with (tmp_path / "said").open("w") as said:
            command = [sys.executable, *map(str, words)]
            process = subprocess.Popen(command, cwd=root, stdout=said, stderr=said)
            _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said = (tmp_path / "said").read_text()
        assert process.returncode == 0, said
        return said, used

    return run


def test_check_stays_small(log, measured):
    said, used = measured("-m", "moma", "data", "check", log)
    assert "transitions that are there again (99.9% of all)" in said
    assert used.ru_maxrss * 1024 < MAX_RSS
    assert used.ru_utime < MAX_CPU_S


def test_card_stays_small(log, measured, tmp_path):
    page = tmp_path / "card.html"
    _, used = measured("-m", "moma", "data", "card", log, "--out", page)
    assert "SACo, values as they are" in page.read_text()
    assert used.ru_maxrss * 1024 < MAX_RSS
    assert used.ru_utime < MAX_CPU_S


def test_a_careless_look_would_be_noticed(log, measured):
    _, used = measured("-c", CARELESS, log)
    assert used.ru_maxrss * 1024 > MAX_RSS
