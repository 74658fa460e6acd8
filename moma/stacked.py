"""Several small networks of one shape as one batched module: agents' actors, ensemble members."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn


class StackedLinear(nn.Module):
    """K independent linear layers, applied to K inputs in one batched product.

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
        return torch.baddbmm(self.bias, x, self.weight)


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


def _uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(shape, generator=generator) * 2 - 1) * bound
