"""Teams settle on one convention of a log that mixes several: the whole algorithm, in seconds."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from moma import fitting, local
from moma.engines.board import Board
from moma.engines.view import PlainView
from moma.evaluation import evaluate
from moma_core import recipes
from moma_core.runtime.run import RunDirectory

GAMES = [("icg", "unfavourable"), ("polygame-plus", ""), ("polygame-minus", "")]


def small(name, variant, **ppo):
    """The recipe with a model and a training that are just enough."""
    config = recipes.get(name)
    fewer = {"members": 3, "elites": 2, "width": 32, "updates": 300}
    return replace(
        config,
        seed=1,
        data=replace(config.data, variant=variant, episodes=300),
        model=replace(config.model, **fewer),
        ppo=replace(config.ppo, **{"rounds": 25, **ppo}),
        eval=replace(config.eval, every=0),
    )


def train(path, config):
    """The run's score in the true game."""
    run = RunDirectory.create(path, config)
    board = Board(run, PlainView())
    fitting.model(run, config, board, lambda: False)
    fitting.clones(run, config, board, lambda: False)
    done, _ = local.train(run, config, board, lambda: False)
    assert done
    return evaluate.evaluate(run, config, 2)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("name", "variant"), GAMES)
def test_the_team_agrees(tmp_path, name, variant):
    score = train(tmp_path / "run", small(name, variant))
    assert score.score >= 0.95
    assert score.policy == "team"


@pytest.mark.usefixtures("one_thread")
def test_without_learning_it_does_not(tmp_path):
    # A step so small that nothing is learnt: clones, each by itself, agree by luck at most.
    config = small("polygame-plus", "", rounds=1, learning_rate=1e-9)
    assert train(tmp_path / "run", config).score < 0.1


@pytest.mark.usefixtures("one_thread")
def test_the_published_choices_go_through_a_discrete_game(tmp_path):
    config = recipes.get("icg", "reference")
    assert config.rollout.horizon == 1
    config = replace(
        config,
        model=replace(config.model, width=16, depth=2, updates=20, evaluate_every=10),
        actor=replace(config.actor, width=16, memory_width=16),
        ppo=replace(config.ppo, rounds=2),
        eval=replace(config.eval, every=0),
    )
    score = train(tmp_path / "run", config)
    assert torch.isfinite(torch.tensor(score.return_mean))
    assert score.return_mean in range(11)
