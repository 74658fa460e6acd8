"""The Python API: five names, arrays in, arrays out, and what docs/python.md shows."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
from gymnasium.spaces import Box

import moma
from moma_core import seeds
from tests.builders import SPEC, step_system, write_dataset

PLACE = "tests.integration.test_python_api:Lopsided"


class Lopsided:
    """The log's own system as a `ParallelEnv`."""

    possible_agents = SPEC.agents

    def observation_space(self, agent):
        index = SPEC.observation_index[SPEC.agents.index(agent)]
        return Box(-10, 10, (len(index),), np.float32)

    def action_space(self, agent):
        low, high = (
            bound[SPEC.agents.index(agent)] for bound in (SPEC.action_low, SPEC.action_high)
        )
        return Box(np.array(low, np.float32), np.array(high, np.float32))

    def reset(self, seed=None):
        self.state = np.random.default_rng(seed).normal(0, 0.5, 5).astype(np.float32)
        self.agents, self._age = list(SPEC.agents), 0
        return self._seen(), {}

    def step(self, actions):
        joint = np.zeros((2, 2), np.float32)
        for index, agent in enumerate(SPEC.agents):
            joint[index, : len(actions[agent])] = actions[agent]
        self.state, reward = step_system(self.state, joint)
        self._age += 1
        over = self._age == SPEC.episode_limit
        told = [dict.fromkeys(SPEC.agents, value) for value in (float(reward), False, over, {})]
        self.agents = [] if over else self.agents
        return self._seen(), *told

    def _seen(self):
        pairs = zip(SPEC.agents, SPEC.observation_index, strict=True)
        return {agent: self.state[list(index)] for agent, index in pairs}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run that cloned a user's log, and was played in a user's environment."""
    path = tmp_path_factory.mktemp("api")
    log = write_dataset(path / "log", episodes=40)
    return moma.train(
        {
            "data": log.path, "env": PLACE, "algorithm": "bc", "run-dir": path / "run",
            "bc.rounds": 2, "bc.updates": 5, "eval.final-episodes": 12, "in-process": True,
        }
    )  # fmt: skip


def test_a_run_that_python_trained_is_a_run(trained, cli, capsys):
    assert trained.supported
    assert trained.result["episodes"] == 12
    assert cli("evaluate", trained.path, "--env", PLACE) == 0
    assert f"return {trained.result['return_mean']:.2f}" in capsys.readouterr().out


def test_evaluate_plays_what_the_command_plays(trained):
    score = moma.evaluate(moma.load(trained.path), Lopsided, episodes=12)
    assert score.return_mean == trained.result["return_mean"]
    assert moma.evaluate(moma.load(trained), PLACE, episodes=12) == score
    assert moma.evaluate(moma.load(trained), PLACE, episodes=12, seed=1) != score


def test_acting_step_by_step_is_what_evaluate_plays(trained):
    team, env = moma.load(trained), Lopsided()
    expected = moma.evaluate(team, Lopsided, episodes=2)
    earned = []
    for episode in range(2):
        seed = seeds.derive(seeds.derive(0, "evaluation"), "reset", episode) % (1 << 31)
        seen, _ = env.reset(seed=seed)
        team.reset()
        total = 0.0
        for _ in range(team.spec.episode_limit):
            if not env.agents:
                break
            actions = team.act(seen)
            seen, reward, *_ = env.step(actions)
            total += sum(reward.values()) / len(team.agents)
        earned.append(total)
    assert np.mean(earned) == pytest.approx(expected.return_mean, rel=1e-5)


def test_a_team_remembers_until_it_is_reset(trained):
    team = moma.load(trained)
    seen = {"wide": np.ones(3), "narrow": np.ones(2)}
    first, second = team.act(seen), team.act(seen)
    assert {name: action.shape for name, action in first.items()} == {"wide": (2,), "narrow": (1,)}
    assert (first["wide"] != second["wide"]).any()
    team.reset()
    assert (team.act(seen)["wide"] == first["wide"]).all()
    assert set(team.act({"narrow": np.ones(2)})) == {"narrow"}


def test_what_is_wrong_is_named(trained, tmp_path, capsys):
    team = moma.load(trained)
    with pytest.raises(ValueError, match="no agent 'tall': wide, narrow"):
        team.act({"tall": np.ones(3)})
    with pytest.raises(ValueError, match=r"narrow observes 2 finite values \(b, goal\), got"):
        team.act({"narrow": np.ones(3)})
    with pytest.raises(ValueError, match="narrow observes 2 finite values"):
        team.act({"narrow": [np.nan, 0.0]})
    with pytest.raises(ValueError, match="has no environment to play in"):
        moma.evaluate(team)
    with pytest.raises(ValueError, match="holds no run"):
        moma.load(tmp_path)
    with pytest.raises(ValueError, match=r"no such setting"):
        moma.train({"recipe": "icg", "ppo.clap": 1})
    assert "ppo.clap" in capsys.readouterr().err
    with pytest.raises(AttributeError, match="'moma' has no attribute 'trian'"):
        _ = moma.trian


def test_importing_moma_loads_nothing():
    program = "import sys, moma; print(*sys.modules); assert 'train' in dir(moma)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(done.stdout.split())
    assert "moma" in loaded
    assert not {"torch", "numpy", "moma.api", "moma_core.datasets"} & loaded


@pytest.mark.usefixtures("own_signals")
def test_the_page_does_what_it_shows(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (root / "docs" / "python.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    found = {}
    exec(compile(program, "docs/python.md", "exec"), found)
    assert set(found["actions"].values()) <= {0, 1}
    assert 0 <= found["score"].return_mean <= 10
    assert f"runs/mine True {found['run'].result['return_mean']}" in capsys.readouterr().out
    assert found["log"].episodes == 40
    for name in moma.__all__:
        assert f"moma.{name}" in program
