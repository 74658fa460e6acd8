"""Which kept policies make which data, and what trains them."""

from dataclasses import replace

import pytest
import torch

from moma.cli.train import Train
from moma.log_tools import make
from moma.log_tools.collect import PIECE, Source, pieces
from moma.log_tools.experts import Expert
from moma_core import recipes, tasks
from moma_core.runtime.commandline import parse_run
from moma_core.runtime.run import RunDirectory

VERSIONS = (0, 30, 60, 90, 120, 124)
RISING = (-10.0, 2.0, 21.0, 50.0, 70.0, 80.0)


def expert(tmp_path, returns=RISING, versions=VERSIONS):
    """An expert whose kept policies scored so."""
    made = Expert("hopper-expert", tmp_path, 0)
    made.__dict__["_kept"] = [
        Source(run="run", version=v, transitions=0, parameters={"v": torch.tensor(v)})
        for v in versions
    ]
    made.__dict__["_returns"] = torch.tensor(returns).numpy()
    return made


def chosen(made, kind, transitions=100):
    return {s.version: s.transitions for s in made.sources(kind, transitions)}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("random", {0: 100}),
        ("medium", {60: 100}),  # a third of the way from -10 to 80 is 20
        ("expert", {124: 100}),
        ("medium-replay", {0: 33, 30: 34, 60: 33}),
        ("full-replay", {0: 17, 30: 16, 60: 17, 90: 17, 120: 16, 124: 17}),
    ],
)
def test_each_kind_of_data_has_its_policies(tmp_path, kind, expected):
    assert kind in make.REPLAYS
    assert chosen(expert(tmp_path), kind) == expected


def test_all_kinds_are_tested():
    assert set(make.REPLAYS) == {
        "random", "medium", "expert", "medium-replay", "full-replay",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("returns", "medium"),
    [
        ((0, 40, 50, 60, 80, 90), 30),  # the nearest to 30, not the first above it
        ((0, 90, 28, 60, 80, 90), 60),  # on its way down, too
        ((0, 0, 0, 0, 0, 0), 0),
        ((-300, -290, -250, -200, -120, -30), 90),  # a third of the way, not a third of the return
    ],
)
def test_medium_is_the_nearest_to_a_third_of_the_way_from_the_untrained_to_the_last(
    tmp_path, returns, medium
):
    made = expert(tmp_path, tuple(map(float, returns)))
    assert chosen(made, "medium") == {medium: 100}
    assert max(chosen(made, "medium-replay")) == medium


@pytest.mark.parametrize("transitions", [3, 6, 100, 99_999, 1_000_000])
def test_shares_of_a_replay_are_equal_and_add_up(tmp_path, transitions):
    shares = chosen(expert(tmp_path), "full-replay", transitions)
    assert sum(shares.values()) == transitions
    assert max(shares.values()) - min(shares.values()) <= 1
    assert len(shares) == min(6, transitions)


def test_sources_carry_their_parameters_and_their_run(tmp_path):
    for source in expert(tmp_path).sources("full-replay", 60):
        assert source.parameters["v"] == source.version
        assert source.run == "run"


def test_pieces_cover_each_source_in_order():
    kept = [
        Source(run="run", version=v, transitions=n, parameters={})
        for v, n in ((0, 2 * PIECE + 7), (30, 5))
    ]
    cut = pieces(kept)
    assert [(p.version, p.transitions) for p in cut] == [(0, PIECE), (0, PIECE), (0, 7), (30, 5)]


def test_an_expert_is_trained_once_gone_on_with_and_not_confused_with_a_shorter_one(tmp_path):
    whole = Expert("hopper-expert", tmp_path, 3)
    short = replace(whole, rounds=2)
    assert whole.run.path != short.run.path
    config = parse_run(Train, short.command, "moma train").config
    recipe = recipes.get("hopper-expert")
    assert config == replace(recipe, seed=3, ppo=replace(recipe.ppo, rounds=2))
    assert "--run-dir" in short.command
    assert not short.trained
    run = RunDirectory.create(short.run.path, config)
    resumed = parse_run(Train, short.command, "moma train")
    assert resumed.resume == run.path
    assert resumed.config == config
    assert not short.trained
    run.result.write_text("{}")
    assert short.trained
    assert not whole.trained


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ant-partial", dict.fromkeys(make.REPLAYS, ("expert",))),
        ("halfcheetah-6x1", dict.fromkeys(make.REPLAYS, ("expert",))),
        ("reacher-leader", {"c": ("c",), "d": ("d",), "mix": ("c", "d")}),
        ("icg", {}),
    ],
)
def test_variants_are_replays_of_one_expert_or_conventions_and_their_mixture(name, expected):
    assert make.variants(tasks.get(name)) == expected
