"""Logs that are made once for all unit tests and that nobody may change; a server of a model."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from model_server.serving.batching import Batching
from model_server.serving.waiting import Limits
from tests.builders import write_dataset
from tests.unit.gated import Gated


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """A log of the lopsided task without terminals."""
    return write_dataset(tmp_path_factory.mktemp("data") / "plain")


@pytest.fixture(scope="session")
def terminal_dataset(tmp_path_factory):
    """A log in which episodes end where feature a passes 0.2."""
    path = tmp_path_factory.mktemp("data") / "terminals"
    return write_dataset(path, episodes=60, terminals=True, seed=1)


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Tiny tensors gain nothing by more threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def pool():
    """Threads for callers."""
    with ThreadPoolExecutor(8) as executor:
        yield executor


@pytest.fixture
def inner():
    """A model that runs when the test lets it."""
    return Gated()


@pytest.fixture
def serve(inner):
    """Makes a server around the gated model; it is let go and closed at the end."""
    made = []

    def make(alone=False, clock=time.monotonic, **limits):
        made.append(Batching(inner, Limits(**limits), alone=alone, clock=clock))
        return made[-1]

    yield make
    inner.gate.set()
    inner.fault = None
    for server in made:
        server.close()
