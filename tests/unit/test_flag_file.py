"""A TOML file stands for flags; the command line counts more, and unknown keys fail."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from moma_core.runtime import flag_file
from moma_core.runtime.commandline import RunCommand, parse_run


@dataclass(frozen=True, kw_only=True)
class Command(RunCommand):
    """A command that makes runs."""


def parsed(tmp_path, text, *words):
    file = tmp_path / "run.toml"
    file.write_text(text)
    return parse_run(Command, [*words, "--config", str(file)], "moma test")


TEXT = """
recipe = "icg"
workers = 5
deterministic = true
run_dir = "runs/here"
[ppo]
rounds = 7
clip = 3e-1
[rollout]
carry = false
"""


def test_a_file_is_the_command_line_that_it_stands_for(tmp_path):
    found = parsed(tmp_path, TEXT)
    words = ["icg", "--workers", "5", "--deterministic", "--run-dir", "runs/here"]
    words += ["--ppo.rounds", "7", "--ppo.clip", "0.3", "--rollout.no-carry"]
    wanted = parse_run(Command, words, "moma test")
    assert (found.config, found.run_dir) == (wanted.config, wanted.run_dir)
    assert found.config.ppo.rounds == 7


def test_what_is_given_beside_the_file_counts_more(tmp_path):
    found = parsed(tmp_path, TEXT + '[data]\npath=""\n', "reacher-tiny", "--workers=2")
    assert (found.config.recipe, found.config.workers) == ("reacher-tiny", 2)
    assert found.config.ppo.rounds == 7


def test_the_mode_of_the_command_line_counts_more_than_the_files(tmp_path):
    text = 'recipe = "icg"\nmode = "reference"\n'
    assert parsed(tmp_path, text).config.mode == "reference"
    assert parsed(tmp_path, text, "--mode", "default").config.mode == "default"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('recipe = "icg"\nwrokers = 3', "wrokers"),
        ('recipe = "icg"\n[ppo]\nrouns = 3', "ppo.rouns"),
        ('recipe = "icg"\n[pppo]\nrounds = 3', "pppo.rounds"),
    ],
)
def test_an_unknown_key_is_refused_by_name(tmp_path, capsys, text, named):
    with pytest.raises(SystemExit) as ended:
        parsed(tmp_path, text)
    assert ended.value.code == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("workers = ", "no TOML"),
        ("recipe = 3", "recipe must be a name, got 3"),
        ('recipe = "icg"\nseed = 2026-01-01', "no value of a flag"),
        ("[slurm]\n[ray]", "more than one engine: \\[slurm\\], \\[ray\\]"),
        ('engine = "local"\n[slurm]', "more than one engine: \\[slurm\\], engine"),
        ('engine = "ray"\n[slurm]', "more than one engine: \\[slurm\\], engine"),
    ],
)
def test_what_stands_for_no_flags_is_refused(tmp_path, text, words):
    with pytest.raises(ValueError, match=words):
        parsed(tmp_path, text)


@pytest.mark.parametrize("engine", flag_file.ENGINES)
def test_a_table_picks_the_engine(tmp_path, engine):
    file = tmp_path / "run.toml"
    file.write_text(f"[{engine}]\n")
    assert flag_file.words(file) == [f"--engine={engine}"]
    file.write_text(f'engine = "{engine}"\n[{engine}]\nname = "x"\nmany = ["a", "b"]\n')
    assert flag_file.words(file) == [
        f"--engine={engine}",
        f"--{engine}.name=x",
        f"--{engine}.many",
        "a",
        "b",
    ]
