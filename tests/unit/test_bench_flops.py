"""FLOP per row: counted by hand on a tiny ensemble; the models that are measured."""

from dataclasses import replace

import torch

from benchmarks.speed import flops, sizes, update
from model_server.world_model import files
from model_server.world_model.ensemble import Ensemble
from tests.builders import SPEC, make_config, make_query

CONFIG = make_config().model
INPUTS, WIDTH, MEMBERS = SPEC.state_width + 4, CONFIG.width, 3


def ensemble(**changes):
    config = replace(CONFIG, **changes)
    return Ensemble(SPEC, config, members=MEMBERS, terminates=True)


def test_a_trunks_flop_are_those_counted_by_hand():
    outputs = 2 * SPEC.state_width + 2 + 1
    weights = INPUTS * WIDTH + WIDTH * WIDTH + WIDTH * outputs
    assert flops.forward(ensemble(network="trunk")) == {"fp32": 2 * MEMBERS * weights}


def test_lowered_layers_count_in_their_precision():
    lowered = ensemble(network="trunk")
    whole = sum(flops.forward(lowered).values())
    lowered.lower()
    flop = flops.forward(lowered)
    assert flop["bf16"] == 2 * MEMBERS * WIDTH * WIDTH
    assert flop["fp32"] + flop["bf16"] == whole


def test_a_model_that_nobody_fitted_ends_no_rollout(tmp_path):
    model = replace(CONFIG, network="separate", units="raw")
    size = sizes.Size(name="unit", model=model, terminates=True)
    sizes.write(size, SPEC, tmp_path / "model")
    loaded = files.load(tmp_path / "model")
    query = make_query(
        state=torch.randn(64, SPEC.state_width),
        action=torch.zeros(64, 2, 2),
        seed=torch.arange(64),
    )
    prediction = loaded.predict(query)
    assert loaded.describe().terminates
    assert not prediction.terminated.any()
    assert prediction.next_state.std() > 0
    assert len(loaded.describe().elites) == model.elites


def test_the_sizes_are_those_that_are_published():
    each = {
        name: flops.forward(Ensemble(SPEC, size.model, members=1, terminates=size.terminates))
        for name, size in sizes.SIZES.items()
        if name != "published"
    }
    outputs = 2 * SPEC.state_width + 2
    hidden = 2 * 256 * 256
    assert each["small"]["fp32"] == 2 * (INPUTS * 256 + hidden + 256 * outputs)
    assert each["middle"]["fp32"] == 2 * (INPUTS * 200 + 3 * 200 * 200 + 200 * outputs)
    assert each["demo"]["fp32"] == 2 * (2 * (INPUTS * 256 + hidden) + 256 * outputs)
    published = sizes.SIZES["published"]
    assert (published.model.width, published.model.depth, published.terminates) == (1024, 4, True)
    assert {size.model.elites for size in sizes.SIZES.values()} == {5}


def test_an_update_counts_hidden_layers_in_the_precision_that_it_computes_them_in():
    costs = {
        precision: update.cost(update.fresh(SPEC, replace(make_config(), precision=precision)), 2.0)
        for precision in ("fp32", "bf16")
    }
    assert costs["fp32"].keys() == {"fp32"}
    assert sum(costs["bf16"].values()) == costs["fp32"]["fp32"]
    ppo = update.fresh(SPEC, make_config())
    heads = flops.forward(ppo.actors.head, ppo.critic.head)["fp32"]
    assert costs["bf16"]["fp32"] == 2 * flops.TRAINING * heads
