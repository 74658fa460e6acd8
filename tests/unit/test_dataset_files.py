"""Files of a log that are missing, cut, pickled or of another kind are refused by name."""

import json
import pickle
import shutil

import numpy as np
import pytest

from moma_core.datasets import Dataset, DatasetError, EpisodeWriter, step_of
from moma_core.datasets.dataset import spec_of
from tests.builders import CHOICES, SPEC, write_dataset

ARRAYS = ("state", "action", "reward", "terminated", "truncated", "episode_start")


@pytest.fixture
def copy(dataset, tmp_path):
    """A copy of the log that a test may spoil."""
    return shutil.copytree(dataset.path, tmp_path / "copy")


def refused(path, *words):
    with pytest.raises(DatasetError) as error:
        Dataset.load(path)
    for word in words:
        assert word in str(error.value), f"{word!r} is not in {error.value}"


@pytest.mark.parametrize("name", ARRAYS)
def test_a_missing_array_is_refused(copy, name):
    (copy / f"{name}.npy").unlink()
    refused(copy, f"{name}.npy", "cannot be read")


def test_a_missing_meta_and_a_missing_directory_are_refused(copy):
    (copy / "meta.json").unlink()
    refused(copy, "meta.json", "is this a dataset?")
    refused(copy / "nowhere", "nowhere", "is this a dataset?")


class Bomb:
    """What a pickle could do to whoever opens it."""

    fired = False

    def __reduce__(self):
        return (setattr, (Bomb, "fired", True))


def test_pickled_arrays_are_refused_and_nothing_in_them_runs(copy):
    np.save(copy / "reward.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    refused(copy, "reward.npy", "no plain .npy array")
    (copy / "reward.npy").write_bytes(pickle.dumps(Bomb()))
    refused(copy, "reward.npy", "no plain .npy array")
    assert not Bomb.fired


@pytest.mark.parametrize("keep", [0, 5, 100, -1, -200])
def test_a_truncated_array_is_refused(copy, keep):
    content = (copy / "state.npy").read_bytes()
    (copy / "state.npy").write_bytes(content[:keep])
    refused(copy, "state.npy")


def test_an_archive_in_place_of_an_array_is_refused(copy):
    with (copy / "reward.npy").open("wb") as file:
        np.savez(file, reward=np.zeros(3, np.float32))
    refused(copy, "reward.npy")


def test_a_scalar_in_place_of_an_array_is_refused(copy):
    np.save(copy / "reward.npy", np.float32(1.0))
    refused(copy, "reward.npy")


def meta(path, change):
    document = json.loads((path / "meta.json").read_text())
    change(document)
    (path / "meta.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda m: m.update(schema="moma-dataset-2"), "moma-dataset-2"),
        (lambda m: m.pop("schema"), "None"),
        (lambda m: m.pop("task"), "task"),
        (lambda m: m.update(task=[1]), "task"),
        (lambda m: m["task"].pop("agents"), "agents"),
        (lambda m: m["task"].update(colour="red"), "colour"),
        (lambda m: m["task"].update(episode_limit="long"), "episode_limit"),
        (lambda m: m["task"].update(episode_limit=7), "more than the episode_limit of 7"),
        (lambda m: m["task"].update(discrete=0), 'field "discrete"'),
        (lambda m: m["task"].update(agents="ab"), 'field "agents"'),
        (lambda m: m["task"].update(discrete=[False]), "discrete needs one entry per agent: 2"),
        (lambda m: m["task"].update(discrete=True), "discrete actions of wide are one-hot"),
        (lambda m: m["task"].update(observation_index=[[0, 2, 4], [1, 9]]), "feature 9"),
    ],
)
def test_a_wrong_meta_is_refused(copy, change, word):
    meta(copy, change)
    refused(copy, "meta.json", word)


@pytest.mark.parametrize("everyone", [False, True])
def test_a_meta_that_says_discrete_once_for_the_team_is_read_as_before(tmp_path, everyone):
    spec = CHOICES if everyone else SPEC
    state, action = np.zeros((2, 5), np.float32), np.zeros((1, 2, spec.action_width), np.float32)
    action[..., 0] = everyone
    with EpisodeWriter(spec, tmp_path / "log", {}) as writer:
        writer.add(state, action, np.zeros(1, np.float32), terminated=False)
    meta(tmp_path / "log", lambda m: m["task"].update(discrete=everyone))
    data = Dataset.load(tmp_path / "log")
    assert data.spec == spec == spec_of(tmp_path / "log")
    assert data.spec.discrete == (everyone, everyone)


def test_a_meta_that_is_not_json_is_refused(copy):
    (copy / "meta.json").write_text("{")
    refused(copy, "meta.json", "not JSON")


def test_time_stamps_say_how_long_a_step_takes(tmp_path):
    log = write_dataset(tmp_path / "log", episodes=3)
    assert step_of(log.path) is None
    with EpisodeWriter(SPEC, tmp_path / "timed", {}) as writer:
        for number in range(3):
            state, action, reward = log.episode(number)
            stamp = 1e9 * number + 0.05 * np.arange(len(state))  # no step leads to the next one
            stamp[-1] = np.nan if number else stamp[-2]
            beside = {"timestamp": stamp}
            writer.add(state, action, reward, terminated=False, beside=beside)
    assert step_of(tmp_path / "timed") == 0.05


@pytest.mark.parametrize("wrong", [0, -1, "fast", float("inf"), True])
def test_a_step_that_is_no_duration_is_refused(copy, wrong):
    meta = json.loads((copy / "meta.json").read_text())
    (copy / "meta.json").write_text(json.dumps(meta | {"seconds_per_step": wrong}))
    with pytest.raises(DatasetError):
        step_of(copy)
