"""The recipe for any log, from the command line to the table: chosen, overridden, kept, resumed."""

import json
from dataclasses import dataclass, replace

import pytest

from moma_core import recipes
from moma_core.datasets import DatasetError
from moma_core.recipes import from_log
from moma_core.runtime import settings
from moma_core.runtime.commandline import RunCommand, parse_run
from moma_core.runtime.run import RunDirectory


@dataclass(frozen=True, kw_only=True)
class Command(RunCommand):
    """A command for tests."""


def parsed(*words):
    return parse_run(Command, [str(word) for word in words], "moma test")


@pytest.fixture
def chosen(dataset):
    return settings.choose(dataset.path)


def lines(text):
    """The table's first two columns by setting."""
    rows = [line.split() for line in text.splitlines() if "." in line.split()[0]]
    return {row[0]: row[1:3] for row in rows if not row[0].endswith(",")}


def test_a_log_alone_asks_for_its_settings(dataset, chosen):
    own = parsed("--data", dataset.path)
    expected = from_log.applied(recipes.get("data"), chosen.choices)
    assert own.config == replace(expected, data=own.config.data)
    assert own.config.rollout.horizon == 8  # the log's limit
    assert own.config.model.width == 64
    assert own.config != replace(recipes.get("data"), data=own.config.data)
    assert own.chosen == chosen
    assert parsed("data", "--data", dataset.path) == own


@pytest.mark.parametrize(
    "words", [("reacher-tiny", "--task", ""), ("--mode", "reference"), ("data", "--mode=reference")]
)
def test_other_recipes_and_the_published_choices_keep_theirs(dataset, words):
    own = parsed(*words, "--data", dataset.path)
    assert own.chosen is None
    assert own.config.rollout.horizon != 8
    assert own.config.ppo.patience == 0


def test_what_is_given_wins_and_is_marked(dataset):
    own = parsed("--data", dataset.path, "--rollout.horizon", 5, "--ppo.discount=0.9")
    assert (own.config.rollout.horizon, own.config.ppo.discount) == (5, 0.9)
    assert own.config.model.width == 64
    table = own.chosen.table(own.config)
    assert lines(table)["rollout.horizon"] == ["5", "*"]
    assert lines(table)["ppo.discount"] == ["0.9", "*"]
    assert "given; by the log: 8" in table
    assert lines(table)["model.width"][0] == "64"
    assert table.count("*") == 2
    assert parsed("--data", dataset.path).chosen.table(own.config) == table


def opened(command):
    """The run that a command begins or goes on with."""
    with command.opened() as run:
        return run


def test_the_table_is_shown_and_kept_before_the_run(dataset, tmp_path, capsys):
    own = parsed("--data", dataset.path, "--model.width", 32, "--run-dir", tmp_path / "run")
    run = opened(own)
    table = capsys.readouterr().out
    assert table == own.chosen.table(own.config)
    assert "16 episodes of" in table.splitlines()[0]
    assert max(map(len, table.splitlines())) <= 100
    kept = json.loads(run.settings.read_text("utf-8"))
    assert kept["log"]["episodes"] == 16
    found = {row["field"]: (row["value"], row["instead"]) for row in kept["settings"]}
    assert found["model.width"] == (64, 32)
    assert found["rollout.horizon"] == (8, None)
    assert set(found) == set(lines(table)) == {choice.field for choice in own.chosen.choices}


def test_a_recipe_of_its_own_shows_and_keeps_nothing(tmp_path, capsys):
    run = opened(parsed("icg", "--run-dir", tmp_path / "run"))
    assert capsys.readouterr().out == ""
    assert not run.settings.exists()


def test_cloning_alone_is_told_what_it_uses(dataset):
    own = parsed("--data", dataset.path, "--algorithm", "bc")
    sections = {name.split(".")[0] for name in lines(own.chosen.table(own.config))}
    assert sections == {"actor", "bc", "eval"}


def test_a_resumed_run_keeps_its_config_whatever_the_log_asks_for(dataset, tmp_path, capsys):
    own = parsed("--data", dataset.path, "--ppo.rounds", 7, "--run-dir", tmp_path / "run")
    before = opened(own).config()
    other = replace(before, model=replace(before.model, width=48))
    RunDirectory.open(tmp_path / "run").write_config(other)
    capsys.readouterr()
    again = parsed("--resume", tmp_path / "run")
    assert (again.config, again.chosen) == (other, None)
    opened(again)
    assert capsys.readouterr().out == ""
    moved = parsed("--resume", tmp_path / "run", "--data", dataset.path)
    assert (moved.config.model.width, moved.config.ppo.rounds) == (48, 7)


def test_a_log_that_cannot_be_trusted_is_refused_before_a_run_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match="nowhere"):
        parsed("--data", "nowhere")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [("--help",), ("data", "--help-all")])
def test_help_reads_no_log(words, capsys):
    with pytest.raises(SystemExit) as ended:
        parsed("--data", "nowhere", *words) if words == ("--help",) else parsed(
            *words, "--data", "nowhere"
        )
    assert ended.value.code == 0
    assert "--chosen" not in capsys.readouterr().out


def test_what_was_chosen_is_no_option(dataset, capsys):
    with pytest.raises(SystemExit):
        parsed("--data", dataset.path, "--chosen", "None")
    assert "--chosen" in capsys.readouterr().err
