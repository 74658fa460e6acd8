"""What users get wrong: one line that says what and where, and a status that is not 0."""

from __future__ import annotations

import re
import shutil
import signal

import numpy as np
import pytest

from tests.builders import free_port
from tests.e2e.commands import until


def plain(text):
    """Without the frames that tyro draws and the line breaks that they force."""
    return re.sub(r"[\s│╭╮╰╯─]+", " ", text)


def spoil(dataset, name, change):
    """Changes one array of a dataset."""
    path = dataset / f"{name}.npy"
    array = np.load(path)
    change(array)
    np.save(path, array)
    return dataset


@pytest.fixture
def log(alone, tmp_path):
    """A dataset that may be spoilt."""
    return shutil.copytree(alone / "data", tmp_path / "log")


def test_wrong_words_get_the_right_ones(moma):
    wrong = {
        ("train", "reacher-tny"): ["no recipe 'reacher-tny'", "reacher-tiny"],
        ("train", "reacher-tiny", "--ppo.clp", "0.1"): ["--ppo.clp", "--ppo.clip"],
        ("trian", "reacher-tiny"): ["no command 'trian'", "train"],
        ("train",): ["which recipe?", "reacher-tiny"],
        ("train", "--resume", "nowhere"): ["nowhere holds no run"],
    }
    commands = {words: moma(*words) for words in wrong}
    for words, said in wrong.items():
        command = commands[words]
        assert command.wait(30) == 2, words
        for part in said:
            assert part in plain(command.err + command.out), words
        assert "Traceback" not in command.err


def test_a_value_out_of_range_is_named_with_its_field(moma, tmp_path):
    command = moma("train", "reacher-tiny", "--ppo.discount", "1.5")
    assert command.wait(30) != 0
    said = plain(command.err + command.out)
    assert "discount" in said
    assert "1.5" in said
    assert "(0, 1]" in said
    assert "Traceback" not in said
    assert not (tmp_path / "runs").exists()


def test_a_spoilt_dataset_is_refused_by_file_field_and_row(moma, tmp_path, log):
    def spoilt(array):
        array[137, 2] = np.nan

    spoil(log, "state", spoilt)
    command = moma("train", "reacher-tiny", "--data.path", log, "--run-dir", "run")
    assert command.wait(30) == 2
    assert f"{log}/state.npy: state[137, 2] is nan" in command.err
    assert "Traceback" not in command.err
    assert not (tmp_path / "run").exists()


def test_an_action_out_of_bounds_is_refused_by_agent(moma, log):
    def spoilt(array):
        array[5, 1, 0] = 3.0

    spoil(log, "action", spoilt)
    command = moma("fit", "reacher-tiny", "--data.path", log, "--run-dir", "run")
    assert command.wait(30) == 2
    assert re.search(r"action\.npy: action\[5\] of \S+, dimension 0, is 3\.0", command.err)


def test_a_served_model_is_checked_and_its_port_is_its_own(moma, tmp_path, alone):
    announce = tmp_path / "server.json"
    server = moma("serve", "--model", alone / "model", "--announce", announce, name="server")
    until(announce.exists, 30, "address", server)
    address = re.search(r"127\.0\.0\.1:\d+", announce.read_text())[0]
    twice = moma("serve", "--model", alone / "model", "--listen", address, name="twice")
    where = ("--model-server", address, "--run-dir", "run")
    stranger = moma("learn", "reacher-tiny", "--task", "reacher-full", *where, name="stranger")
    assert twice.wait(30) == 2
    assert re.search(rf"cannot listen on {address}: .*process {server.pid} ", twice.err)
    assert stranger.wait(30) == 2
    for part in (address, "reacher-leader", "reacher-full"):
        assert part in stranger.err.splitlines()[-1]
    assert server.process.poll() is None
    server.process.send_signal(signal.SIGTERM)
    assert server.wait(10) == 0, server.err


def test_a_worker_without_a_learner_says_so_keeps_asking_and_stops_when_told(moma):
    address = f"127.0.0.1:{free_port()}"
    worker = moma("work", "--join", address)
    first = f"waiting for the learner at {address} since 0 s"
    until(lambda: first in worker.err, 30, "word of waiting", worker)
    again = rf"waiting for the learner at {address} since ([5-9]|\d\d) s"
    until(lambda: re.search(again, worker.err), 15, "second word of waiting", worker)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 3
    assert f"stopped while waiting for the learner at {address}" in worker.err
