"""One dense layer, activation(x W + b), by the fastest kernel at hand. It knows no network.

On a CPU that is oneDNN's, with bias and activation fused into the product: in fp32 twice the rate
of the BLAS behind `torch.addmm` on an AMD processor with AVX-512 (docs/performance.md). It is an
operator that torch's own compiler emits, without a derivative: `moma_core.nets.stacked` has that
of a chain of layers. Where it is missing, and on any other device, plain torch does the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Activation = Literal["none", "relu", "silu", "tanh"]
_PLAIN: dict[Activation, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "relu": torch.relu,
    "silu": torch.nn.functional.silu,
    "tanh": torch.tanh,
}
_IN_PLACE: dict[Activation, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "relu": torch.relu_,
    "silu": lambda x: torch.nn.functional.silu(x, inplace=True),
    "tanh": torch.tanh_,
}
_ONEDNN = {"none": "none", "relu": "relu", "silu": "swish", "tanh": "tanh"}
"""What oneDNN calls them."""


def dense(
    x: Float[Tensor, "N I"],
    weight: Float[Tensor, "I J"],
    bias: Float[Tensor, "1 J"],
    activation: Activation = "none",
) -> Float[Tensor, "N J"]:
    """Returns activation(x W + b) in the weights' precision, fp32 or bf16.

    Args:
        x: rows `[N I]`, in the weights' precision.
        weight: `[I J]`.
        bias: `[1 J]`.
        activation: applied to every number of the product.
    """
    # Fused, because bias and activation as passes of their own cost a fifth to two fifths of a
    # layer in bf16; where a gradient is recorded plain torch does it, for oneDNN's has none.
    if fused(x) and not _recorded(x, weight):
        return product(x, weight.t(), bias.view(-1), activation)
    return _PLAIN[activation](torch.addmm(bias, x, weight))


def activate(
    x: Float[Tensor, "*N"], activation: Activation, *, in_place: bool = False
) -> Float[Tensor, "*N"]:
    """Returns the activation alone.

    Args:
        x: of any shape.
        activation: applied to every number.
        in_place: overwrites `x`; only where no gradient is to pass through.
    """
    return (_IN_PLACE if in_place else _PLAIN)[activation](x)


def product(
    x: Float[Tensor, "N I"],
    weight: Float[Tensor, "J I"],
    bias: Float[Tensor, " J"] | None = None,
    activation: Activation = "none",
) -> Float[Tensor, "N J"]:
    """Returns activation(x W^T + b) by oneDNN, where `fused` allows it; autograd does not see it.

    Args:
        x: rows `[N I]`, on a CPU.
        weight: `[J I]`, as `torch.nn.Linear` holds it: a transposed view costs no copy.
        bias: `[J]`, in the precision of `x`; None: none.
        activation: applied to every number of the product.
    """
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, _ONEDNN[activation], [], "")
    return y


def fused(x: Tensor) -> bool:
    """Says whether oneDNN's kernel takes this input."""
    known = x.dtype == torch.float32 or (x.dtype == torch.bfloat16 and native_bf16())
    return known and x.device.type == "cpu" and x.numel() > 0 and _available()


@cache
def native_bf16() -> bool:
    """Says whether this processor multiplies bf16 natively."""
    return bool(_ABLE & {"avx512_bf16", "amx_bf16", "amx_tile"})


def hidden(precision: Literal["auto", "fp32", "bf16"]) -> torch.dtype:
    """Returns what hidden layers compute in; auto: bf16 where the processor has it natively."""
    # Elsewhere bf16 is emulated, and slower than fp32.
    low = precision == "bf16" or (precision == "auto" and native_bf16())
    return torch.bfloat16 if low else torch.float32


def _recorded(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


@cache
def _available() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _able() -> set[str]:
    """Returns the names of what this processor can do."""
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return {name for name, has in capabilities.items() if has is True}


_ABLE = _able()


def multiply_by_onednn() -> None:
    """Sends `torch.mm` of fp32 to oneDNN as well, where its kernels are twice as fast: AMD's.

    "bf16" is a permission that only AMX would make use of: without it oneDNN computes in fp32 all
    the same (tests/unit/test_dense.py). It holds for the whole process, and rounding depends on
    it: every process that computes calls this (`moma_core.runtime.process.compute_on`).
    """
    if "avx512_bf16" in _ABLE and not _ABLE & {"amx_bf16", "amx_tile"}:
        torch.backends.mkldnn.matmul.fp32_precision = "bf16"  # type: ignore[attr-defined]
