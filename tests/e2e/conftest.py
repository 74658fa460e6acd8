"""Runs that several tests look at, and a way to start commands that leaves none behind."""

from __future__ import annotations

import pytest

from tests.e2e.commands import EXACT, Command


@pytest.fixture(scope="session")
def session_moma(tmp_path_factory):
    """Starts commands for the whole session."""
    started = []

    def start(*words, name="moma", directory=None):
        directory = directory or tmp_path_factory.mktemp("moma")
        started.append(Command(directory, name, words))
        started[-1].directory = directory
        return started[-1]

    yield start
    for command in started:
        command.finish()


@pytest.fixture
def moma(tmp_path):
    """`moma(*words, name=...)` starts a command in the test's own directory."""
    started = []

    def start(*words, name="moma"):
        started.append(Command(tmp_path, f"{name}-{len(started)}", words))
        return started[-1]

    yield start
    for command in started:
        command.finish()


@pytest.fixture(scope="session")
def alone(session_moma):
    """A finished in-process run: what every other way to run the same has to equal."""
    command = session_moma("train", "reacher-tiny", "--in-process", "--run-dir", "run", *EXACT)
    assert command.wait(300) == 0, command.err
    return command.directory / "run"


@pytest.fixture(scope="session")
def other_seed(session_moma):
    """The same with another seed."""
    words = ("--in-process", "--run-dir", "run", "--seed", "1", *EXACT)
    command = session_moma("train", "reacher-tiny", *words)
    assert command.wait(300) == 0, command.err
    return command.directory / "run"


@pytest.fixture(scope="session")
def distributed(session_moma):
    """A finished distributed run with two workers, and its command."""
    words = (
        "--run-dir",
        "run",
        "--workers",
        "2",
        "--model-servers",
        "2",
        *EXACT,
        "--eval.every",
        "20",
    )
    command = session_moma("train", "reacher-tiny", *words)
    command.status = command.wait(120)
    command.run = command.directory / "run"
    return command
