"""The worlds of the proving ground: sound environments, sound logs, and optima that are reached."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.proving.world import write
from benchmarks.proving.worlds import WORLDS
from moma.log_tools.findings import find
from moma.log_tools.importing import ImportDataError
from moma_core.datasets import Dataset
from moma_core.tasks.pettingzoo import PettingZoo, load

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PettingZoo's own tests import what it has deprecated
    from pettingzoo.test import parallel_api_test

PLAYED, IMPORTED = 40, 20
"""Episodes of the best players, and of the log: few, for the tests of all worlds add up."""
_HIGHEST = {
    "carts": 40, "carts-walls": 40, "carts-both": 40, "carts-narrow": 40, "coin": 4, "memory": 1,
    **{f"convention-{count}": 10 for count in (2, 3, 4, 6)},
}  # fmt: skip
"""What no episode can earn more than, by the rules of the world."""


def returns(episodes):
    return np.array([episode.reward.sum() for episode in episodes])


@pytest.fixture(scope="module", params=WORLDS.values(), ids=WORLDS)
def world(request):
    return request.param


@pytest.fixture(scope="module")
def log(world):
    return list(world.log(0))


def test_the_environment_is_a_parallel_env(world, capsys):
    parallel_api_test(world.make(), num_cycles=50)
    assert "Passed" in capsys.readouterr().out
    assert load(world.env) is world.make


def test_the_log_is_the_same_for_the_same_seed_alone(world, log):
    few = replace(world, episodes=5)
    for one, two, other in zip(log, few.log(0), few.log(1), strict=False):
        assert np.array_equal(one.reward, two.reward)
        assert one.terminated == two.terminated
        same = [np.array_equal(one.done[a], two.done[a]) for a in one.done]
        assert all(same)
        assert all(np.array_equal(one.seen[a], two.seen[a]) for a in one.seen)
        differ = [not np.array_equal(one.done[a], other.done[a]) for a in one.done]
        assert any(differ) or len(one.reward) < 2


def test_the_best_players_earn_the_optimum(world):
    earned = returns(world.best_play(PLAYED, seed=3))
    slack = 4 * earned.std() / np.sqrt(PLAYED) + 0.005 * abs(world.optimum)
    assert earned.mean() == pytest.approx(world.optimum, abs=slack)


def test_the_log_mixes_good_and_bad_play_and_none_is_impossible(world, log):
    earned = np.sort(returns(log))
    assert earned[-1] <= _HIGHEST[world.name]
    assert earned.mean() < earned[-len(earned) // 10 :].mean()
    assert earned.mean() < world.optimum
    assert max(len(episode.reward) for episode in log) == world.make().limit


def test_the_log_imports_without_an_error_and_fits_its_environment(world, log, tmp_path):
    few, path = replace(world, episodes=IMPORTED), tmp_path / world.name
    if not world.importable:
        with pytest.raises(ImportDataError):
            write(few, path, 0)
        return
    made, begun = write(few, path, 0), log[:IMPORTED]
    assert [made.name for made in tmp_path.iterdir()] == [world.name]
    assert made.episodes == len(begun)
    assert made.terminated == sum(episode.terminated for episode in begun)
    dataset = Dataset.load(path)
    assert not [found for found in find(dataset) if found.severity == "error"]
    assert dataset.reward.sum() == pytest.approx(returns(begun).sum(), rel=1e-4)
    env = PettingZoo(world.make, made.spec, 2)
    env.reset(0)
    state, reward, _ = env.step(sum(made.spec.action_bounds).expand(2, -1, -1) / 2)
    assert torch.isfinite(state).all()
    assert torch.isfinite(reward).all()


def test_the_carts_are_those_that_were_measured():
    log = list(WORLDS["carts"].log(0))
    earned = np.sort(returns(log))
    assert earned.mean() == pytest.approx(24.07, abs=0.005)
    assert earned[-30:].mean() == pytest.approx(30.44, abs=0.005)
    assert sum(episode.terminated for episode in log) == 17
    lowest = min(episode.seen[a][:, 0].min() for episode in log for a in episode.seen)
    assert lowest == pytest.approx(-0.81, abs=0.005)
