"""Three gigabytes of log are looked through and described in less than one of memory."""

from __future__ import annotations

import sys

import pytest

from tests.builders import sparse_dataset
from tests.integration import used

GIGABYTES, MAX_RSS, MAX_CPU_S = 3.0, 1e9, 60.0
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
    """Runs Python with some words, in bounded memory and time; returns what it said."""

    def run(*words):
        status, said, peak, seconds = used.run([sys.executable, *words], root, tmp_path)
        assert status == 0, said
        assert peak < MAX_RSS
        assert seconds < MAX_CPU_S
        return said

    return run


def test_check_stays_small(log, measured):
    said = measured("-m", "moma", "data", "check", log)
    assert "transitions that are there again (99.8% of all)" in said


def test_card_stays_small(log, measured, tmp_path):
    page = tmp_path / "card.html"
    measured("-m", "moma", "data", "card", log, "--out", page)
    assert "SACo, values as they are" in page.read_text()


def test_a_careless_look_would_be_noticed(log, root, tmp_path):
    status, said, peak, _ = used.run([sys.executable, "-c", CARELESS, log], root, tmp_path)
    assert status == 0, said
    assert peak > MAX_RSS
