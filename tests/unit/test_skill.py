"""The error of a model's states, in those of the simplest predictions."""

import numpy as np
import pytest
import torch

from moma.evaluation import skill
from moma_core import seeds
from moma_core.datasets import Dataset, EpisodeWriter
from moma_core.datasets.holdout import split
from moma_core.types import Prediction
from tests.builders import SPEC, random_action


@pytest.fixture
def coins(tmp_path):
    """A log in which nobody can tell what comes next: every feature is a coin."""
    random = np.random.default_rng(0)
    with EpisodeWriter(SPEC, tmp_path / "log", {"maker": "tests"}) as writer:
        for _ in range(400):
            state = random.integers(2, size=(9, 5)).astype(np.float32)
            action = np.stack([random_action(random) for _ in range(8)])
            writer.add(state, action, np.zeros(8, np.float32), terminated=False)
    return Dataset.load(tmp_path / "log")


class Coins:
    """Says of every feature what a coin says, with a chance that may be wrong."""

    def __init__(self, share):
        self.share = share

    def describe(self):
        raise NotImplementedError

    def metrics(self):
        return {}

    def predict(self, query):
        columns = [seeds.uniform(seeds.along(query.seed, query.age, k)) for k in range(5)]
        zeros = torch.zeros(query.rows)
        return Prediction(
            next_state=(torch.stack(columns, 1) < self.share).float(),
            reward=zeros,
            terminated=zeros > 0,
            disagreement=zeros,
            aleatoric=zeros,
            reward_disagreement=zeros,
            outside=torch.zeros(query.rows, 6, dtype=torch.bool),
            model="coins",
        )


def test_a_model_of_a_coin_is_as_good_as_any_and_a_wrong_one_is_not(coins):
    right, wrong = (
        skill.skill(Coins(share), coins, *split(coins, 0.1, "episode", 0), 0).state_error
        for share in (0.5, 0.95)
    )
    assert right == pytest.approx(1.0, abs=0.03)
    assert wrong > 1.2


def test_the_chance_of_few_draws_is_no_error(coins, monkeypatch):
    few = []
    for draws in (2, 8):
        monkeypatch.setattr(skill, "_DRAWS", draws)
        few.append(skill.skill(Coins(0.5), coins, *split(coins, 0.1, "episode", 0), 0).state_error)
    # With the chance of two draws in it, it would be the root of 1.5.
    assert few == pytest.approx([1.0, 1.0], abs=0.05)
