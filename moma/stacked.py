"""Several small networks of one shape as one module: agents' actors, ensemble members."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from moma.dense import Activation, activate, dense


class StackedLinear(nn.Module):
    """K independent linear layers, applied to K inputs.

    Initialised like `torch.nn.Linear` (uniform in +-1/sqrt(inputs)), from the given generator.
    """

    def __init__(
        self, count: int, inputs: int, outputs: int, generator: torch.Generator, scale: float = 1.0
    ) -> None:
        super().__init__()
        bound = scale / math.sqrt(inputs)
        self.weight = nn.Parameter(_uniform((count, inputs, outputs), bound, generator))
        self.bias = nn.Parameter(_uniform((count, 1, outputs), bound, generator))

    def forward(self, x: Float[Tensor, "K N I"]) -> Float[Tensor, "K N J"]:
        """Maps `[K N I]` to `[K N J]`, in the weights' precision."""
        return chain([self], x, [])


class StackedNorm(nn.Module):
    """K independent layer normalisations over the last axis (Ba, Kiros, Hinton 2016)."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.weight = nn.Parameter(torch.ones(count, 1, width))
        self.bias = nn.Parameter(torch.zeros(count, 1, width))

    def forward(self, x: Float32[Tensor, "K N W"]) -> Float32[Tensor, "K N W"]:
        """Normalises each row, then scales and shifts with its network's own parameters."""
        return torch.addcmul(self.bias, nn.functional.layer_norm(x, (self.width,)), self.weight)


def chain(
    layers: Sequence[StackedLinear],
    x: Float[Tensor, "K N I"],
    activations: Sequence[Activation],
) -> Float[Tensor, "K N J"]:
    """Runs K networks through their layers; layers beyond `activations` have none.

    On a CPU one network after the other, so that its rows stay in the cache from layer to layer
    and nothing is stacked in between; elsewhere all of them in one batched product.
    """
    linear: list[Activation] = ["none"] * (len(layers) - len(activations))
    kinds = [*activations, *linear]
    if x.device.type != "cpu":
        for layer, kind in zip(layers, kinds, strict=True):
            x = activate(torch.baddbmm(layer.bias, x.to(layer.weight.dtype), layer.weight), kind)
        return x
    parameters = [(layer.weight.unbind(), layer.bias.unbind()) for layer in layers]
    outputs = []
    for k, rows in enumerate(x.unbind()):
        y = rows
        for (weight, bias), kind in zip(parameters, kinds, strict=True):
            y = dense(y.to(weight[k].dtype), weight[k], bias[k], kind)
        outputs.append(y)
    return torch.stack(outputs)


def _uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(shape, generator=generator) * 2 - 1) * bound
