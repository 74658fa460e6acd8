"""Coverage and summary against numbers worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from moma.log_tools.coverage import coverage
from moma.log_tools.summary import summarise
from moma_core.datasets import Dataset, EpisodeWriter
from tests.builders import MIXED, SPEC, write_dataset
from tests.unit.teams import task


def log(path, spec, episodes):
    with EpisodeWriter(spec, path, {}) as writer:
        for state, action in episodes:
            reward = np.arange(len(action), dtype=np.float32)
            writer.add(np.float32(state), np.float32(action), reward, terminated=False)
    return Dataset.load(path)


def covered(data):
    return coverage(data, summarise(data).extremes)


def test_saco_is_distinct_pairs_over_transitions(tmp_path):
    states = [[0.0], [1.0], [0.0], [1.0], [5.0]]
    actions = np.array([[0.1, 0.2], [0.3, 0.4], [0.1, 0.2], [0.3, -0.4]])[:, :, None]
    found = covered(log(tmp_path / "log", task(2, 1, state=1), [(states, actions)]))
    assert found.exact == 3 / 4
    assert found.binned == 3 / 4
    assert (found.visited, found.possible) == (3, 25)


def test_cells_join_what_is_near(tmp_path):
    states = [[0.0], [0.1], [0.2], [0.9], [5.0]]
    actions = np.array([[0.1, 0.2], [0.11, 0.21], [0.12, 0.22], [0.13, 0.9]])[:, :, None]
    found = covered(log(tmp_path / "log", task(2, 1, state=1), [(states, actions)]))
    assert (found.exact, found.binned, found.visited) == (1, 2 / 4, 2)


def test_discrete_choices_are_their_own_cells(tmp_path):
    spec = task(2, 3, discrete=True, state=1)
    actions = np.eye(3)[[[0, 0], [1, 1], [0, 0], [2, 2]]]
    found = covered(log(tmp_path / "log", spec, [(np.zeros((5, 1)), actions)]))
    assert (found.exact, found.binned, found.visited, found.possible) == (0.75, 0.75, 3, 9)


def test_a_choice_is_one_cell_and_a_number_five(tmp_path):
    actions = np.zeros((4, 2, 3))
    actions[:, 0], actions[:, 1, 0] = np.eye(3)[[0, 1, 0, 0]], [0.1, 0.2, 0.2, 1.9]
    found = covered(log(tmp_path / "log", MIXED, [(np.zeros((5, 5)), actions)]))
    assert (found.exact, found.binned, found.visited, found.possible) == (1, 0.75, 3, 3 * 5)


def test_unequal_agents_have_cells_of_their_own_dimensions(dataset):
    assert covered(dataset).possible == 5**3


@pytest.mark.parametrize("size", [1 << 22, 4 * 4 * SPEC.state_width])
def test_lengths_returns_and_extremes_are_exact_in_any_pieces(dataset, size, monkeypatch):
    monkeypatch.setattr("moma.log_tools.blocks.PIECE", size)
    found = summarise(dataset)
    np.testing.assert_array_equal(found.returns, dataset.returns())
    assert found.lengths.sum() == dataset.transitions
    np.testing.assert_array_equal(found.extremes.low, dataset.state.min(axis=0))
    np.testing.assert_array_equal(found.extremes.high, dataset.state.max(axis=0))
    assert covered(dataset).exact == 1


def test_a_small_log_is_drawn_whole_and_a_large_one_in_part(tmp_path, dataset, monkeypatch):
    whole = summarise(dataset)
    row = np.arange(dataset.transitions)
    np.testing.assert_array_equal(whole.state, dataset.state[row + dataset.episode_of(row)])
    np.testing.assert_array_equal(whole.action, dataset.action)
    monkeypatch.setattr("moma.log_tools.summary.ROWS", 100)
    data = write_dataset(tmp_path / "log", episodes=100)
    part, other = summarise(data), summarise(data, seed=1)
    assert len(part.state) == 100
    assert not np.array_equal(part.state, other.state)
    assert len(np.unique(part.state, axis=0)) == 100


def test_a_constant_feature_has_no_scale(tmp_path):
    states = np.random.default_rng(0).normal(size=(9, 2))
    states[:, 1] = 1 / 3
    data = log(tmp_path / "log", replace(task(2, 1)), [(states, np.zeros((8, 2, 1)))])
    assert summarise(data).scale[1] == 0
    assert summarise(data).scale[0] > 0.1
