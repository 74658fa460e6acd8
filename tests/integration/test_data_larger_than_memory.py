"""A log of 6 GB is looked through and described in less than 2 GB of resident memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.builders import write_sparse

LOG, LIMIT = 6 * 10**9, 2 * 10**9
MEASURED = """
import resource, sys
{work}
sys.stdout.write(f"resident: {{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}}")
"""
COMMAND = "from launch import cli\nassert cli.main(sys.argv[1:]) == 0"
CARELESS = """
from pathlib import Path
from moma.data import Dataset
Dataset.load(Path(sys.argv[1]), checked=False).state[::10].any()
"""


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    path = write_sparse(tmp_path_factory.mktemp("large") / "log", LOG)
    files = [file.stat() for file in path.iterdir()]
    assert sum(file.st_size for file in files) == pytest.approx(LOG, rel=0.01)
    assert sum(file.st_blocks * 512 for file in files) < LOG / 100
    return path


def start(work, *words):
    """Starts a process that ends by saying how much memory it held at most."""
    command = [sys.executable, "-c", MEASURED.format(work=work), *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process):
    """What the process said, and the largest number of bytes that it held."""
    said, _ = process.communicate(timeout=280)
    assert process.returncode == 0, said
    said, _, resident = said.rpartition("resident: ")
    return said, int(resident)


def test_check_and_card_stay_small(log, tmp_path):
    page = tmp_path / "card.html"
    check, card = (
        start(COMMAND, "data", "check", log),
        start(COMMAND, "data", "card", log, "--out", page),
    )
    (found, for_check), (_, for_card) = finish(check), finish(card)
    assert "transitions that are there again (100.0% of all)" in found
    assert "SACo, values as they are" in page.read_text()
    assert max(for_check, for_card) < LIMIT, (for_check, for_card)


def test_a_careless_look_would_be_noticed(log):
    _, resident = finish(start(CARELESS, log))
    assert resident > LIMIT
