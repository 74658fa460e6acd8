"""Names that are paths, options, code or control characters write nothing but where they should."""

from __future__ import annotations

import json
import time

import pytest

from tests.builders import write_dataset

HOSTILE = (
    "../../evil", "/etc/evil", "a/b", "a\\b", "..", ".", " ", "", "~", "-rf", "--out", "*",
    "$(touch evil)", "`touch evil`", "evil; touch evil", "CON", "a" * 300, "é", "%s", "{0}",
)  # fmt: skip
"""Names that a log may have: whoever writes must not take them for paths or for code."""
CONTROL = ("a\x00b", "a\nb", "\x1b[2Jred", "a\rb", "a\x07", "\x9b31m")
"""Names that would act on a terminal."""
SLOWEST_S = 1.0
"""Processor time: by the clock it depends on who else is at work."""
CLONED = (
    "--algorithm", "bc", "--bc.rounds", "1", "--bc.updates", "2", "--eval.every", "0",
    "--in-process",
)  # fmt: skip
named = pytest.mark.reliability(25, "hostile_names")


@pytest.fixture
def inside(tmp_path, monkeypatch):
    """A folder within a folder, to work in."""
    path = tmp_path / "outer" / "inner"
    path.mkdir(parents=True)
    monkeypatch.chdir(path)
    return path


def renamed(path, name):
    """Writes a log and calls its task and its first agent so, as a stranger might."""
    write_dataset(path, episodes=20)
    document = json.loads((path / "meta.json").read_text())
    document["task"]["name"] = document["task"]["agents"][0] = name
    (path / "meta.json").write_text(json.dumps(document))
    return path


def left(inside):
    """What lies in the folder, and what lies beside it."""
    beside = {path.name for path in inside.parent.parent.rglob("*") if inside not in path.parents}
    return {path.name for path in inside.iterdir()}, beside - {"outer", "inner"}


@named
@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_log_calls_its_task_and_agents_is_no_path(inside, cli, name):
    log = renamed(inside / "log", name)
    assert cli("data", "check", log) == 0
    assert cli("data", "export", log, "--format", "npz", "--out", "out.npz") == 0
    assert left(inside) == ({"log", "out.npz"}, set())


@named
@pytest.mark.parametrize("name", CONTROL)
def test_what_would_act_on_a_terminal_is_refused_at_once_and_shown_as_text(
    inside, cli, name, capsys
):
    log = renamed(inside / "log", name)
    begun = time.process_time()
    assert cli("data", "check", log) == 2
    assert time.process_time() - begun < SLOWEST_S
    said = "".join(capsys.readouterr())
    assert "holds a control character" in said or "has a line break" in said
    assert name not in said
    assert left(inside) == ({"log"}, set())


@named
def test_a_team_of_such_names_is_trained_and_taken_out_to_where_it_was_asked_for(inside, cli):
    log = renamed(inside / "log", "../../evil")
    assert cli("train", "--data", log, "--run-dir", "run", *CLONED) == 0
    assert cli("report", "run") == 0
    assert cli("export", "run", "--out", "team", "--unsupported") == 0
    assert left(inside) == ({"log", "run", "team"}, set())
    contract = json.loads((inside / "team" / "agent_0" / "policy_contract.json").read_text())
    assert "../../evil" in json.dumps(contract)


def test_a_file_beside_the_folder_would_be_seen(inside):
    (inside.parent.parent / "evil").touch()
    assert left(inside) == (set(), {"evil"})


@named
@pytest.mark.parametrize("word", [*HOSTILE[:6], "icg\n", "icg ", "ICG", "reacher-tiny/.."])
@pytest.mark.parametrize("flag", ["", "--algorithm", "--task"])
def test_what_is_no_name_of_ours_is_refused_at_once(inside, cli, word, flag, capsys):
    words = ("train", word) if not flag else ("train", "icg", f"{flag}={word}")
    begun = time.process_time()
    try:
        status = cli(*words, "--run-dir", "run")
    except SystemExit as ended:  # the command line's own parser
        status = ended.code
    assert status == 2
    assert time.process_time() - begun < SLOWEST_S
    said = "".join(capsys.readouterr())
    assert {"": "there is no recipe", "--algorithm": "moma_ppo", "--task": "there is no task"}[
        flag
    ] in said
    assert left(inside) == (set(), set())
