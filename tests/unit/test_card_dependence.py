"""The test's parts: matches, neighbours, swaps, and the smoother before them."""

import numpy as np
import pytest

from moma.data.conventions.dependence import aligned, dependence, match, neighbours
from moma.data.conventions.smoother import leave_one_out, squared_distances


def test_the_nearest_rows_are_matched_and_each_once():
    x = np.array([[0.0], [10.0], [0.1], [11.0], [50.0]])
    pairs = match(squared_distances(x))
    assert pairs.tolist() == [[0, 2], [1, 3]]


def test_neighbours_are_a_tenth_of_all_pairs_and_all_ties():
    random = np.random.default_rng(0)
    near = neighbours(squared_distances(random.normal(size=(50, 2))))
    assert np.array_equal(near, near.T)
    assert near.trace() == 0
    assert near.sum() / (50 * 49) == pytest.approx(0.1, abs=0.01)
    assert neighbours(np.zeros((8, 8))).sum() == 8 * 7


ALL = 1.0 - np.eye(60)


def test_equal_choices_have_strength_one_and_no_swap_reaches_it():
    random = np.random.default_rng(0)
    one = random.normal(size=(60, 2))
    found = dependence(np.stack([one, one, random.normal(size=(60, 2))]), ALL, 199, 0)
    assert found.strength[0, 1] == pytest.approx(1)
    assert found.p_value[0, 1] == pytest.approx(1 / 200)
    assert abs(found.strength[0, 2]) < 0.2
    assert found.p_value[0, 2] > 0.05
    assert np.array_equal(found.strength, found.strength.T)


def test_p_values_of_independent_agents_are_as_small_as_they_say_and_no_more_often():
    values = [
        dependence(np.random.default_rng(seed).normal(size=(3, 60, 1)), ALL, 99, seed).p_value
        for seed in range(200)
    ]
    smallest = np.array([value.min() for value in values])
    for level in (0.05, 0.2, 0.5):
        assert (smallest <= level).mean() == pytest.approx(level, abs=0.09)


def test_an_agent_that_never_differs_depends_on_nobody():
    found = dependence(np.stack([np.zeros((60, 1)), np.ones((60, 1))]), ALL, 99, 0)
    assert found.strength[0, 1] == 0
    assert found.p_value[0, 1] == 1


def test_differences_are_turned_as_the_neighbours_say():
    random = np.random.default_rng(0)
    half = np.arange(60) < 30
    near = (half[:, None] == half) * ALL
    one = random.normal(size=60)
    turned = aligned(np.stack([one, np.where(half, one, -one)]), near)
    assert np.corrcoef(turned)[0, 1] == pytest.approx(1)
    chance = [aligned(random.normal(size=(2, 60)), near) for _ in range(20)]
    assert np.mean([np.corrcoef(pair)[0, 1] for pair in chance]) < 0.1


def test_the_smoother_takes_out_what_the_situation_says_and_nothing_else():
    random = np.random.default_rng(0)
    x, noise = random.normal(size=(150, 2)), random.normal(size=(150, 2))
    y = np.stack([2 * x[:, 0] + np.sin(2 * x[:, 1]), np.zeros(150)], axis=1)
    left = leave_one_out(x, y + 0.1 * noise)
    assert left[:, 0].std() < 0.25 < 1 < y[:, 0].std()
    assert left[:, 1].std() == pytest.approx(0.1 * noise[:, 1].std(), rel=0.05)


def test_without_a_situation_the_mean_is_left_out():
    y = np.random.default_rng(0).normal(size=(80, 1)) + 5
    np.testing.assert_allclose(leave_one_out(np.zeros((80, 1)), y), y - y.mean(), rtol=0.03)


def test_no_row_is_predicted_from_itself():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(60, 20)), random.normal(size=(60, 1))
    changed = y.copy()
    changed[7] += 100
    left, other = leave_one_out(x, y), leave_one_out(x, changed)
    assert other[7, 0] - left[7, 0] == pytest.approx(100, rel=0.1)
