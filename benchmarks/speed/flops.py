"""How many floating-point operations a row costs: two per weight that it is multiplied with."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from moma_core.nets.stacked import StackedLinear

Flop = dict[str, float]
"""Precision, fp32 or bf16, to FLOP per row."""
_NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16"}
TRAINING = 3
"""Products forward and backward, in forward ones: by the inputs, and twice by the gradient."""


def forward(*modules: nn.Module) -> Flop:
    """Returns the FLOP of one row's way through all networks of these modules, by precision.

    Only the products with weights count: no bias, activation, normalisation, attention score.
    """
    flop: Flop = {}
    for module in modules:
        for layer in module.modules():
            if isinstance(layer, StackedLinear):
                name = _NAMES[layer.weight.dtype]
                flop[name] = flop.get(name, 0.0) + 2.0 * layer.weight.numel()
    return flop


def scaled(flop: Mapping[str, float], factor: float) -> Flop:
    """Returns a multiple, as training is one of forward."""
    return {name: count * factor for name, count in flop.items()}
