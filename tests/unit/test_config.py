"""Settings are checked where they are made, and read back strictly."""

import math
import re

import pytest

from moma_core.config import (
    ActorConfig,
    Config,
    DataConfig,
    EvalConfig,
    ModelConfig,
    PessimismConfig,
    PPOConfig,
    RolloutConfig,
)

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
            "rows": 0, "horizon": 0, "episode_starts": 1.01, "lease_s": 0.0,
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
    with pytest.raises(
        ValueError, match=rf"^{section}\.{field} must .*got {re.escape(repr(value))}$"
    ):
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
