"""A log is checked before it is believed: corruptions are refused by file, field, row, value."""

import shutil

import numpy as np
import pytest

from moma_core.datasets import Dataset, DatasetError

FLOATS = ("state", "action", "reward")


@pytest.fixture
def copy(dataset, tmp_path):
    """A copy of the log that a test may spoil."""
    return shutil.copytree(dataset.path, tmp_path / "copy")


def spoil(path, name, change):
    """Loads an array, lets `change` alter or replace it, and saves it."""
    array = np.load(path / f"{name}.npy")
    changed = change(array)
    np.save(path / f"{name}.npy", array if changed is None else changed)


def put(index, value):
    """A change for `spoil`: one value at one place."""

    def change(array):
        array[index] = value

    return change


def refused(path, *words):
    with pytest.raises(DatasetError) as error:
        Dataset.load(path)
    for word in words:
        assert word in str(error.value), f"{word!r} is not in {error.value}"


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize(("value", "text"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_a_value_that_is_not_finite_is_refused(copy, name, value, text):
    at = {"state": (7, 3), "action": (7, 1, 0), "reward": (7,)}[name]
    spoil(copy, name, put(at, value))
    refused(copy, f"{name}.npy", f"{name}{list(at)}", text)


def test_nothing_else_than_the_spoiling_makes_the_copy_unreadable(copy):
    assert Dataset.load(copy).transitions > 7


@pytest.mark.parametrize("name", FLOATS)
def test_a_wrong_dtype_is_refused(copy, name):
    spoil(copy, name, lambda array: array.astype(np.float64))
    refused(copy, f"{name}.npy", "float64", "float32")


def test_integer_flags_are_refused(copy):
    spoil(copy, "terminated", lambda array: array.astype(np.int8))
    refused(copy, "terminated.npy", "int8", "bool")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("state", lambda a: a[:, :-1]),
        ("state", lambda a: a[:-1]),
        ("action", lambda a: a[:, :, :1]),
        ("action", lambda a: a[:, :1]),
        ("truncated", lambda a: a[:-1]),
    ],
)
def test_a_wrong_shape_is_refused(copy, name, change):
    spoil(copy, name, change)
    refused(copy, f"{name}.npy", "shape", "lopsided")


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [
        ((4, 0, 1), 1.5, ("action[4] of wide", "dimension 1", "1.5", "[-1.0, 1.0]")),
        ((9, 1, 0), -0.75, ("action[9] of narrow", "dimension 0", "-0.75", "[-0.5, 2.0]")),
        ((3, 1, 1), 0.25, ("action[3] of narrow", "dimension 1", "0.25", "[0.0, 0.0]")),
    ],
)
def test_an_action_out_of_bounds_is_refused(copy, at, value, words):
    spoil(copy, "action", put(at, value))
    refused(copy, "action.npy", *words)


def test_a_cut_last_episode_is_refused(copy, dataset):
    spoil(copy, "truncated", put(-1, value=False))
    refused(copy, "is cut", f"row {dataset.transitions - 1}")


def test_a_cut_middle_episode_is_refused(copy, dataset):
    end = int(dataset.episode_start[3]) - 1
    spoil(copy, "truncated", put(end, value=False))
    refused(copy, "is cut", f"row {end}")


def test_an_episode_that_goes_on_after_its_end_is_refused(copy, dataset):
    assert dataset.episode_start[1] > 1
    spoil(copy, "terminated", put(0, value=True))
    refused(copy, "terminated.npy", "row 0", "goes on after it ended")


def test_both_flags_at_once_are_refused(copy, dataset):
    end = int(dataset.episode_start[2]) - 1
    spoil(copy, "terminated", put(end, value=True))
    refused(copy, "truncated.npy", f"row {end}", "both")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put(0, 1), ("episode_start[0] is 1", "need 0")),
        (lambda a: np.concatenate([a[:3], a[2:-1]]), ("episode 2", "0 steps")),
        (put(-1, 10_000), ("steps, need 1 or more",)),
        (put(3, -5), ("episode 2", "steps, need 1 or more")),
    ],
)
def test_episode_starts_that_do_not_increase_from_zero_are_refused(copy, change, words):
    spoil(copy, "episode_start", change)
    refused(copy, "episode_start.npy", *words)


def test_a_log_without_steps_is_refused(copy):
    for name in (*FLOATS, "terminated", "truncated", "episode_start"):
        spoil(copy, name, lambda array: array[:0])
    refused(copy, "reward.npy")
