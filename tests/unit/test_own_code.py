"""A user's own code: loaded by its place, quoted where it fails, run where the call names it."""

import sys

import pytest

from moma_core import own_code, tasks
from moma_core.own_code import load
from tests.unit.test_pettingzoo import Pair


def test_a_factory_is_loaded_by_its_place():
    assert isinstance(load("tests.unit.test_pettingzoo:Pair", "--env")(), Pair)
    assert load("collections:OrderedDict", "--env")() == {}


def test_a_factory_is_found_in_the_current_directory_and_only_there(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    (tmp_path / "homemade_envs.py").write_text("def make():\n    return 7\n")
    with pytest.raises(ValueError, match=r"homemade_envs cannot be imported.*PYTHONPATH"):
        load("homemade_envs:make", "--env")
    monkeypatch.chdir(tmp_path)
    assert load("homemade_envs:make", "--env")() == 7


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("tests.builders", "must be package.module:factory, got 'tests.builders'"),
        ("tests/builders.py:made", "must be package.module:factory"),
        (":made", "must be package.module:factory"),
        (".builders:made", "must be package.module:factory"),
        ("no_such_package.envs:made", "no_such_package.envs cannot be imported (No module named"),
        ("tests.builders:no_such_factory", "tests.builders has no no_such_factory"),
        ("tests.builders:FRAME", "holds something that cannot be called as FRAME"),
    ],
)
def test_a_place_without_a_factory_is_refused_by_what_is_wrong(place, words):
    with pytest.raises(ValueError, match="--env") as error:
        load(place, "--env")
    assert words in str(error.value)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A directory of the user's, and what is imported from it is forgotten."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import no_such_package\n", "fails inside: ModuleNotFoundError: No module named 'no_such"),
        ("\nx = 1 / 0\n", "fails inside: ZeroDivisionError: division by zero"),
        ("def make():\n    raise KeyError('wheels')\n", "fails inside: KeyError: 'wheels'"),
    ],
)
def test_an_error_inside_is_quoted_with_its_line(here, text, words):
    (here / "broken_envs.py").write_text(text)
    with pytest.raises(ValueError, match="--env broken_envs:make") as error:
        load("broken_envs:make", "--env")()
    assert words in str(error.value)
    line = 1 if text.startswith("import") else 2
    assert f"broken_envs.py, line {line})" in str(error.value)


def test_a_folder_of_that_name_is_not_taken_for_code(here):
    (here / "wagons").mkdir()
    with pytest.raises(ValueError, match=r"wagons has no make; it is a folder without code, .*wag"):
        load("wagons:make", "--env")


def test_a_task_that_is_code_is_got_only_where_the_call_names_it(here, monkeypatch):
    (here / "sung.py").write_text("open('sang', 'w').close()\nmake = dict\n")
    monkeypatch.setattr(own_code, "_NAMED", set())
    with pytest.raises(ValueError, match=r"task sung:make is code.*names it: --task sung:make"):
        tasks.get("sung:make")
    assert not (here / "sang").exists()
    own_code.allow("sung:make")
    with pytest.raises(ValueError, match=r"has to be a moma_core.tasks.Task, got dict"):
        tasks.get("sung:make")
    assert (here / "sang").exists()


def test_a_task_of_an_installed_package_has_a_name(here, monkeypatch):
    (here / "guest.py").write_text(
        "from moma_core import tasks\ndef task():\n    return tasks.get('icg')\n"
    )
    about = here / "guest-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Name: guest\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[moma.tasks]\nmeeting = guest:task\n")
    assert "meeting" not in tasks.names()
    monkeypatch.syspath_prepend(here)
    assert tasks.names()[-1] == "meeting"
    assert tasks.get("meeting").spec.name == "icg"
    with pytest.raises(ValueError, match=r"no task 'meetin'; perhaps you meant: meeting"):
        tasks.get("meetin")
