"""A run from a stranger: nothing in it is run, waited for, or answered with a traceback."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from moma_core.runtime.run import RunDirectory

pytestmark = pytest.mark.reliability(2, "no_code_execution")
BC = ("--policy", "bc", "--episodes", "2")
CANARY = """
from pathlib import Path
Path(__file__).with_name("fired").touch()
def make():
    raise ValueError("the canary's environment")
"""


@pytest.fixture
def copy(run, tmp_path):
    """A copy of a run with data, model and clones, which may be changed."""
    return RunDirectory(shutil.copytree(run.path, tmp_path / "run"))


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A module on the path that notes when it is run."""
    (tmp_path / "stranger.py").write_text(CANARY)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "fired"


def test_the_code_that_a_config_names_is_not_run_unless_the_call_names_it(
    copy, canary, cli, capsys
):
    document = json.loads(copy.config_path.read_text())
    document["eval"]["env"] = "stranger:make"
    copy.config_path.write_text(json.dumps(document))
    assert cli("evaluate", copy.path, *BC) == 0
    assert cli("evaluate", copy.path, *BC) == 0
    assert not canary.exists()
    # Negative control: the same name on the command line of the call is run.
    assert cli("evaluate", copy.path, *BC, "--env", "stranger:make") == 2
    assert "the canary's environment" in capsys.readouterr().err
    assert canary.exists()


def test_a_resume_that_is_refused_leaves_the_run_as_usable_as_it_was(copy, cli, capsys):
    before = copy.config_path.read_bytes()
    assert cli("train", "--resume", copy.path, "--actor.width", "32") == 2
    assert "--actor.width: a resumed run keeps what it was made with" in capsys.readouterr().err
    assert copy.config_path.read_bytes() == before
    assert cli("evaluate", copy.path, *BC) == 0


HOSTILE = {
    "deep": "[" * 100_000,
    "a list": "[1]",
    "another type": json.dumps({"pid": "x", "phase": 3}),
    "not finite": '{"pid": NaN}',
    "too large": '{"pid": 1e999}',
    "an escape sequence": json.dumps({"pid": "\x1b[2J"}),
    "empty": "",
}


@pytest.mark.parametrize("which", [*HOSTILE, "fifo", "device"])
@pytest.mark.parametrize("name", ["status.json", "config.json", "model/manifest.json"])
def test_documents_of_any_kind_are_refused_in_one_printable_line(copy, cli, capfd, name, which):
    path = copy.path / name
    command = ("status", copy.path) if "model" not in name else ("serve", "--model", copy.model)
    path.unlink(missing_ok=True)
    if which == "fifo":
        os.mkfifo(path)
    elif which == "device":
        path.symlink_to("/dev/zero")
    else:
        path.write_text(HOSTILE[which])
    if name == "config.json":
        command = ("evaluate", copy.path, *BC)
    assert cli(*command) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert line.isprintable()
