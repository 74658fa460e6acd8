"""The test's parts: neighbours, strength against random signs, and the smoother before them."""

import numpy as np
import pytest

from moma.log_tools.conventions.dependence import aligned, dependence, neighbours
from moma.log_tools.conventions.smoother import leave_one_out, squared_distances


def test_neighbours_are_a_tenth_of_all_pairs_and_all_ties():
    random = np.random.default_rng(0)
    near = neighbours(squared_distances(random.normal(size=(50, 2))))
    assert np.array_equal(near, near.T)
    assert near.trace() == 0
    assert near.sum() / (50 * 49) == pytest.approx(0.1, abs=0.01)
    assert neighbours(np.zeros((8, 8))).sum() == 8 * 7


ALL = 1.0 - np.eye(60)


def test_equal_choices_have_strength_one_and_no_draw_of_signs_reaches_it():
    random = np.random.default_rng(0)
    one = random.normal(size=(60, 2))
    found = dependence(np.stack([one, one, random.normal(size=(60, 2))]), ALL, 199, 0)
    assert found.strength[0, 1] == pytest.approx(1)
    assert found.p_value[0, 1] == pytest.approx(1 / 200)
    assert abs(found.strength[0, 2]) < 0.2
    assert found.p_value[0, 2] > 0.05
    assert np.array_equal(found.strength, found.strength.T)


def smallest_p_values(draw, flips, count=200):
    random = [np.random.default_rng(seed) for seed in range(count)]
    found = [dependence(draw(r), ALL, flips, seed).p_value for seed, r in enumerate(random)]
    return np.array([p_value.min() for p_value in found])


def test_p_values_of_independent_agents_are_as_small_as_they_say_and_no_more_often():
    values = smallest_p_values(lambda random: random.normal(size=(3, 60, 1)), 99)
    for level in (0.05, 0.2, 0.5):
        assert (values <= level).mean() == pytest.approx(level, abs=0.09)


def test_agents_whose_rare_choices_meet_by_chance_are_not_significant():
    values = smallest_p_values(lambda random: (random.random((3, 60, 1)) < 0.1) - 0.1, 199)
    assert (values <= 0.01).mean() <= 0.03


def test_an_agent_that_never_strays_depends_on_nobody():
    found = dependence(np.stack([np.zeros((60, 1)), np.ones((60, 1))]), ALL, 99, 0)
    assert found.strength[0, 1] == 0
    assert found.p_value[0, 1] == 1


def test_what_is_left_is_turned_as_the_neighbours_say():
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
