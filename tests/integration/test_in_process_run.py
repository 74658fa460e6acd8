"""The whole algorithm in one process: its tags, and what `moma evaluate` and `status` say of it."""

from __future__ import annotations

import json
import logging
import signal

import pytest
import torch
from safetensors.torch import load_file

from moma.cli import main as cli
from moma_core import tasks
from moma_core.runtime.run import RunDirectory
from tests.integration import tags

JOINT = ("--ppo.ratio", "joint", "--ppo.rounds", "2", "--eval.final-episodes", "2")


def train(path, *words, fresh=True):
    """Runs the command in this process; its signal handlers are taken back."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers, log = [signal.getsignal(n) for n in numbers], list(logging.getLogger().handlers)
    flags = ["--in-process", *(["--run-dir", str(path)] if fresh else []), *words]
    try:
        status = cli.main(["train", "reacher-tiny", *flags])
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)
        logging.getLogger().handlers = log
    assert status == 0
    return RunDirectory.open(path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run."""
    return train(tmp_path_factory.mktemp("in-process") / "tiny")


@pytest.fixture(scope="module")
def joint(tmp_path_factory):
    """A short one with the team's joint ratio."""
    return train(tmp_path_factory.mktemp("in-process") / "joint", *JOINT)


@pytest.fixture(scope="module")
def cloned(tmp_path_factory):
    """A run that clones the log."""
    path = tmp_path_factory.mktemp("in-process") / "cloned"
    return train(path, "--algorithm", "bc", "--bc.rounds", "2", "--eval.final-episodes", "2")


def valued(path, name, rounds, *words):
    """A run that learns values from the log alone."""
    budget = ("--offline.rounds", str(rounds), "--eval.final-episodes", "2")
    return train(path, "--algorithm", name, *budget, *words)


@pytest.fixture(scope="module")
def docs(root):
    """What docs/metrics.md holds."""
    return tags.documented((root / "docs" / "metrics.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("which", ["finished", "joint"])
def test_every_tag_has_its_sentence_and_every_sentence_its_tag(request, which, docs):
    run = request.getfixturevalue(which)
    written = tags.written(run)
    assert len(written) > 20
    assert tags.undocumented(written, docs) == []
    assert tags.unwritten(written, docs, run.config(), distributed=False) == []


def test_a_cloning_run_needs_no_model_and_its_tags_are_documented(cloned, docs):
    written = tags.written(cloned)
    assert tags.undocumented(written, docs) == []
    assert {"losses/nll/AGENT", "losses/holdout_nll/AGENT", "eval/score"} <= written
    assert not any(tag.startswith(("rollout/", "model")) for tag in written)
    assert not cloned.model.exists()
    result = json.loads(cloned.result.read_text())
    assert result["score"] is not None
    assert result["note"] == tasks.get(cloned.config().task).note != ""
    assert result["updates"] == 2


@pytest.mark.parametrize("name", ["ma_iql", "matd3_bc", "omar"])
def test_a_run_without_a_model_goes_on_bit_for_bit_and_its_tags_are_documented(
    tmp_path, name, docs, capsys
):
    straight = valued(tmp_path / "straight", name, 2)
    assert "score" in capsys.readouterr().out.splitlines()[-1]
    assert tags.undocumented(tags.written(straight), docs) == []
    assert {"values/q", "values/q_loss", "values/policy_loss"} <= tags.written(straight)
    assert not straight.model.exists()
    assert json.loads(straight.result.read_text())["processes"] == []
    begun = valued(tmp_path / "begun", name, 1)
    resumed = train(begun.path, "--resume", str(begun.path), "--offline.rounds", "2", fresh=False)
    other = valued(tmp_path / "other", name, 2, "--seed", "1")
    last = [
        load_file(run.checkpoints / "00000002" / "tensors.safetensors")
        for run in (straight, resumed, other)
    ]
    assert [key for key in last[0] if not torch.equal(last[0][key], last[1][key])] == []
    assert any(not torch.equal(last[0][key], last[2][key]) for key in last[0])  # negative control


def test_a_tag_too_many_on_either_side_would_be_seen(finished):
    written, config = tags.written(finished), finished.config()
    docs = dict.fromkeys(written, tags.Sentence())
    assert tags.undocumented(written | {"new/tag"}, docs) == ["new/tag"]
    for when, local, remote in (
        (tags.Sentence(), ["old/tag"], ["old/tag"]),
        (tags.Sentence(distributed=True), [], ["old/tag"]),
        (tags.Sentence(setting=("ppo.ratio", "agent")), ["old/tag"], ["old/tag"]),
        (tags.Sentence(setting=("ppo.ratio", "joint")), [], []),
        (tags.Sentence(occasional=True), [], []),
    ):
        told = {**docs, "old/tag": when}
        assert tags.unwritten(written, told, config, distributed=False) == local
        assert tags.unwritten(written, told, config, distributed=True) == remote


@pytest.mark.parametrize("line", ["- `a/b` no colon.", "- `a/b`: no full stop", "- `a/b`:"])
def test_a_malformed_bullet_is_an_error(line):
    assert tags.documented("- `a/b`: Whole.") == {"a/b": tags.Sentence()}
    with pytest.raises(AssertionError, match="not of the form"):
        tags.documented(line)
    with pytest.raises(AssertionError, match="twice"):
        tags.documented("- `a/b`: Whole.\n- `a/b`: Whole.")


def test_agents_names_are_made_one_word(finished):
    agents = tags.agents_of(finished)
    assert {tags.general(f"losses/entropy/{agent}", agents) for agent in agents} == {
        "losses/entropy/AGENT"
    }
    assert tags.general("losses/entropy/else", agents) == "losses/entropy/else"
    for feature in ("cos 1", "reward"):
        assert tags.general(f"rollout/outside/{feature}", agents) == "rollout/outside/FEATURE"


def test_json_lines_say_the_same_as_tensorboard(finished):
    lines = (finished.events / "metrics.jsonl").read_text().splitlines()
    names = {name for line in lines for name in json.loads(line)} - {"step"}
    assert {tags.general(name, tags.agents_of(finished)) for name in names} == (
        tags.written(finished)
    )
    assert len(lines) >= finished.config().ppo.rounds


def test_evaluate_repeats_the_runs_own_score(finished, capsys):
    result = json.loads(finished.result.read_text())
    assert cli.main(["evaluate", str(finished.path)]) == 0
    said = capsys.readouterr().out
    assert f"score {result['score']:.3f}" in said
    assert f"{result['episodes']} episodes" in said


def test_evaluate_with_other_episodes_gives_another_score(finished, capsys):
    result = json.loads(finished.result.read_text())
    assert cli.main(["evaluate", str(finished.path), "--episodes", "3", "--seed", "5"]) == 0
    said = capsys.readouterr().out
    assert "3 episodes" in said
    assert f"return {result['return_mean']:.3f}" not in said


def test_status_says_that_the_run_is_over(finished, capsys):
    assert cli.main(["status", str(finished.path)]) == 0
    said = capsys.readouterr().out
    rounds = finished.config().ppo.rounds
    assert "not running, phase end" in said
    assert f"round {rounds}/{rounds}" in said


@pytest.mark.parametrize("command", ["evaluate", "status"])
@pytest.mark.parametrize("words", [[], ["nowhere"]])
def test_without_a_run_both_say_so(command, words, capsys):
    assert cli.main([command, *words]) == 2
    said = capsys.readouterr().err
    assert ("which run?" if not words else "nowhere holds no run") in said
