"""What comes back of a log: equal to what was written, mapped, and episode by episode."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import torch

from moma_core.datasets import Dataset, EpisodeWriter, mapped
from moma_core.storage import verify
from tests.builders import SPEC, random_action, write_dataset

ARRAYS = ("state", "action", "reward", "terminated", "truncated", "episode_start")


def episodes(count, seed=3):
    random = np.random.default_rng(seed)
    for number in range(count):
        steps = 1 + number % 4
        state = random.normal(size=(steps + 1, 5)).astype(np.float32)
        action = np.stack([random_action(random) for _ in range(steps)])
        yield state, action, random.normal(size=steps).astype(np.float32), number % 3 == 0


def test_what_is_written_comes_back_episode_by_episode(tmp_path):
    written = list(episodes(7))
    with EpisodeWriter(SPEC, tmp_path / "log", {"maker": "me"}) as writer:
        for state, action, reward, terminated in written:
            writer.add(state, action, reward, terminated=terminated)
    data = Dataset.load(tmp_path / "log")
    assert data.spec == SPEC
    assert data.origin == {"maker": "me"}
    assert data.episodes == 7
    assert data.transitions == sum(len(reward) for _, _, reward, _ in written)
    for number, (state, action, reward, terminated) in enumerate(written):
        begin = int(data.episode_start[number])
        rows = slice(begin, begin + len(reward))
        np.testing.assert_array_equal(data.state[begin + number :][: len(state)], state)
        np.testing.assert_array_equal(data.action[rows], action)
        np.testing.assert_array_equal(data.reward[rows], reward)
        last = [False] * (len(reward) - 1) + [True]
        assert data.terminated[rows].tolist() == [x and terminated for x in last]
        assert data.truncated[rows].tolist() == [x and not terminated for x in last]


def test_arrays_are_mapped_and_cannot_be_written(dataset):
    for name in ARRAYS:
        array = getattr(dataset, name)
        assert isinstance(array, np.memmap), name
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_a_written_log_carries_digests(dataset):
    verify(dataset.path)


def test_rows_pair_each_state_with_the_next_one_of_its_episode(dataset):
    index = np.array([5, 0, dataset.transitions - 1, 5])
    rows = dataset.rows(index)
    for at, row in enumerate(index):
        episode = int(np.searchsorted(dataset.episode_start, row, side="right")) - 1
        assert rows.episode[at] == episode
        assert rows.state[at].tolist() == dataset.state[row + episode].tolist()
        assert rows.next_state[at].tolist() == dataset.state[row + episode + 1].tolist()
        assert rows.reward[at] == dataset.reward[row]
        assert rows.truncated[at] == dataset.truncated[row]


def test_the_goal_is_the_same_before_and_after_every_row(dataset):
    # It never moves within an episode, so a pairing across episodes would show.
    rows = dataset.rows(np.arange(dataset.transitions))
    assert torch.equal(rows.state[:, 4], rows.next_state[:, 4])
    assert len(rows.state[:, 4].unique()) == dataset.episodes


@pytest.mark.parametrize("chunk", [1 << 24, 4 * 5])
def test_returns_are_sums_per_episode_in_any_chunks(dataset, chunk, monkeypatch):
    monkeypatch.setattr(mapped, "_CHUNK", chunk)
    edges = [*dataset.episode_start.tolist(), dataset.transitions]
    slow = [dataset.reward[a:b].astype(np.float64).sum() for a, b in pairwise(edges)]
    np.testing.assert_allclose(dataset.returns(), slow)


def test_a_log_with_a_fault_is_not_left_half_written_over_a_good_one(tmp_path):
    good = write_dataset(tmp_path / "log", episodes=2)
    before = np.array(good.reward)
    state, action, reward, _ = next(episodes(1))
    with EpisodeWriter(SPEC, tmp_path / "new", {}) as writer:
        writer.add(state, action, reward, terminated=False)

    def write(*fault):
        with EpisodeWriter(SPEC, tmp_path / "log", {}) as writer:
            writer.add(state, action, reward, terminated=False)
            writer.add(*fault, terminated=False)

    for fault in ((state[:, :4], action, reward), (state[1:], action, reward)):
        with pytest.raises(ValueError, match=r"rows of shape \(5,\)|needs 2 states"):
            write(*fault)
    np.testing.assert_array_equal(Dataset.load(tmp_path / "log").reward, before)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "new"]


def test_a_log_grows_on_disk_and_not_in_memory(tmp_path):
    state, action, reward = (np.ones(s, np.float32) for s in ((4001, 5), (4000, 2, 2), 4000))
    tracemalloc.start()
    with EpisodeWriter(SPEC, tmp_path / "log", {}) as writer:
        for _ in range(100):
            writer.add(state, action, reward, terminated=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "log/state.npy").stat().st_size > 8_000_000
    assert peak < 1_000_000
