"""Several small networks of one shape as one module: agents' actors, ensemble members."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from moma_core.nets.kernels import Activation, activate, dense, fused, native_bf16, product

_SMALL = 1 << 17
"""Numbers per network between two layers up to which a batched product is faster on a CPU."""
# Up to there `baddbmm` wins, by fewer calls and one barrier for all networks: five of 3 x 256 take
# 0.69 instead of 0.89 ms for 256 rows. Beyond, one network after the other wins, since rows stay in
# the cache from layer to layer: 815 instead of 630 GFLOP/s at 1,024 wide.


class StackedLinear(nn.Module):
    """K independent linear layers, applied to K inputs.

    Initialised like `torch.nn.Linear` (uniform in +-1/sqrt(inputs)), from the given generator.

    Args:
        count: networks, K.
        inputs: numbers that enter each, I.
        outputs: numbers that leave each, J.
        generator: of the first weights.
        scale: factor of the first weights and biases.
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
    hidden: torch.dtype = torch.float32,
) -> Float[Tensor, "K N J"]:
    """Runs K networks through their layers; layers beyond `activations` have none.

    All in one batched product, or, for many rows on a CPU and no gradient, one after the other.

    Args:
        layers: the networks' layers, from inputs to outputs.
        x: rows of each network, `[K N I]`.
        activations: those of the first layers, one each.
        hidden: a precision that all layers but the last may compute in while gradients are
            recorded, with weights that stay in fp32; used where the processor is fast in it.

    Returns:
        `[K N J]`, in the last layer's precision.
    """
    linear: list[Activation] = ["none"] * (len(layers) - len(activations))
    kinds = [*activations, *linear]
    if x.device.type != "cpu" or x.shape[1] * layers[0].weight.shape[2] <= _SMALL:
        for layer, kind in zip(layers, kinds, strict=True):
            z = torch.baddbmm(layer.bias, x.to(layer.weight.dtype), layer.weight)
            x = activate(z, kind, in_place=not torch.is_grad_enabled())
        return x
    parameters = [parameter for layer in layers for parameter in (layer.weight, layer.bias)]
    inner = precision(x.shape[1], layers[0].weight.shape[2], x.device, hidden)
    whole = all(parameter.dtype == torch.float32 for parameter in parameters)
    if torch.is_grad_enabled() and fused(x) and whole and x.dtype in (torch.float32, inner):
        y: Tensor = _Chain.apply(x, kinds, inner, *parameters)  # type: ignore[no-untyped-call]
        return y
    outputs = []
    for k, rows in enumerate(x.unbind()):
        y = rows
        for layer, kind in zip(layers, kinds, strict=True):
            y = dense(y.to(layer.weight.dtype), layer.weight[k], layer.bias[k], kind)
        outputs.append(y)
    return torch.stack(outputs)


def precision(rows: int, width: int, device: torch.device, hidden: torch.dtype) -> torch.dtype:
    """Returns what `chain` rounds its inputs to and computes in while gradients are recorded.

    Args:
        rows: rows of each network, N.
        width: outputs of the first layer.
        device: the rows' device.
        hidden: the precision that hidden layers may compute in.
    """
    # `baddbmm` computes in the weights' own fp32, and without native bf16 it would be emulated.
    large = device.type == "cpu" and rows * width > _SMALL
    return hidden if large and native_bf16() else torch.float32


class _Chain(torch.autograd.Function):
    """A chain with its derivative, in one node of the graph.

    In bf16 every product but the last layer's forward one is: what enters it is rounded, sums are
    in fp32, and so are the gradients that come out. The outputs themselves are not rounded.

    All hidden layers are in bf16 or none: one alone gains nothing, for conversions between layers
    eat what its product saves. The last layer stays in fp32, because means, logits and values are
    what the losses see: in bf16 they would be off by up to 0.011, for 7 % of an update.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's context
        x: Tensor,
        kinds: Sequence[Activation],
        inner: torch.dtype,
        *parameters: Tensor,
    ) -> Tensor:
        whole, biases = parameters[::2], parameters[1::2]
        rounded = [weight.to(inner) for weight in whole]
        y, kept = x.to(inner), []
        for weight, bias, kind in zip([*rounded[:-1], whole[-1]], biases, kinds, strict=True):
            kept.append(y)
            # relu's and tanh's derivatives are in terms of the result, silu's of the argument.
            z = _layer(y.to(weight.dtype), weight, bias, "none" if kind == "silu" else kind)
            kept.append(z)
            y = activate(z, kind) if kind == "silu" else z
        ctx.kinds, ctx.precision = kinds, x.dtype
        ctx.save_for_backward(*rounded, *kept)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        depth, g = len(ctx.kinds), gradient
        weights, kept = ctx.saved_tensors[:depth], ctx.saved_tensors[depth:]
        found: list[Tensor] = []
        for i in reversed(range(depth)):
            entered, result = kept[2 * i], kept[2 * i + 1]
            g = _BACK[ctx.kinds[i]](g, result).to(entered.dtype)
            # x^T g by torch, not by oneDNN's fused operator, which copies x^T in order first.
            pair = _times(entered.mT, g), g.sum(1, keepdim=True)
            found = [*(part.to(gradient.dtype) for part in pair), *found]
            if i or ctx.needs_input_grad[0]:
                g = _times(g, weights[i].mT)
        return g.to(ctx.precision) if ctx.needs_input_grad[0] else None, None, None, *found


def _layer(
    x: Float[Tensor, "K N I"],
    weight: Float[Tensor, "K I J"],
    bias: Float32[Tensor, "K 1 J"],
    activation: Activation,
) -> Float[Tensor, "K N J"]:
    """One layer of K networks: a thread each, or for a single one all threads on its rows.

    A thread for each has no barrier within the layer.
    """
    bias = bias.to(x.dtype)
    if len(x) == 1:
        return product(x[0], weight[0].t(), bias.view(-1), activation)[None]
    return activate(torch.baddbmm(bias, x, weight), activation, in_place=True)


def _times(x: Float[Tensor, "K N I"], y: Float[Tensor, "K I J"]) -> Float[Tensor, "K N J"]:
    """K products, as `_layer` shares them out."""
    return torch.mm(x[0], y[0])[None] if len(x) == 1 else torch.bmm(x, y)


_BACK: dict[Activation, Callable[[Tensor, Tensor], Tensor]] = {
    "none": lambda gradient, _: gradient,
    "relu": lambda gradient, y: torch.ops.aten.threshold_backward(gradient, y, 0),
    "silu": torch.ops.aten.silu_backward,
    "tanh": torch.ops.aten.tanh_backward,
}


def _uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(shape, generator=generator) * 2 - 1) * bound
