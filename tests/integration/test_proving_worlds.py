"""The worlds of the proving ground: sound environments, sound logs, and optima that are reached."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.proving.world import write
from benchmarks.proving.worlds import WORLDS
from moma.log_tools.findings import find
from moma_core import own_code
from moma_core.datasets import Dataset
from moma_core.tasks.pettingzoo import PettingZoo

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PettingZoo's own tests import what it has deprecated
    from pettingzoo.test import parallel_api_test

PLAYED, IMPORTED = 40, 20
"""Episodes of the best players, and of the log: few, for the tests of all worlds add up."""
_HIGHEST = {
    "carts": 40, "carts-walls": 40, "carts-both": 40, "carts-narrow": 40, "memory": 1,
    "coin": 4, "wind": 15, "slot": 10, "fork": 8,
    "payday": 4, "shift": 3.2, "delivery": 10, "once": 1, "marathon": 10,
    "random-play": 15, "clutter": 15, "offset": 15, "bounds": 5, "crew": 10, "relay": 6,
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
    assert type(own_code.load(world.env, "--env")()) is type(world.make())


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
    played = min(PLAYED, 2000 // world.make().limit)
    earned = returns(world.best_play(played, seed=3))
    slack = 4 * earned.std() / np.sqrt(played) + 0.005 * abs(world.optimum)
    assert earned.mean() == pytest.approx(world.optimum, abs=slack)


def test_the_log_mixes_good_and_bad_play_and_none_is_impossible(world, log):
    earned = np.sort(returns(log))
    assert earned[-1] <= _HIGHEST[world.name] + 1e-9
    assert earned.mean() < earned[-len(earned) // 10 :].mean()
    assert earned.mean() < world.optimum
    assert max(len(episode.reward) for episode in log) == world.make().limit


def test_the_log_imports_without_an_error(world, log, tmp_path):
    few, path = replace(world, episodes=IMPORTED), tmp_path / world.name
    made, begun = write(few, path, 0), log[:IMPORTED]
    assert [made.name for made in tmp_path.iterdir()] == [world.name]
    assert made.episodes == len(begun)
    assert made.terminated == sum(episode.terminated for episode in begun)
    dataset = Dataset.load(path)
    assert not [found for found in find(dataset) if found.severity == "error"]
    assert dataset.reward.sum() == pytest.approx(returns(begun).sum(), rel=1e-4)


def test_the_environment_goes_on_as_the_dataset_says(world, tmp_path, monkeypatch):
    monkeypatch.setattr("moma_core.seeds.derive", lambda seed, *_: seed)  # that of the log
    spec = write(replace(world, episodes=3), tmp_path / world.name, 0).spec
    data, begin = Dataset.load(tmp_path / world.name), 0
    for episode, steps in enumerate(data.lengths):
        env, first = PettingZoo(world.make, spec, 1), begin + episode
        state = env.reset(episode)[0]
        for step in range(min(steps, 50)):
            np.testing.assert_allclose(state, data.state[first + step], rtol=1e-5, atol=1e-4)
            action = torch.from_numpy(data.action[begin + step][None].copy())
            (state,), reward, over = env.step(action)
            assert reward.item() == pytest.approx(data.reward[begin + step], abs=1e-4)
            assert over.item() <= (step == steps - 1)
        begin += steps


def test_the_carts_are_those_that_were_measured():
    log = list(WORLDS["carts"].log(0))
    earned = np.sort(returns(log))
    assert earned.mean() == pytest.approx(24.07, abs=0.005)
    assert earned[-30:].mean() == pytest.approx(30.44, abs=0.005)
    assert sum(episode.terminated for episode in log) == 17
    lowest = min(episode.seen[a][:, 0].min() for episode in log for a in episode.seen)
    assert lowest == pytest.approx(-0.81, abs=0.005)
