"""Our FLOP per row are those that torch's own counter sees: slow to load, hence not a unit test."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed import flops
from model_server.world_model.codes import Codes
from model_server.world_model.ensemble import Ensemble
from moma_core.nets import kernels as dense
from moma_core.nets.policy import Actors
from tests.builders import SPEC, as_history, make_config

INPUTS, MEMBERS, ROWS = SPEC.state_width + 4, 3, 7


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    """Torch's own products: its counter does not know oneDNN's operator."""
    monkeypatch.setattr(dense, "_available", lambda: False)


@pytest.mark.parametrize("network", ["trunk", "separate"])
@pytest.mark.parametrize("coded", [0, 3])
def test_forward_passes(network, coded):
    config = replace(make_config().model, network=network)
    codes = Codes(torch.arange(coded), torch.eye(coded))
    module = Ensemble(SPEC, config, members=MEMBERS, terminates=True, codes=codes)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        code = torch.zeros(ROWS, dtype=torch.int64)
        module(torch.randn(MEMBERS, ROWS, INPUTS), code)
    assert counter.get_total_flops() == ROWS * flops.forward(module)["fp32"]


def test_backward_passes_cost_twice_as_much():
    actors = Actors(SPEC, make_config().actor)
    # Without a gradient of the inputs the first layer would cost one product less.
    observed = torch.randn(ROWS, 2, SPEC.observation_width, requires_grad=True)
    remembered = as_history(torch.randn(ROWS, 2, 2, SPEC.observation_width + 2))
    with FlopCounterMode(display=False) as counter:
        actors(observed, remembered).mean.sum().backward()
    trained = flops.scaled(flops.forward(actors), flops.TRAINING)
    assert counter.get_total_flops() == ROWS * trained["fp32"]
