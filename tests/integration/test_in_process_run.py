"""The whole algorithm in one process: its tags, and what `moma evaluate` and `status` say of it."""

from __future__ import annotations

import json
import logging
import signal

import pytest

from launch import cli
from moma.run import RunDirectory
from tests.integration import tags


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished in-process run; the command's signal handlers are taken back."""
    path = tmp_path_factory.mktemp("in-process") / "tiny"
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers, log = [signal.getsignal(n) for n in numbers], list(logging.getLogger().handlers)
    try:
        status = cli.main(["train", "reacher-tiny", "--in-process", "--run-dir", str(path)])
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)
        logging.getLogger().handlers = log
    assert status == 0
    return RunDirectory.open(path)


@pytest.fixture(scope="module")
def docs(root):
    """What docs/metrics.md holds."""
    return tags.documented((root / "docs" / "metrics.md").read_text(encoding="utf-8"))


def test_every_tag_has_its_sentence(finished, docs):
    assert len(tags.written(finished)) > 20
    assert tags.undocumented(tags.written(finished), docs) == []


def test_every_sentence_has_its_tag(finished, docs):
    assert tags.unwritten(tags.written(finished), docs, distributed=False) == []


def test_a_tag_too_many_on_either_side_would_be_seen(finished):
    written = tags.written(finished)
    docs = dict.fromkeys(written, False)
    assert tags.undocumented(written | {"new/tag"}, docs) == ["new/tag"]
    assert tags.unwritten(written, {**docs, "old/tag": False}, distributed=False) == ["old/tag"]
    remote = {**docs, "old/tag": True}
    assert tags.unwritten(written, remote, distributed=False) == []
    assert tags.unwritten(written, remote, distributed=True) == ["old/tag"]


def test_agents_names_are_made_one_word(finished):
    agents = tags.agents_of(finished)
    assert {tags.general(f"losses/entropy/{agent}", agents) for agent in agents} == {
        "losses/entropy/AGENT"
    }
    assert tags.general("losses/entropy/else", agents) == "losses/entropy/else"


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
