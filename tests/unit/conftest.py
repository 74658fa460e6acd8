"""Logs and models that are made once for all unit tests. Nobody may change them."""

import pytest
import torch

from tests.builders import write_dataset


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
