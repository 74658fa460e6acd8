"""The rules that choose settings by a log: as tables, monotone, with Reacher's as the anchor."""

from dataclasses import fields, replace
from itertools import pairwise

import pytest

from moma_core import recipes
from moma_core.recipes.from_log import MANY, Choice, LogFacts, applied, overridden, settings

REACHER = LogFacts(
    episodes=1000,
    transitions=50_000,
    state_width=10,
    observation_widths=(8, 6),
    action_widths=(1, 1),
    discrete=(False, False),
    episode_limit=50,
    length_mean=50.0,
    terminal_share=0.0,
    return_mean=-10.3,
    return_std=3.0,
    return_best_tenth=-6.0,
    rewards=MANY,
    states=MANY,
    all_seen=False,
    forgets=False,
)
GAME = replace(
    REACHER, episodes=300, transitions=1200, state_width=1, action_widths=(2, 2, 2),
    discrete=(True,) * 3, observation_widths=(1, 1, 1), episode_limit=4, states=2, rewards=2,
    all_seen=True,
)  # fmt: skip
BASE = recipes.get(recipes.ANY_LOG)


def chosen(facts):
    return {choice.field: choice.value for choice in settings(facts)}


def test_reachers_log_comes_out_at_reachers_settings():
    reacher = recipes.get("reacher-leader")
    config = applied(BASE, settings(REACHER))
    assert config.model == replace(reacher.model, evaluate_every=config.model.evaluate_every)
    assert config.model.evaluate_every == 200  # a twelfth of the updates; the recipe's is 100
    assert config.rollout == replace(reacher.rollout, episode_starts=0.5)
    assert config.actor == reacher.actor
    # The recipe lets its teams go sooner, as was measured on its own task.
    assert config.ppo == replace(reacher.ppo, patience=config.ppo.patience, near=0.2)
    assert (config.bc, config.eval) == (reacher.bc, reacher.eval)


def test_a_game_of_four_steps_gets_what_takes_seconds():
    found = chosen(GAME)
    assert found["rollout.horizon"] == 4
    assert (found["model.width"], found["model.depth"], found["actor.memory"]) == (64, 2, "none")
    round_ = found["rollout.rows"] * 4
    assert 2_000 <= round_ <= 3_000
    assert found["ppo.rounds"] * round_ <= 310_000  # a tenth of Reacher's, at most
    assert found["ppo.patience"] * round_ <= 31_000  # and a hundredth once it is solved


@pytest.mark.parametrize(
    ("limit", "horizon", "carry", "rows", "starts", "discount"),
    [
        (1, 1, False, 2560, 1.0, 1.0),
        (2, 2, False, 1280, 0.5, 0.97),
        (10, 10, False, 512, 0.5, 0.97),
        (50, 50, False, 512, 0.5, 0.97),
        (100, 100, False, 256, 0.5, 0.985),
        (101, 50, True, 512, 0.5, 1 - 1.5 / 101),
        (1000, 50, True, 512, 0.5, 0.99),
    ],
)
def test_the_limit_decides_how_far_is_imagined(limit, horizon, carry, rows, starts, discount):
    found = chosen(replace(REACHER, episode_limit=limit))
    names = ("horizon", "carry", "rows", "episode_starts")
    assert [found[f"rollout.{name}"] for name in names] == [horizon, carry, rows, starts]
    assert found["ppo.discount"] == pytest.approx(discount)


@pytest.mark.parametrize(
    ("all_seen", "forgets", "limit", "memory", "frames"),
    [
        (True, False, 50, "none", None),
        (True, True, 50, "frames", 10),
        (True, True, 6, "frames", 5),
        (False, False, 50, "frames", 10),
        (False, False, 2, "frames", 1),
        (False, True, 1, "none", None),
    ],
)
def test_a_memory_is_left_out_only_where_it_tells_nothing(all_seen, forgets, limit, memory, frames):
    facts = replace(REACHER, all_seen=all_seen, forgets=forgets, episode_limit=limit)
    found = chosen(facts)
    assert (found["actor.memory"], found.get("actor.frames")) == (memory, frames)


GROWS = {
    "transitions": (
        [20, 400, 1_999, 5_000, 11_000, 20_000, 100_000, 1_000_000],
        ["model.width", "model.depth", "model.updates", "model.batch", "actor.width",
         "ppo.value_width", "bc.minibatch", "bc.rounds", "bc.updates"],
    ),
    "state_width": ([1, 4, 20, 60, 111, 400], ["model.width"]),
    "episode_limit": (
        [2, 3, 5, 10, 25, 50, 80, 100, 500, 1000],
        ["ppo.discount"],
    ),
}  # fmt: skip
SHRINKS = {"episode_limit": ["eval.episodes", "eval.final_episodes"]}


@pytest.mark.parametrize("fact", GROWS)
def test_more_of_a_log_never_asks_for_less(fact):
    sizes, names = GROWS[fact]
    found = [chosen(replace(REACHER, **{fact: size})) for size in sizes]
    for name in names:
        values = [one[name] for one in found]
        assert all(a <= b for a, b in pairwise(values)), (name, values)
        assert values[0] < values[-1], name
    for name in SHRINKS.get(fact, []):
        values = [one[name] for one in found]
        assert all(a >= b for a, b in pairwise(values)), (name, values)
        assert values[0] > values[-1], name


@pytest.mark.parametrize("limit", [1, 2, 7, 40, 99, 100, 101, 1000, 100_000])
@pytest.mark.parametrize("rows", [10, 3_000, 10_000_000])
def test_the_settings_of_any_log_are_ones_that_the_config_takes(limit, rows):
    facts = replace(REACHER, episode_limit=limit, transitions=rows)
    config = applied(BASE, settings(facts))
    steps = config.rollout.rows * config.rollout.horizon
    assert 2_560 <= steps <= 2 * 12_800
    assert config.ppo.minibatch <= steps
    assert 0 < config.ppo.patience < config.ppo.rounds
    assert config.actor.history < limit
    assert config.eval.final_episodes >= config.eval.episodes >= 5


def test_every_choice_is_a_setting_once_with_a_reason():
    choices = settings(REACHER)
    names = [choice.field for choice in choices]
    assert len(set(names)) == len(names)
    for choice in choices:
        section, name = choice.field.split(".")
        assert name in {field.name for field in fields(getattr(BASE, section))}
        assert len(choice.reason.split()) >= 3, choice


def test_what_is_given_instead_is_seen():
    choice = Choice(field="model.width", value=64, reason="small")
    config = applied(BASE, [choice])
    assert config == replace(BASE, model=replace(BASE.model, width=64))
    assert overridden(config, choice) is None
    assert overridden(BASE, choice) == BASE.model.width
