"""`--data` and `--env`: the words, the config that comes of them, and whose task it is."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from moma.cli.fit import Fit
from moma.cli.train import Train
from moma_core import recipes, tasks
from moma_core.config import DataConfig
from moma_core.runtime import commandline, subject
from moma_core.runtime.commandline import RunCommand, parse_run
from moma_core.runtime.run import RunDirectory
from moma_core.tasks.pettingzoo import PettingZoo
from tests.builders import SPEC
from tests.unit.test_pettingzoo import Pair


@dataclass(frozen=True, kw_only=True)
class Command(RunCommand):
    """A command for tests."""


def config(*words):
    return parse_run(Command, [str(word) for word in words], "moma test").config


def test_data_alone_takes_the_recipe_for_any_log_and_its_place_from_anywhere(
    dataset, tmp_path, monkeypatch
):
    shutil.copytree(dataset.path, tmp_path / "logs" / "mine")
    monkeypatch.chdir(tmp_path)
    own = config("--data", "logs/mine")
    assert own.data.path == str(tmp_path / "logs" / "mine")
    assert (own.recipe, own.task, own.rollout.episode_starts) == ("data", "", 0.5)


@pytest.mark.parametrize(
    "words",
    [("--data", "/a"), ("--data=/a",), ("--data.path", "/a"), ("--data.path=/a",)],
)
def test_an_alias_is_the_flag_that_it_stands_for(words):
    assert config("reacher-tiny", *words).data.path == "/a"


def test_a_recipe_keeps_its_settings_on_other_data():
    tiny = recipes.get("reacher-tiny")
    given = config("reacher-tiny", "--data", "/a", "--env", "me.envs:make", "--task", "")
    assert (given.data.path, given.eval.env, given.task) == ("/a", "me.envs:make", "")
    assert (given.model, given.ppo) == (tiny.model, tiny.ppo)
    assert config("--data", "/a", "--mode", "reference").model.works_on == "observations"


@pytest.mark.parametrize("kind", [Train, Fit])
def test_every_command_that_makes_a_run_takes_them(kind, dataset):
    log = str(dataset.path)
    args = parse_run(kind, ["--data", log, "--env", "me.envs:make"], "moma test")
    assert (args.config.recipe, args.config.data.path) == ("data", log)
    assert args.config.eval.env == "me.envs:make"


def test_without_recipe_and_data_both_are_offered():
    with pytest.raises(
        ValueError, match=r"which recipe.*reacher-tiny.*your own log: moma test --d"
    ):
        config("--seed", "1")


def test_the_help_of_all_settings_names_every_alias(capsys):
    with pytest.raises(SystemExit):
        config("--help-all")
    said = " ".join(capsys.readouterr().out.split())
    for alias in commandline.ALIASES:
        assert f"(`{alias}`)" in said, alias


def test_a_resumed_run_finds_its_data_from_another_directory(dataset, tmp_path, monkeypatch):
    shutil.copytree(dataset.path, tmp_path / "log")
    monkeypatch.chdir(tmp_path)
    RunDirectory.create(tmp_path / "run", config("--data", "log"))
    monkeypatch.chdir("/")
    again = config("--resume", tmp_path / "run")
    assert subject.dataset(again, tmp_path / "run" / "data").spec == SPEC


def test_the_task_of_a_log_is_its_own_team_without_an_environment_or_a_scale(dataset):
    own = config("--data", dataset.path)
    assert subject.dataset(own, Path("nowhere")).spec == SPEC
    task = subject.task(own, RunDirectory(Path("nowhere")))
    assert (task.spec, task.environment, task.score(1.0)) == (SPEC, None, None)
    with pytest.raises(ValueError, match="task lopsided has no environment"):
        task.copies(1)
    with pytest.raises(ValueError, match="task lopsided makes no data by itself"):
        task.make_data(Path("nowhere"), own.data, 0)


def test_the_task_of_a_log_is_known_without_reading_it(dataset, tmp_path):
    shutil.copy(dataset.path / "meta.json", tmp_path)
    own = replace(recipes.get("data"), data=DataConfig(path=str(tmp_path)))
    assert subject.task(own, RunDirectory(Path("nowhere"))).spec == SPEC


def test_data_of_the_run_itself_needs_no_path(dataset, tmp_path):
    own = replace(recipes.get("data"), seed=1)
    shutil.copytree(dataset.path, tmp_path / "data")
    assert subject.dataset(own, tmp_path / "data").spec == SPEC
    assert subject.task(own, RunDirectory(tmp_path)).spec == SPEC
    with pytest.raises(ValueError, match=r"which data.*--data DIR"):
        subject.dataset(own, tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"which data.*--data DIR"):
        subject.task(own, RunDirectory(tmp_path / "nothing"))


def test_a_registered_task_keeps_its_environment_and_scale(tmp_path):
    task = subject.task(recipes.get("reacher-tiny"), RunDirectory(tmp_path))
    assert task.spec.name == "reacher-leader"
    assert task.score(task.return_at_one) == 1.0
    assert task.copies(1).reset(0).shape == (1, 10)


def test_data_of_another_task_is_refused_naming_both_and_what_differs(dataset, tmp_path):
    with pytest.raises(ValueError, match=r"for task lopsided .*for task reacher-full ") as error:
        subject.dataset(config("--data", dataset.path, "--task", "reacher-full"), tmp_path)
    assert "they differ in name, agents, state_names, " in str(error.value)
    assert "--task ''" in str(error.value)
    assert "discrete" not in str(error.value)


def test_data_of_the_named_task_is_accepted(tmp_path):
    task = tasks.get("polygame-plus")
    made = task.make_data(tmp_path / "made", recipes.get("polygame-plus").data, 0)
    given = config("--data", made.path, "--task", "polygame-plus")
    assert subject.dataset(given, tmp_path).spec == task.spec
    assert subject.task(given, RunDirectory(tmp_path)).score(task.return_at_one) == 1.0


def test_a_named_environment_takes_the_place_of_the_tasks_and_has_no_scale(dataset, tmp_path):
    where = f"{Pair.__module__}:Pair"
    task = subject.task(config("--data", dataset.path, "--env", where), RunDirectory(tmp_path))
    assert isinstance(task.copies(2), PettingZoo)
    assert (task.score(0.0), task.note) == (None, f"played in {where}")
    other = subject.task(config("reacher-tiny", "--env", where), RunDirectory(tmp_path))
    assert other.score(0.0) is None
    with pytest.raises(ValueError, match="agents are wide, narrow; those of task reacher-leader"):
        other.copies(1)
