"""The least that a log ever earned from some age on, against a slow transcription."""

import numpy as np
import pytest

from moma_core.datasets import Dataset, EpisodeWriter
from moma_core.datasets import floor as module
from moma_core.datasets.floor import floor
from tests.builders import SPEC, random_action

LIMIT = SPEC.episode_limit
ENDS = (("cut", 3), ("terminated", 2), ("whole", LIMIT), ("terminated", 5), ("cut", 6))
"""How episodes end and after how many steps: a terminal, the limit, or neither."""


def played(kinds=ENDS, seed=0):
    """Rewards of episodes and whether each terminated; those that were cut went worst."""
    random = np.random.default_rng(seed)
    return [
        (random.normal(-3.0 * (kind == "cut"), 1, steps).astype(np.float32), kind == "terminated")
        for kind, steps in kinds
    ]


def log(path, episodes):
    random = np.random.default_rng(1)
    with EpisodeWriter(SPEC, path, {}) as writer:
        for reward, terminated in episodes:
            state = random.normal(size=(len(reward) + 1, SPEC.state_width)).astype(np.float32)
            action = np.stack([random_action(random) for _ in reward])
            writer.add(state, action, reward, terminated=terminated)
    return Dataset.load(path)


def slow(episodes, discount, *, those_cut=False):
    """By age, the least that one episode after the other still earned, step by step."""
    counted = [r for r, ended in episodes if those_cut or ended or len(r) == LIMIT]
    least = []
    for age in range(LIMIT):
        to_go = [
            sum(discount**k * float(paid) for k, paid in enumerate(reward[age:]))
            for reward in counted
            if len(reward) > age
        ]
        least.append(min(to_go) if to_go else least[-1])
    return [*least, 0.0]


@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_the_floor_is_that_of_episodes_whose_end_is_known(tmp_path, discount):
    episodes = played()
    found = floor(log(tmp_path / "log", episodes), discount).tolist()
    assert found == pytest.approx(slow(episodes, discount), abs=1e-5)
    assert found[-1] == 0
    # Negative controls: episodes that were cut would count as if nothing came after; and the
    # discount matters.
    assert found != pytest.approx(slow(episodes, discount, those_cut=True), abs=1e-2)
    assert found != pytest.approx(slow(episodes, 0.5), abs=1e-2)


def test_ages_that_no_counted_episode_reached_have_the_value_of_the_last_one_reached(tmp_path):
    episodes = played((("terminated", 3), ("cut", 7), ("terminated", 5)))
    found = floor(log(tmp_path / "log", episodes), 0.9).tolist()
    assert found == pytest.approx(slow(episodes, 0.9), abs=1e-5)
    assert found[5] == found[6] == found[7] == found[4] != found[3]


def test_where_all_episodes_were_cut_they_are_all_there_is(tmp_path):
    episodes = played((("cut", 3), ("cut", 7)))
    found = floor(log(tmp_path / "log", episodes), 0.9).tolist()
    assert found == pytest.approx(slow(episodes, 0.9, those_cut=True), abs=1e-5)


def test_of_a_large_log_some_episodes_are_looked_at_always_the_same(tmp_path, monkeypatch):
    episodes = played([("whole", LIMIT)] * 40)
    data = log(tmp_path / "log", episodes)
    whole = floor(data, 1.0)
    monkeypatch.setattr(module, "_EPISODES", 4)
    some = floor(data, 1.0)
    assert (some >= whole).all()
    assert not some.equal(whole)
    assert some.equal(floor(data, 1.0))
    returns = [float(reward.sum()) for reward, _ in episodes]
    assert min(abs(some[0].item() - earned) for earned in returns) < 1e-5
