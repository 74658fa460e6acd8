"""Recipes and configs as text and back, strictly; the run directory that holds them."""

import inspect
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from moma_core import documents, recipes
from moma_core.config import Config
from moma_core.runtime.run import RunDirectory

EVERY = [(name, mode) for name in recipes.NAMES for mode in ("default", "reference")]


@pytest.mark.parametrize(("name", "mode"), EVERY)
def test_every_recipe_survives_json(name, mode):
    config = recipes.get(name, mode)
    assert (config.recipe, config.mode) == (name, mode)
    assert documents.parse(Config, documents.dump(config), "memory") == config


def test_an_unknown_recipe_is_refused_with_the_nearest_names():
    with pytest.raises(ValueError, match=r"no recipe 'reacher-leeder'.*meant: reacher-leader"):
        recipes.get("reacher-leeder")
    with pytest.raises(ValueError, match="reacher-tiny"):
        recipes.get("zzz")


def changed(change):
    document = json.loads(documents.dump(recipes.get("reacher-leader")))
    change(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda d: d["ppo"].update(klip=0.1), "klip"),
        (lambda d: d.update(colour="red"), "colour"),
        (lambda d: d.pop("recipe"), "recipe"),
        (lambda d: d.update(seed="seven"), "seed"),
        (lambda d: d["ppo"].update(clip="wide"), "clip"),
        (lambda d: d["ppo"].update(rounds=1.5), "rounds"),
        (lambda d: d["ppo"].update(ratio="team"), "ratio"),
        (lambda d: d["ppo"].update(clip=True), "clip"),
        (lambda d: d.update(ppo=None), "ppo"),
        (lambda d: d.update(ppo=[1]), "ppo"),
        (lambda d: d["ppo"].update(discount=1.5), r"ppo\.discount must lie in \(0, 1\], got 1\.5"),
    ],
)
def test_parsing_is_strict_and_names_the_field(change, word):
    with pytest.raises(ValueError, match=rf"here\.json is no Config: .*{word}"):
        documents.parse(Config, changed(change), "here.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '"text"', "[" * 100_000])
def test_text_that_is_no_object_is_refused(text, monkeypatch):
    # Without the tests' type checks, whose own error would hide what `build` does.
    monkeypatch.setattr(documents, "build", inspect.unwrap(documents.build))
    with pytest.raises(ValueError, match=r"here\.json is no Config"):
        documents.parse(Config, text, "here.json")


def test_whole_numbers_are_taken_where_reals_are_wanted():
    text = changed(lambda d: (d["pessimism"].update(cut=2), d["ppo"].update(kl_stop=1)))
    config = documents.parse(Config, text, "memory")
    assert config.pessimism.cut == 2.0
    assert isinstance(config.ppo.kl_stop, float)


HOSTILE = [
    "",
    "..",
    "a/..",
    "../..",
    ".hidden",
    "-rf",
    "a b",
    "a\nb",
    "x\n",
    "ä",
    "a\0b",
    "x" * 101,
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_run_names_are_refused_and_nothing_is_made(tmp_path, name):
    with pytest.raises(ValueError, match=r"run name .* must be letters"):
        RunDirectory.create(
            tmp_path / "runs" / name if name else Path(), recipes.get("reacher-tiny")
        )
    assert not list(tmp_path.iterdir())


def test_a_run_is_made_once_and_read_back(tmp_path):
    config = replace(recipes.get("reacher-tiny"), seed=5)
    run = RunDirectory.create(tmp_path / "Run-1.a_b", config)
    assert run.config() == config
    assert run.name == "Run-1.a_b"
    assert RunDirectory.open(run.path).config() == config
    with pytest.raises(ValueError, match="holds a run already"):
        RunDirectory.create(run.path, recipes.get("reacher-tiny"))
    assert run.config() == config


def test_opening_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"holds no run: .*config\.json is missing"):
        RunDirectory.open(tmp_path)


TOO_MUCH = {
    "depth": ("[" * 40 + "]" * 40, "levels deep"),
    "more depth": ("[" * 100_000, "levels deep"),
    "not a number": ('{"a": NaN}', "NaN is no number"),
    "infinite": ('{"a": -Infinity}', "-Infinity is no number"),
    "too large a real": ('{"a": 1e999}', "1e999 is too large"),
    "too large a whole number": ('{"a": 9223372036854775808}', "does not fit 64 bits"),
    "a name twice": ('{"a": 1, "a": 2}', "'a' stands there twice"),
    "an escape sequence": (r'{"a": ["x\u001b[2J"]}', "control character"),
    "an escape sequence in a name": (r'{"x\u001b[2J": 1}', "control character"),
    "text that runs backwards": (r'{"a": "x\u202ey"}', "control character"),
}


@pytest.mark.parametrize("which", TOO_MUCH)
def test_a_document_may_hold_only_so_much(tmp_path, which):
    text, words = TOO_MUCH[which]
    (tmp_path / "it.json").write_text(text)
    with pytest.raises(ValueError, match=words) as refusal:
        documents.read(tmp_path / "it.json")
    assert "it.json" in str(refusal.value)
    assert str(refusal.value).isprintable()


def test_what_is_within_the_limits_is_read(tmp_path):
    held = {"a": [9223372036854775807, -1.5e300, "ä\n\tx\r\n", None], "b": {"c": [[]]}}
    (tmp_path / "it.json").write_text(json.dumps(held))
    assert documents.read(tmp_path / "it.json") == held
    assert documents.loads("[Infinity]", infinite=True) == [float("inf")]


def test_what_is_no_file_is_not_waited_for_and_what_is_too_large_is_not_read(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for path in (tmp_path / "fifo", tmp_path / "zero", tmp_path):
        with pytest.raises(ValueError, match="no regular file"):
            documents.read(path)
    (tmp_path / "latin").write_bytes(b'"\xe4"')
    with pytest.raises(ValueError, match="no UTF-8"):
        documents.read(tmp_path / "latin")
    (tmp_path / "large").write_text("[1, 2]")
    assert documents.read(tmp_path / "large") == [1, 2]
    monkeypatch.setattr(documents, "MAX_BYTES", 5)
    with pytest.raises(ValueError, match="more than 5 bytes"):
        documents.read(tmp_path / "large")


def test_the_environment_that_a_config_names_is_for_its_reader_alone(tmp_path):
    config = recipes.get("reacher-tiny")
    given = replace(config, eval=replace(config.eval, env="some.module:make"))
    run = RunDirectory.create(tmp_path / "run", given)
    assert "some.module:make" in run.config_path.read_text()
    assert run.config() == config
