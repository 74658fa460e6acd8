"""A log of which nothing else is known: from `--data` to the model's own estimate of a return."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import shutil
import subprocess
import sys

import pytest

from moma.cli.main import main
from moma.phases import NOT_SUPPORTED
from moma_core.datasets import digest_of
from moma_core.runtime.run import RunDirectory
from tests.builders import write_dataset
from tests.unit.test_pettingzoo import Pair

TINY = (
    "--model.members", "2", "--model.elites", "2", "--model.width", "16", "--model.depth", "1",
    "--model.updates", "40", "--model.evaluate-every", "20", "--rollout.rows", "32",
    "--rollout.horizon", "6", "--actor.width", "16", "--actor.frames", "2", "--ppo.rounds", "2",
    "--eval.every", "1", "--eval.final-episodes", "16", "--eval.value-updates", "100",
    "--in-process",
)  # fmt: skip
PLAINLY = "estimated returns, none of them measured: team "


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """A user's log, with terminals."""
    return write_dataset(tmp_path_factory.mktemp("own") / "log", episodes=40, terminals=True)


@pytest.fixture(scope="module")
def finished(log, tmp_path_factory):
    """A finished run on it, and what it said."""
    run, said = tmp_path_factory.mktemp("own") / "run", io.StringIO()
    with contextlib.chdir(log.path.parent), contextlib.redirect_stdout(said):
        status = main(["train", "--data", "log", "--run-dir", str(run), *TINY])
    assert status == NOT_SUPPORTED  # of a model and a team that were hardly fitted
    return run, said.getvalue()


@pytest.fixture
def trained(finished, tmp_path):
    """The same for a test that may go on with it."""
    run, said = finished
    shutil.copytree(run, tmp_path / "run")
    return RunDirectory.open(tmp_path / "run"), said


def result_of(run):
    return json.loads(run.result.read_text())


def team_of(run):
    """What is believed of the team."""
    return result_of(run)["belief"]["policies"]["team"]


def renamed(run, **names):
    """Changes a run's config file, as whoever hands a run over might."""
    config = json.loads(run.config_path.read_text())
    config["data"]["path"] = str(names.get("data", config["data"]["path"]))
    config["eval"]["env"] = names.get("env", "")
    run.config_path.write_text(json.dumps(config))


def told(team):
    """How the last line begins to tell what is believed of the team."""
    low, high = team["worth"]["return_ci95"]
    return (
        f"{PLAINLY}{team['worth']['return_mean']:.2f} ({low:.2f} to {high:.2f}; "
        f"{team['by_model']['return_mean']:.2f} by the model"
    )


def test_it_ends_with_estimates_that_are_called_so_and_no_score(trained):
    run, said = trained
    result = result_of(run)
    belief = result["belief"]
    assert list(belief["policies"]) == ["team", "bc", "bc-best"]
    for policy in belief["policies"].values():
        for estimate in (policy["worth"], policy["by_model"], policy["by_log"]):
            low, high = estimate["return_ci95"]
            assert low < estimate["return_mean"] < high
            assert math.isfinite(low + high)
        shares = [
            policy["by_model"][f"{name}_share"]
            for name in ("outside", "cut", "unusual", "unusual_reward")
        ]
        assert all(0 <= share <= 1 for share in shares)
    assert [result[name] for name in ("task", "score", "return_mean", "return_ci95")] == [
        "lopsided", None, None, None,
    ]  # fmt: skip
    assert (result["measured"], result["episodes"]) == ({}, 0)
    assert belief["judgement"] == "not supported"
    last = said.splitlines()[-1]
    assert "lopsided seed 0: the team is NOT SUPPORTED (" in last
    assert told(team_of(run)) in last
    assert f"take policy {belief['recommended']};" in last
    assert belief["recommended"] != "team"
    assert "score" not in last


def test_while_it_trains_nothing_pretends_to_be_the_true_system(trained):
    run, _ = trained
    names = {name for line in (run.events / "metrics.jsonl").read_text().splitlines()
             for name in json.loads(line)}  # fmt: skip
    assert "rollout/return" in names
    assert not any(name.startswith("eval/") for name in names)
    assert json.loads(run.status.read_text())["progress"]["score"] is None


def test_evaluate_repeats_the_estimate_where_the_log_has_moved(trained, log, tmp_path, cli, capsys):
    run, _ = trained
    renamed(run, data=tmp_path / "gone")
    shutil.copytree(log.path, tmp_path / "moved")
    assert cli("evaluate", run.path, "--data", tmp_path / "moved") == 0
    said = capsys.readouterr().out
    assert told(team_of(run)) in said
    assert "NOT SUPPORTED" in said


def test_episodes_that_the_model_was_not_sure_of_are_counted(tmp_path, cli, capsys):
    endless = write_dataset(tmp_path / "log")
    words = ("--data", endless.path, "--run-dir", tmp_path / "run", *TINY)
    assert cli("train", *words, "--pessimism.cut", "1e-9") == NOT_SUPPORTED
    said = capsys.readouterr().out
    team = team_of(RunDirectory.open(tmp_path / "run"))["by_model"]
    # An episode that left the log in its only step counts there.
    assert team["cut_share"] + team["outside_share"] == 1
    assert team["cut_share"] > 0.5
    assert f"{100 * team['cut_share']:.0f} % were cut" in said


def test_it_goes_on_from_another_directory(trained, cli, capsys, monkeypatch):
    run, _ = trained
    monkeypatch.chdir("/")
    status = cli("train", "--resume", run.path, "--ppo.rounds", "3", "--in-process")
    assert status == NOT_SUPPORTED
    assert PLAINLY in capsys.readouterr().out
    assert (result_of(run)["updates"], result_of(run)["resumes"]) == (3, 1)


def test_a_run_whose_log_has_gone_says_what_it_misses_and_what_was_said(
    trained, tmp_path, cli, capsys
):
    run, _ = trained
    renamed(run, data=tmp_path / "gone")
    assert cli("evaluate", run.path) == 2
    said = capsys.readouterr()
    assert f"nothing was played or estimated: {tmp_path}/gone does not hold the run's" in said.err
    assert "--data DIR" in said.err
    assert "when it was trained it was said: the team is NOT SUPPORTED (" in said.err
    assert said.out == ""


def test_another_log_is_refused_in_evaluating_and_in_going_on(trained, tmp_path, cli, capsys):
    run, _ = trained
    other = write_dataset(tmp_path / "other", episodes=40, terminals=True, seed=3)
    for words in (("evaluate", run.path), ("train", "--resume", run.path, "--in-process")):
        assert cli(*words, "--data", other.path) == 2
        assert f"{other.path} is not what {run.path} was made from" in capsys.readouterr().err


def test_a_run_plays_in_a_named_environment_without_its_log_from_anywhere(
    trained, tmp_path, cli, capsys, monkeypatch
):
    run, _ = trained
    renamed(run, data=tmp_path / "gone")
    monkeypatch.chdir("/")
    words = ("--env", f"{Pair.__module__}:Pair", "--episodes", "4")
    assert cli("evaluate", run.path, *words) == 0
    assert "4 episodes)" in capsys.readouterr().out


def test_no_file_of_a_run_names_code_that_evaluate_runs(
    trained, tmp_path, cli, capsys, monkeypatch
):
    run, _ = trained
    (tmp_path / "canary.py").write_text(
        f"from pathlib import Path\nPath({str(tmp_path / 'sang')!r}).touch()\nmake = None\n"
    )
    monkeypatch.chdir(tmp_path)
    renamed(run, env="canary:make", data=tmp_path / "gone")
    assert cli("evaluate", run.path) == 2
    assert not (tmp_path / "sang").exists()
    assert cli("evaluate", run.path, "--env", "canary:make") == 2
    assert (tmp_path / "sang").exists()
    assert "canary has no make" in capsys.readouterr().err


def test_the_result_says_what_it_was_made_of(trained, log):
    run, _ = trained
    result = result_of(run)
    assert result["data_sha256"] == digest_of(log.path)
    card = json.loads((run.path / "model" / "card.json").read_text())
    assert result["model_sha256"] == card["digest"]
    assert result["env"] == ""


def test_published_settings_imagine_on_observations_side_by_side(log, tmp_path, cli, capsys):
    small = ("--mode", "reference", *TINY, "--ppo.minibatch", "64", "--actor.memory-width", "8")
    assert cli("train", "--data", log.path, "--run-dir", tmp_path / "run", *small) == NOT_SUPPORTED
    assert PLAINLY in capsys.readouterr().out
    card = json.loads((tmp_path / "run" / "model" / "card.json").read_text())
    assert card["task"]["state_names"] == [
        "wide.a", "wide.c", "wide.goal", "narrow.b", "narrow.goal",
    ]  # fmt: skip


def test_fit_takes_the_same_words(log, tmp_path, cli, capsys):
    assert cli("fit", "--data", log.path, "--run-dir", tmp_path / "run", *TINY[:-1]) == 0
    assert "hold-out rmse per feature" in capsys.readouterr().out
    assert RunDirectory.open(tmp_path / "run").config().recipe == "data"


def test_a_log_that_is_none_is_refused(tmp_path, cli, capsys):
    shutil.copytree(write_dataset(tmp_path / "log", episodes=2).path, tmp_path / "broken")
    (tmp_path / "broken" / "reward.npy").unlink()
    for name, why in (("broken", "reward.npy cannot be read"), ("absent", "is this a dataset?")):
        words = ("--data", tmp_path / name, "--run-dir", tmp_path / f"run-{name}", *TINY)
        assert cli("train", *words) == 2
        assert why in capsys.readouterr().err


def test_a_learner_by_itself_takes_the_same_words(log, tmp_path, root):
    words = ["--data", "log", "--model-server", "127.0.0.1:9", "--run-dir", str(tmp_path / "run")]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "moma", "learn", *words, "--task", "reacher-full"]
    ended = subprocess.run(
        command, cwd=log.path.parent, env=environment, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert f"the data at {log.path} is for task lopsided" in ended.stderr
