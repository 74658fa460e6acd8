"""A team of one agent that chooses and two that act continuously: from its log to its return."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from moma_core.datasets import Dataset
from moma_core.tasks.pettingzoo import PettingZoo
from tests.integration import relay

PLAY = (
    "--eval.every", "1", "--eval.episodes", "2", "--eval.final-episodes", "8",
    "--eval.value-updates", "100", "--in-process",
)  # fmt: skip
ACTORS = ("--actor.width", "16", "--actor.frames", "2")
MOMA_PPO = (
    "--model.members", "2", "--model.elites", "2", "--model.width", "16", "--model.depth", "1",
    "--model.updates", "40", "--model.evaluate-every", "20", "--rollout.rows", "32",
    "--rollout.horizon", "6", "--ppo.rounds", "2", "--actor.state-dependent-std",
)  # fmt: skip
BC = ("--algorithm", "bc", "--bc.rounds", "2")
ARRAYS = ("state", "action", "reward", "terminated", "truncated", "episode_start")


@pytest.fixture
def log(tmp_path, cli, capsys):
    """The imported log."""
    path = relay.write_log(tmp_path / "log.npz")
    assert cli("data", "import", path, "--out", tmp_path / "relay") == 0
    said = capsys.readouterr().out
    for line in (
        "agent        gate: observation 1, action one of 3",
        "agent        arm: observation 3, action 2",
        "agent        foot: observation 2, action 1",
        "note         action bounds: one-hot choices of gate; of the others the log's own",
    ):
        assert line in said
    return Dataset.load(tmp_path / "relay")


def test_what_was_imported_is_the_team_and_goes_out_and_in_again(log, tmp_path, cli):
    assert log.spec.agents == relay.AGENTS
    assert log.spec.discrete == (True, False, False)
    assert log.spec.action_low == ((0.0, 0.0, 0.0), (-1.0, -1.0), (-2.0,))
    assert log.spec.action_high == ((1.0, 1.0, 1.0), (1.0, 1.0), (0.5,))
    for kind in ("npz", "parquet"):
        file, out = tmp_path / f"out.{kind}", tmp_path / f"from-{kind}"
        assert cli("data", "export", log.path, "--format", kind, "--out", file) == 0
        assert cli("data", "import", file, "--out", out) == 0
        again = Dataset.load(out)
        assert again.spec == replace(log.spec, name=out.name)
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(again, name), getattr(log, name))


def test_check_and_card_say_what_each_agent_does(log, tmp_path, cli, capsys):
    assert cli("data", "check", log.path) == 0
    assert "0 errors" in capsys.readouterr().out
    assert cli("data", "card", log.path, "--out", tmp_path / "card.html") == 0
    page = (tmp_path / "card.html").read_text()
    assert "choices or dimensions" in page
    assert page.count(">one-hot<") == 1


@pytest.mark.parametrize(("settings", "loss"), [(MOMA_PPO, "entropy"), (BC, "nll")])
def test_it_trains_a_team_that_plays_where_the_log_came_from(
    log, tmp_path, cli, capsys, settings, loss
):
    run = tmp_path / "run"
    words = ("--data", log.path, "--env", f"{relay.HERE}:Relay", "--run-dir", run)
    assert cli("train", *words, *PLAY, *ACTORS, *settings) == 0
    result = json.loads((run / "result.json").read_text())
    low, high = result["return_ci95"]
    assert math.isfinite(low + high)
    assert low <= result["return_mean"] <= high <= relay.LIMIT
    assert result["task"] == "relay"
    # What is measured is told beside what is believed, where there is a model to believe.
    assert (result["belief"] is None) == (loss == "nll")
    assert f"relay seed 0: return {result['return_mean']:.2f}" in capsys.readouterr().out
    written = (run / "events" / "metrics.jsonl").read_text().splitlines()
    names = {name for line in written for name in json.loads(line)}
    assert {f"losses/{loss}/{agent}" for agent in relay.AGENTS} <= names


def test_an_environment_whose_agent_does_not_choose_is_refused_by_name(log):
    numbers = replace(log.spec, discrete=(False,) * 3)
    PettingZoo(relay.Relay, log.spec, 1)
    with pytest.raises(ValueError, match=r"gate acts in Discrete\(3\); task relay needs Box"):
        PettingZoo(relay.Relay, numbers, 1)
