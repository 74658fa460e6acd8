"""Environments that are not ours behind `--env`: equal to stepping them by hand, end to end."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from moma_core.config import ActorConfig
from moma_core.datasets import Dataset
from moma_core.nets.policy import Actors
from moma_core.tasks import play
from moma_core.tasks.pettingzoo import PettingZoo
from tests.integration import teams
from tests.integration.teams import HALFCHEETAH, SPREAD

SEEDS = [11, 12]


@pytest.fixture
def known_seeds(monkeypatch):
    """The seeds that the copies are reset with, so that a test can repeat them."""
    monkeypatch.setattr("moma_core.seeds.derive", lambda seed, _, copy: seed + copy)


def by_hand(make, seed, actions, spec):
    """Observations side by side and mean rewards of one environment, without the adapter."""
    env, states, rewards = make(), [], []
    seen, _ = env.reset(seed=seed)
    states.append(np.concatenate([seen[agent] for agent in spec.agents]))
    for joint in actions:
        if not env.agents:
            break
        seen, reward, terminated, truncated, _ = env.step(joint)
        states.append(np.concatenate([seen[agent] for agent in spec.agents]))
        rewards.append(np.mean([reward[agent] for agent in spec.agents]))
        if all(terminated[agent] or truncated[agent] for agent in spec.agents):
            break
    return np.stack(states), np.array(rewards)


@pytest.mark.usefixtures("known_seeds")
@pytest.mark.parametrize("name", ["halfcheetah", "spread"])
def test_the_adapter_equals_the_environment_stepped_by_hand(name):
    spec, make = {
        "halfcheetah": (HALFCHEETAH, teams.halfcheetah), "spread": (SPREAD, teams.spread),
    }[name]  # fmt: skip
    random, adapter = np.random.default_rng(0), PettingZoo(make, spec, 2)
    agents, width = len(spec.agents), spec.action_width
    if any(spec.discrete):
        choice = random.integers(width, size=(30, 2, agents))
        action = np.eye(width, dtype=np.float32)[choice]
        plain = choice
    else:
        action = random.uniform(-1.5, 1.5, (30, 2, agents, width)).astype(np.float32)
        plain = action.clip(-1, 1)
    states, rewards = [adapter.reset(SEEDS[0])], []
    for joint in torch.from_numpy(action):
        state, reward, over = adapter.step(joint)
        states.append(state)
        rewards.append(reward)
        if over.all():
            break
    assert len(rewards) == (25 if name == "spread" else 30)
    for copy, seed in enumerate(SEEDS):
        joint = [dict(zip(spec.agents, step[copy], strict=True)) for step in plain]
        slow, paid = by_hand(make, seed, joint, spec)
        np.testing.assert_allclose(torch.stack(states)[:, copy], slow, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(torch.stack(rewards)[:, copy], paid, rtol=1e-5, atol=1e-6)
    assert not torch.equal(states[-1][0], states[-1][1])


def test_policies_play_in_it_and_an_environment_that_truncates_early_ends_their_sum():
    actors = Actors(SPREAD, ActorConfig(width=8, depth=1, frames=2), seed=0)
    short, whole = (
        play.evaluate(actors, SPREAD, PettingZoo(make, SPREAD, 3), seed=1)
        for make in (teams.brief_spread, teams.spread)
    )
    limited = replace(SPREAD, episode_limit=10)
    ten = play.evaluate(actors, limited, PettingZoo(teams.spread, limited, 3), seed=1)
    assert torch.equal(short, ten)
    assert (whole < short).all(), "every step of this environment costs"


def test_a_team_that_is_another_one_is_refused():
    PettingZoo(teams.spread, SPREAD, 1)
    wide = teams.team("spread", 3, 19, 5, 1.0, limit=25, discrete=True)
    with pytest.raises(ValueError, match="agent_0 observes 18 values; in task spread, 19"):
        PettingZoo(teams.spread, wide, 1)
    with pytest.raises(ValueError, match="agents are agent_0, agent_1; those of task spread are"):
        PettingZoo(teams.halfcheetah, SPREAD, 1)


TINY = (
    "--model.members", "2", "--model.elites", "2", "--model.width", "16", "--model.depth", "1",
    "--model.updates", "40", "--model.evaluate-every", "20", "--rollout.rows", "32",
    "--rollout.horizon", "10", "--actor.width", "16", "--actor.frames", "2", "--ppo.rounds", "2",
    "--eval.every", "1", "--eval.episodes", "2", "--eval.final-episodes", "4",
    "--eval.value-updates", "100", "--in-process",
)  # fmt: skip


def test_a_log_made_elsewhere_trains_a_team_that_plays_where_it_came_from(tmp_path, cli, capsys):
    log = teams.random_play(tmp_path / "log")
    assert isinstance(log, Dataset)
    run = tmp_path / "run"
    words = ("--data", log.path, "--env", f"{teams.HERE}:spread", "--run-dir", run, *TINY)
    assert cli("train", *words) == 0
    result = json.loads((run / "result.json").read_text())
    last = capsys.readouterr().out.splitlines()[-1]
    low, high = result["return_ci95"]
    assert low <= result["return_mean"] <= high < 0
    assert (result["task"], result["score"]) == ("spread", None)
    assert result["measured"]["team"]["return_mean"] == result["return_mean"]
    believed = result["belief"]["policies"]["team"]["worth"]["return_mean"]  # kept beside the truth
    assert result["note"] == f"played in {teams.HERE}:spread"
    assert f"spread seed 0: return {result['return_mean']:.2f} (95 % interval" in last
    assert "score" not in last
    assert f"none of them measured: team {believed:.2f}" in last
    written = (run / "events" / "metrics.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in written]
    assert len([line for line in lines if "eval/return" in line]) == 2
    assert not any("eval/score" in line for line in lines)
    assert cli("evaluate", run, "--env", f"{teams.HERE}:spread") == 0
    assert f"return {result['return_mean']:.2f}" in capsys.readouterr().out


def test_an_environment_of_another_team_is_refused_before_anything_is_fitted(tmp_path, cli, capsys):
    log = teams.random_play(tmp_path / "log", episodes=2)
    words = ("--data", log.path, "--run-dir", tmp_path / "run", *TINY)
    for env, why in (
        (f"{teams.HERE}:halfcheetah", "agents are agent_0, agent_1"),
        (f"{teams.HERE}:no_such", "has no no_such"),
    ):
        assert cli("train", *words, "--env", env) == 2
        assert why in capsys.readouterr().err
        assert not (tmp_path / "run").exists()
