"""How soon a command answers, and how much its help says."""

from __future__ import annotations

import os
import re
import resource
import statistics
import subprocess
import sys

import pytest

from moma.cli import data
from moma.cli import main as cli
from moma_core.recipes import NAMES
from moma_core.runtime import commandline, short_help

LIMIT_S, RUNS, COLUMNS, LINES = 60.0, 3, 100, 60
OURS = ("moma", "model_server", "rollout_workers", "learner")
COMMANDS = [
    *(name for name, (module, _) in cli._COMMANDS.items() if module.split(".")[0] in OURS),
    *(f"data {name}" for name in data._COMMANDS),
]
HELPS = {f"{command} --help": 1.0 for command in COMMANDS} | {
    "--help": 0.5,
    "--version": 0.5,
    "data --help": 0.5,
    "train --help-all": 1.0,
}
"""What is asked, and the seconds that the answer may take."""
SLOW = {"torch", "numpy", "grpc", "mujoco"}
MAKES_RUNS = ["train", "fit", "learn"]
NEEDED = {
    "--data", "--env", "--model", "--workers", "--seed", "--resume", "--run-dir", "--mode",
    "--task", "--help-all",
}  # fmt: skip
"""What the help of every command that makes runs has to show."""


def said(*words):
    """What a command writes, in a process of its own; it has to end well."""
    done = subprocess.run(
        [sys.executable, "-m", "moma", *words],
        env=os.environ | {"COLUMNS": str(COLUMNS)},
        capture_output=True, text=True, timeout=LIMIT_S, check=True,
    )  # fmt: skip
    return done.stdout


def seconds(*words, runs=RUNS):
    """The median processor time of a command.

    It never waits for anything, so that this is how long it takes where nothing else runs.
    """
    taken = []
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        said(*words)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(taken)


def loads(words):
    """The modules that a command has loaded when it ends."""
    program = (
        "import sys\nfrom moma.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "sys.stderr.write(' '.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True, text=True, timeout=LIMIT_S, check=True,
    )  # fmt: skip
    return set(done.stderr.split())


@pytest.mark.parametrize("command", HELPS)
def test_a_help_answers_soon_and_without_torch(command):
    words = command.split()
    assert seconds(*words) < HELPS[command]
    assert not SLOW & loads(words)


def test_status_answers_soon_and_without_torch(run):
    assert f"run {run.path}" in said("status", str(run.path))
    assert seconds("status", str(run.path)) < 0.5
    assert not SLOW & loads(["status", str(run.path)])


def test_a_command_that_needs_torch_is_seen_to_load_it():
    assert "torch" in loads(["tasks"])
    assert seconds("tasks", runs=1) > 1.0


@pytest.mark.parametrize("command", MAKES_RUNS)
def test_the_help_of_a_command_that_makes_runs_is_one_screen_with_what_a_user_needs(command):
    text = said(command, "--help")
    assert max(map(len, text.splitlines())) <= COLUMNS
    assert len(text.splitlines()) <= LINES
    assert set(re.findall(r"--[a-z-]+", text)) >= NEEDED
    assert ("--in-process" in text) == (command == "train")
    for name in NAMES:
        assert name in text


@pytest.mark.parametrize("command", MAKES_RUNS)
def test_help_all_shows_every_setting_in_its_group(command):
    text = said(command, "icg", "--help-all")
    assert len(text.splitlines()) > LINES
    groups = re.findall(r"^╭─ (\w+) options", text, re.MULTILINE)
    sections = ["data", "model", "rollout", "pessimism", "actor", "ppo", "bc", "eval"]
    assert [group for group in groups if group in sections] == sections
    assert {"--ppo.clip", "--rollout.horizon", "--model.width", "--actor.width"} <= set(
        re.findall(r"--[a-z.-]+", text)
    )


def test_the_help_has_the_defaults_of_the_recipe_that_is_named():
    assert "(default: reacher-leader)" in said("train", "--help")
    assert "(default: icg)" in said("train", "icg", "--help")
    assert "(default: reference)" in said("train", "icg", "--mode", "reference", "--help")


def test_every_alias_is_in_the_short_help():
    settings = {f"--{path}" for path in short_help.SETTINGS}
    assert set(commandline.ALIASES.values()) <= settings


def test_an_option_that_is_not_shown_is_still_taken(capsys):
    args = commandline.parse_run(commandline.RunCommand, ["icg", "--ppo.clip", "0.1"], "moma test")
    assert args.config.ppo.clip == 0.1
    with pytest.raises(SystemExit):
        commandline.parse_run(commandline.RunCommand, ["icg", "--ppo.clap", "0.1"], "moma test")
    assert "--ppo.clip" in capsys.readouterr().err
