"""Logs and models that are made once for all unit tests. Nobody may change them."""

import pytest

from tests.builders import write_dataset


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """A log of the lopsided task without terminals."""
    return write_dataset(tmp_path_factory.mktemp("data") / "plain")


@pytest.fixture(scope="session")
def terminal_dataset(tmp_path_factory):
    """A log in which episodes end where feature a passes 0.5."""
    path = tmp_path_factory.mktemp("data") / "terminals"
    return write_dataset(path, episodes=60, terminals=True, seed=1)
