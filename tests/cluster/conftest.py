"""Machines in namespaces for every test, and a look at a run that is trained on them."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from tests.cluster import machines

ROOT = Path(__file__).parents[2]
MOMA = (sys.executable, "-m", "moma")
START_S = 400
"""Seconds for data, a model, clones, and processes on machines that share two cores with others."""


class Run:
    """A run's directory, as it is seen while the run is trained."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str) -> dict:
        """Returns a JSON file, or {} while it does not exist."""
        path = self.path / name
        return json.loads(path.read_text()) if path.exists() else {}

    @property
    def round(self) -> int:
        return self.read("learner.json").get("round", 0)

    @property
    def workers(self) -> int:
        """Workers that the learner hears of."""
        return self.read("learner.json").get("workers_alive", 0)

    @property
    def faults(self) -> list[str]:
        return self.read("status.json").get("faults", [])

    def logs(self) -> str:
        """Returns the ends of all logs, for whoever wonders what happened."""
        files = sorted((self.path / "logs").glob("*.log"))
        return "\n".join(f"== {file.name}\n{file.read_text()[-1500:]}" for file in files)

    def until(self, true, within_s: float, what: str):
        """Polls until `true()` holds."""
        end = time.monotonic() + within_s
        while not (found := true()):
            assert time.monotonic() < end, f"no {what} within {within_s} s\n{self.logs()}"
            time.sleep(0.2)
        return found


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "run")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Every process finds the package and computes with one thread."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in [name for name in os.environ if name.startswith(("SLURM", "RAY_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def made(tmp_path):
    """`made(*names)` makes machines, which end with the test."""
    reason = machines.missing()
    if reason:
        pytest.skip(reason)
    started = []

    def make(*names):
        (tmp_path / "machines").mkdir()
        started.append(machines.Machines(list(names), tmp_path / "machines"))
        return started[-1].__enter__()

    yield make
    for one in started:
        one.__exit__()
