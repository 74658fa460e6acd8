"""Settings are checked where they are made, and read back strictly."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from moma import documents, recipes
from moma.config import (
    ActorConfig,
    Config,
    DataConfig,
    EvalConfig,
    ModelConfig,
    PessimismConfig,
    PPOConfig,
    RolloutConfig,
)
from moma.run import RunDirectory

BAD = [
    (EvalConfig, "eval", {"every": -1, "episodes": 0, "final_episodes": 1}),
    (DataConfig, "data", {"episodes": 9, "noise": -0.1}),
    (
        ModelConfig,
        "model",
        {
            "members": 1, "elites": 8, "width": 0, "depth": 0, "nll_beta": 1.5, "holdout": 1.0,
            "updates": 0, "evaluate_every": 0, "patience": 0, "batch": 0, "learning_rate": 0.0,
            "weight_decay": -1.0, "grad_norm": 0.0,
        },
    ),
    (
        RolloutConfig,
        "rollout",
        {
            "segments": 0, "rows": 0, "horizon": 0, "episode_starts": 1.01, "lease_s": 0.0,
            "round_s": -1.0,
        },
    ),
    (
        PessimismConfig,
        "pessimism",
        {
            "disagreement": -0.1, "reward_disagreement": -0.1, "aleatoric": -0.1, "clamp": 0.0,
            "cut": 0.0, "cut_scale": 0.0,
        },
    ),
    (
        ActorConfig,
        "actor",
        {"width": 0, "depth": 0, "frames": -1, "memory_width": 0, "log_std": 0.5},
    ),
    (
        PPOConfig,
        "ppo",
        {
            "rounds": 0, "clip": 1.0, "discount": 1.5, "gae_lambda": -0.1, "epochs": 0,
            "minibatch": 0, "learning_rate": -1.0, "entropy": -1.0, "mean_bound": -1.0,
            "value_weight": 0.0, "value_width": 0, "value_depth": 0, "kl_stop": 0.0,
            "grad_norm": 0.0,
        },
    ),
]  # fmt: skip
CASES = [(kind, section, *item) for kind, section, fields in BAD for item in fields.items()]


@pytest.mark.parametrize(("kind", "section", "field", "value"), CASES)
def test_a_bad_value_is_refused_by_section_field_and_value(kind, section, field, value):
    with pytest.raises(ValueError, match=rf"^{section}\.{field} must .*got {re.escape(repr(value))}$"):
        kind(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"), [("seed", -1), ("workers", 0), ("checkpoint_every", 0), ("threads", -1)]
)
def test_a_bad_top_level_value_is_refused(field, value):
    with pytest.raises(ValueError, match=rf"^config\.{field} must .*got {value}$"):
        Config(recipe="r", task="t", **{field: value})


NUMBERS = [
    (kind, section, field)
    for kind, section, field, value in CASES
    if isinstance(value, float) and field != "log_std"
]


@pytest.mark.parametrize(("kind", "section", "field"), NUMBERS)
def test_not_a_number_is_refused_in_every_real_valued_field(kind, section, field):
    with pytest.raises(ValueError, match=rf"{section}\.{field} must .*got nan"):
        kind(**{field: math.nan})


@pytest.mark.parametrize(
    ("kind", "section", "field"),
    [(PPOConfig, "ppo", "learning_rate"), (ModelConfig, "model", "learning_rate"),
     (PessimismConfig, "pessimism", "disagreement"), (DataConfig, "data", "noise")],
)  # fmt: skip
def test_infinite_settings_are_refused(kind, section, field):
    # They cannot be written either: `documents.dump` allows no infinity.
    with pytest.raises(ValueError, match=rf"{section}\.{field} must .*got inf"):
        kind(**{field: math.inf})


def test_limits_that_hold_are_accepted():
    PPOConfig(discount=1.0, gae_lambda=0.0, entropy=0.0)
    ModelConfig(members=2, elites=2)
    PessimismConfig(cut=None, disagreement=0.0)
    assert ActorConfig(memory="none", frames=10).history == 0
    assert ActorConfig(frames=4).history == 4


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
def test_text_that_is_no_object_is_refused(text):
    with pytest.raises(ValueError, match=r"here\.json is no Config"):
        documents.parse(Config, text, "here.json")


def test_whole_numbers_are_taken_where_reals_are_wanted():
    text = changed(lambda d: (d["pessimism"].update(cut=2), d["ppo"].update(kl_stop=1)))
    config = documents.parse(Config, text, "memory")
    assert config.pessimism.cut == 2.0
    assert isinstance(config.ppo.kl_stop, float)


HOSTILE = ["", "..", "a/..", "../..", ".hidden", "-rf", "a b", "a\nb", "x\n", "ä", "a\0b", "x" * 101]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_run_names_are_refused_and_nothing_is_made(tmp_path, name):
    with pytest.raises(ValueError, match=r"run name .* must be letters"):
        RunDirectory.create(tmp_path / "runs" / name if name else Path(), recipes.get("reacher-tiny"))
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
