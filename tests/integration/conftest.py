"""One fitted tiny run and one process with both servers, shared by all integration tests."""

from __future__ import annotations

import json
import logging
import select
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from moma.cli.main import main
from moma_core.address import Address
from tests.integration.parts import fit_run, open_model

ROOT = Path(__file__).resolve().parents[2]
_START_S = 60.0


@dataclass(frozen=True)
class Peer:
    """A process that serves both ports."""

    pid: int
    dynamics: Address
    learner: Address


@pytest.fixture(scope="session")
def root():
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run directory with data and model. Nobody may change it."""
    return fit_run(tmp_path_factory.mktemp("fitted") / "tiny")


@pytest.fixture(scope="session")
def model(run):
    """The fitted world model, in this process."""
    return open_model(run)


@pytest.fixture
def cli():
    """Runs a `moma` command in this process; its signal handlers and log are taken back."""

    def run(*words):
        numbers = (signal.SIGINT, signal.SIGTERM)
        handlers, log = [signal.getsignal(n) for n in numbers], list(logging.getLogger().handlers)
        try:
            return main([str(word) for word in words])
        finally:
            for number, handler in zip(numbers, handlers, strict=True):
                signal.signal(number, handler)
            logging.getLogger().handlers = log

    return run


@pytest.fixture
def one_thread():
    """Torch on one thread, so that equal work gives equal bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def peer(run, tmp_path_factory):
    """Both servers in a process of their own."""
    log = tmp_path_factory.mktemp("peer") / "stderr.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.serve_both", str(run.path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
    try:
        ready, _, _ = select.select([process.stdout], [], [], _START_S)
        line = process.stdout.readline() if ready else b""
        assert line, f"the servers did not start: {log.read_text()}"
        told = json.loads(line)
        yield Peer(told["pid"], *(Address.parse(told[port]) for port in ("dynamics", "learner")))
        process.stdin.close()
        assert process.wait(20) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stdin.close()


@pytest.fixture
def own_signals():
    """Takes back what a command did to this process: signal handlers, logging, threads."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers, log = [signal.getsignal(n) for n in numbers], list(logging.getLogger().handlers)
    threads = torch.get_num_threads()
    yield
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)
    logging.getLogger().handlers = log
    torch.set_num_threads(threads)
