"""One dense layer, activation(x W + b), by the fastest kernel at hand. It knows no network.

On a CPU that is oneDNN's, with bias and activation fused into the product: in fp32 twice the rate
of the BLAS behind `torch.addmm` on an AMD processor with AVX-512 (docs/performance.md). It is an
operator that torch's own compiler emits, without a derivative: the derivative is here. Where it is
missing, and on any other device, plain torch does the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

Activation = Literal["none", "relu", "silu", "tanh"]
_PLAIN: dict[Activation, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "relu": torch.relu,
    "silu": torch.nn.functional.silu,
    "tanh": torch.tanh,
}
_ONEDNN = {"none": "none", "relu": "relu", "silu": "swish", "tanh": "tanh"}
"""What oneDNN calls them."""


def dense(
    x: Float[Tensor, "N I"],
    weight: Float[Tensor, "I J"],
    bias: Float[Tensor, "1 J"],
    activation: Activation = "none",
) -> Float[Tensor, "N J"]:
    """Returns activation(x W + b) in the weights' precision, fp32 or bf16."""
    if not fused(x):
        return _PLAIN[activation](torch.addmm(bias, x, weight))
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        y: Tensor = _Fused.apply(x, weight, bias, activation)  # type: ignore[no-untyped-call]
        return y
    return _product(x, weight.t(), bias.view(-1), activation)


def activate(x: Float[Tensor, "*N"], activation: Activation) -> Float[Tensor, "*N"]:
    """Returns the activation alone."""
    return _PLAIN[activation](x)


def fused(x: Tensor) -> bool:
    """Says whether oneDNN's kernel takes this input."""
    known = x.dtype == torch.float32 or (x.dtype == torch.bfloat16 and native_bf16())
    return known and x.device.type == "cpu" and len(x) > 0 and _available()


@cache
def native_bf16() -> bool:
    """Says whether this processor multiplies bf16 natively."""
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "amx_tile"))


@cache
def _available() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _product(x: Tensor, weight: Tensor, bias: Tensor | None, activation: Activation) -> Tensor:
    """activation(x W^T + b): the operator keeps weights the other way round."""
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, _ONEDNN[activation], [], "")
    return y


class _Fused(torch.autograd.Function):
    """The layer with its derivative: three products forward and backward, all of oneDNN's."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's context
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        activation: Activation,
    ) -> Tensor:
        # relu and tanh have a derivative in terms of their result; silu needs its argument.
        whole: Activation = "none" if activation == "silu" else activation
        kept = y = _product(x, weight.t(), bias.view(-1), whole)
        if activation == "silu":
            y = torch.nn.functional.silu(kept)
        ctx.save_for_backward(x, weight, kept)
        ctx.activation, ctx.bias_shape = activation, bias.shape
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:  # noqa: ANN401
        x, weight, kept = ctx.saved_tensors
        gradient = _BACK[ctx.activation](gradient, kept)
        to_x = _product(gradient, weight, None, "none") if ctx.needs_input_grad[0] else None
        # Not the operator: it would first copy x^T in order, which takes longer than the product.
        return to_x, x.t() @ gradient, gradient.sum(0).view(ctx.bias_shape), None


_BACK: dict[Activation, Callable[[Tensor, Tensor], Tensor]] = {
    "none": lambda gradient, _: gradient,
    "relu": lambda gradient, y: torch.ops.aten.threshold_backward(gradient, y, 0),
    "silu": torch.ops.aten.silu_backward,
    "tanh": torch.ops.aten.tanh_backward,
}
