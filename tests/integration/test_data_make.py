"""`moma data make`: by a script, by experts that are trained first, and what it refuses."""

from __future__ import annotations

import json
import re
from threading import Event

import numpy as np
import pytest

from moma.cli import data_make
from moma.cli import main as cli
from moma.log_tools import collect
from moma.log_tools.experts import Expert
from moma.log_tools.make import REPLAYS
from moma_core.datasets import Dataset

pytestmark = pytest.mark.usefixtures("own_signals")
SHORT = ("--threads", "1", "--rounds", "2")
TRANSITIONS = 120
VERSIONS = {"random": [0], "expert": [2], "full-replay": [0, 2]}
"""Of two rounds of training."""


def make(name, out, *words):
    return cli.main(["data", "make", name, "--out", str(out), *map(str, words)])


@pytest.fixture(scope="module")
def experts(tmp_path_factory):
    """Where experts' runs lie; the first test that needs one trains it."""
    return tmp_path_factory.mktemp("experts")


def made_by(experts, name, out, *words, transitions=TRANSITIONS):
    """Data of an expert of two rounds."""
    where = ("--experts", experts, "--transitions", transitions)
    assert make(name, out, *SHORT, *where, *words) == 0
    return Dataset.load(out)


def content(path):
    return {file.name: file.read_bytes() for file in sorted(path.iterdir())}


def test_a_script_makes_whole_episodes_from_a_seed(tmp_path, capsys):
    for out, seed in (("one", 3), ("two", 3), ("other", 4)):
        assert make("reacher-leader", tmp_path / out, "--transitions", "600", "--seed", seed) == 0
    one = Dataset.load(tmp_path / "one")
    assert (one.transitions, one.episodes, one.spec.name) == (600, 12, "reacher-leader")
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert content(tmp_path / "one") != content(tmp_path / "other")
    said = capsys.readouterr().out.splitlines()[0]
    assert "600 transitions in 12 episodes of reacher-leader" in said
    assert f"mean return {one.returns().mean():.2f}, elbow_positive 0.500" in said


def test_a_scripts_variant_can_be_named(tmp_path):
    assert make("icg/neutral", tmp_path / "log", "--transitions", "100") == 0
    assert Dataset.load(tmp_path / "log").origin["variant"] == "neutral"


@pytest.mark.parametrize("variant", REPLAYS)
def test_one_training_makes_all_replays(tmp_path, experts, variant, capsys):
    made = made_by(experts, f"hopper-3x1/{variant}", tmp_path / "log")
    assert made.spec.name == "hopper-3x1"
    assert made.transitions == TRANSITIONS
    assert made.origin["variant"] == variant
    run = Expert("hopper-expert", experts, 0, 2).run
    assert [path.name for path in experts.iterdir()] == [run.name]
    versions = [part["version"] for part in made.origin["policies"]]
    if variant in VERSIONS:
        assert versions == VERSIONS[variant]
    else:
        assert list(json.loads((run.path / "returns.json").read_text())) == ["0", "2"]
        assert set(versions) <= {0, 2}
    assert {part["run"] for part in made.origin["policies"]} == {run.name}
    assert sum(part["episodes"] for part in made.origin["policies"]) == made.episodes
    assert f"{made.path}: 120 transitions in" in capsys.readouterr().out


def test_a_trained_expert_is_not_trained_again_and_its_data_are_the_same(tmp_path, experts):
    first = made_by(experts, "hopper-3x1/expert", tmp_path / "first")
    result = Expert("hopper-expert", experts, 0, 2).run.result
    before = result.stat().st_mtime_ns
    again = made_by(experts, "hopper-3x1/expert", tmp_path / "again")
    assert result.stat().st_mtime_ns == before
    assert content(first.path) == content(again.path)
    # Other agents' shares of the same episodes.
    full = made_by(experts, "hopper-3x1-full/expert", tmp_path / "full")
    assert full.spec.name == "hopper-3x1-full"
    assert result.stat().st_mtime_ns == before


def test_two_conventions_are_mixed_half_and_half_each_by_its_own_expert(tmp_path, experts, capsys):
    made = made_by(experts, "reacher-leader/mix", tmp_path / "mix", transitions=200)
    assert made.spec.name == "reacher-leader"
    parts = made.origin["policies"]
    assert [part["run"] for part in parts] == ["reacher-expert-c-0-2", "reacher-expert-d-0-2"]
    assert [part["first_episode"] for part in parts] == [0, 2]
    assert (made.transitions, made.episodes) == (200, 4)
    said = capsys.readouterr().out.splitlines()[-1]
    share = float(re.search(r"elbow_positive (\d\.\d{3})$", said)[1])
    ends = made.state[np.append(made.episode_start[1:], 200) + np.arange(4), 3]
    assert share == (ends > 0).mean()
    one = made_by(experts, "reacher-full/c", tmp_path / "c", transitions=100)
    assert [part["run"] for part in one.origin["policies"]] == ["reacher-expert-c-0-2"]


def test_the_same_seed_trains_the_same_expert_and_another_seed_another(tmp_path, experts):
    first = made_by(experts, "reacher-full/d", tmp_path / "first", transitions=100)
    again = made_by(tmp_path / "experts", "reacher-full/d", tmp_path / "again", transitions=100)
    assert content(first.path) == content(again.path)
    other = made_by(experts, "reacher-full/d", tmp_path / "other", "--seed", 1, transitions=100)
    assert other.origin["policies"][0]["run"] == "reacher-expert-d-1-2"
    assert content(first.path) != content(other.path)


def test_asked_to_stop_it_does_after_a_piece_and_the_same_command_goes_on(
    tmp_path, experts, monkeypatch, capsys
):
    monkeypatch.setattr(collect, "PIECE", 50)
    whole = made_by(experts, "hopper-3x1/expert", tmp_path / "whole")
    asked, words = Event(), ("--experts", experts, "--transitions", TRANSITIONS)
    asked.set()
    with monkeypatch.context() as patch:
        patch.setattr(data_make.process, "begin", lambda: asked)
        assert make("hopper-3x1/expert", tmp_path / "log", *SHORT, *words) == 3
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == "stopped at 50 of 120 transitions; the same command goes on"
    assert not (tmp_path / "log").exists()
    assert len(list((tmp_path / "log.pieces").iterdir())) == 1
    made = made_by(experts, "hopper-3x1/expert", tmp_path / "log")
    assert content(made.path) == content(whole.path)


def test_a_training_that_was_stopped_makes_no_data_and_goes_on_with_the_same_command(
    tmp_path, experts, monkeypatch, capsys
):
    with monkeypatch.context() as patch:
        patch.setattr(data_make.train, "main", lambda _: 3)
        where = ("--experts", experts, "--seed", 9)
        assert make("hopper-3x1/expert", tmp_path / "log", *SHORT, *where) == 3
    assert not (tmp_path / "log").exists()
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith("hopper-expert-9-2 did not come to its end; the same command goes on")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hopper-3x1/expart", r"task hopper-3x1 has no data 'expart'; perhaps you meant: expert"),
        ("hopper-3x1", r"task hopper-3x1 has no data ''; .*: random, medium, expert, medium-rep"),
        ("icg/favorable", r"task icg has no data 'favorable'; perhaps you meant: favourable"),
        ("reacher-full/e", r"task reacher-full has no data 'e'; .*meant: "),
        ("hoper-3x1/expert", r"there is no task 'hoper-3x1'; perhaps you meant: hopper-3x1"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_ones_before_anything_is_trained(
    tmp_path, name, said, capsys
):
    assert make(name, tmp_path / "log", "--experts", tmp_path / "experts") == 2
    assert re.search(f"^error: .*{said}", capsys.readouterr().err.splitlines()[-1])
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_exists_is_never_replaced(tmp_path, capsys):
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "mine").write_text("precious")
    assert make("icg", tmp_path / "log") == 2
    said = capsys.readouterr().err
    assert "log exists already; give another --out, or remove it" in said
    assert (tmp_path / "log" / "mine").read_text() == "precious"


def test_without_a_task_the_tasks_are_listed(tmp_path, capsys):
    assert cli.main(["data", "make", "--out", str(tmp_path / "log")]) == 2
    said = capsys.readouterr().err
    assert "data of which task? moma data make TASK, one of: ['reacher-full'" in said
