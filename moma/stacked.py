"""Several small networks of one shape as one module: agents' actors, ensemble members."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from moma.dense import Activation, activate, dense, fused, product

_SMALL = 1 << 17
"""Numbers per network between two layers up to which a batched product is faster on a CPU."""


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

    All of them in one batched product, or, where many rows meet a CPU, one network after the other:
    its rows stay in the cache from layer to layer, bias and activation are part of the product,
    and nothing is stacked in between (docs/performance.md has both at several sizes).
    """
    linear: list[Activation] = ["none"] * (len(layers) - len(activations))
    kinds = [*activations, *linear]
    if x.device.type != "cpu" or x.shape[1] * layers[0].weight.shape[2] <= _SMALL:
        for layer, kind in zip(layers, kinds, strict=True):
            x = activate(torch.baddbmm(layer.bias, x.to(layer.weight.dtype), layer.weight), kind)
        return x
    parameters = [parameter for layer in layers for parameter in (layer.weight, layer.bias)]
    if torch.is_grad_enabled() and fused(x) and all(p.dtype == x.dtype for p in parameters):
        y: Tensor = _Chain.apply(x, kinds, *parameters)  # type: ignore[no-untyped-call]
        return y
    outputs = []
    for k, rows in enumerate(x.unbind()):
        y = rows
        for layer, kind in zip(layers, kinds, strict=True):
            y = dense(y.to(layer.weight.dtype), layer.weight[k], layer.bias[k], kind)
        outputs.append(y)
    return torch.stack(outputs)


class _Chain(torch.autograd.Function):
    """A chain with its derivative, in one node of the graph; nearly all products are oneDNN's."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's context
        x: Tensor,
        kinds: Sequence[Activation],
        *parameters: Tensor,
    ) -> Tensor:
        weights, biases = parameters[::2], parameters[1::2]
        outputs, kept = [], []
        for k, rows in enumerate(x.unbind()):
            y = rows
            for weight, bias, kind in zip(weights, biases, kinds, strict=True):
                kept.append(y)
                # relu's and tanh's derivatives are in terms of the result, silu's of the argument.
                apart = kind == "silu"
                z = product(y, weight[k].t(), bias[k, 0], "none" if apart else kind)
                y = activate(z, kind) if apart else z
                kept.append(z)
            outputs.append(y)
        ctx.kinds = kinds
        ctx.save_for_backward(*weights, *kept)
        return torch.stack(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        depth = len(ctx.kinds)
        weights, kept = ctx.saved_tensors[:depth], ctx.saved_tensors[depth:]
        to_weights = [torch.empty_like(weight) for weight in weights]
        to_biases = [weight.new_empty(len(weight), 1, weight.shape[2]) for weight in weights]
        to_x = []
        for k, rows in enumerate(gradient.unbind()):
            g = rows
            for i in reversed(range(depth)):
                entered, result = kept[2 * (k * depth + i) :][:2]
                g = _BACK[ctx.kinds[i]](g, result)
                # Not by `product`, which would first copy its first factor in order.
                torch.mm(entered.t(), g, out=to_weights[i][k])
                torch.sum(g, 0, out=to_biases[i][k, 0])
                if i or ctx.needs_input_grad[0]:
                    g = product(g, weights[i][k])
            to_x.append(g)
        pairs = [part for pair in zip(to_weights, to_biases, strict=True) for part in pair]
        return torch.stack(to_x) if ctx.needs_input_grad[0] else None, None, *pairs


_BACK: dict[Activation, Callable[[Tensor, Tensor], Tensor]] = {
    "none": lambda gradient, _: gradient,
    "relu": lambda gradient, y: torch.ops.aten.threshold_backward(gradient, y, 0),
    "silu": torch.ops.aten.silu_backward,
    "tanh": torch.ops.aten.tanh_backward,
}


def _uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(shape, generator=generator) * 2 - 1) * bound
