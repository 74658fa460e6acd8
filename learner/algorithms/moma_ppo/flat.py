"""Many parameters as one vector: one optimiser step, one norm. It knows no network."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float32
from torch import Tensor, nn


def flatten(parameters: Iterable[nn.Parameter]) -> nn.Parameter:
    """Moves parameters and their gradients into one vector each, of which they become views.

    A step on the vector is a step on all of them; zero the vector's gradient in place. With a
    dozen small tensors that takes a third of the time of a step on each.
    """
    parts = list(parameters)
    whole = nn.Parameter(torch.cat([part.detach().flatten() for part in parts]))
    whole.grad = torch.zeros_like(whole)
    begin = 0
    for part in parts:
        end = begin + part.numel()
        part.data = whole.data[begin:end].view_as(part)
        part.grad = whole.grad[begin:end].view_as(part)
        begin = end
    return whole


def limit(gradient: Float32[Tensor, " P"], norm: float) -> Float32[Tensor, ""]:
    """Scales a gradient in place to a norm of at most `norm`; returns the norm that it had."""
    had: Tensor = torch.linalg.vector_norm(gradient)
    gradient.mul_((norm / (had + 1e-6)).clamp_max(1.0))
    return had
