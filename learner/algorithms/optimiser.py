"""Adam over many small parameters as one vector: one step, one norm. It knows no network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from learner.algorithms.group import ALONE, Group

_EPSILON = 1e-5
"""Adam's; with its usual 1e-8 the first steps of PPO are too large (Andrychowicz et al. 2021)."""


class FlatAdam:
    """Adam (Kingma, Ba 2015) with a limit on the global gradient norm.

    A step whose loss or gradient is not finite is skipped: one bad row must not end learning for
    good. The loss is looked at because a clamp's derivative hides what is no number.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], learning_rate: float, group: Group = ALONE
    ) -> None:
        """Takes over the parameters and their gradients.

        Args:
            parameters: what is to be optimised; they become views of one vector.
            learning_rate: until another one is set.
            group: learners that take each step together.
        """
        self._group = group
        self.parameters = flatten(parameters)
        self._adam = torch.optim.Adam([self.parameters], lr=learning_rate, eps=_EPSILON, fused=True)

    def zero_gradient(self) -> None:
        """Forgets the gradient, in place."""
        self._gradient.zero_()

    def set_learning_rate(self, learning_rate: float) -> None:
        """Sets the learning rate of the steps to come."""
        self._adam.param_groups[0]["lr"] = learning_rate

    def step(
        self, loss: Float32[Tensor, ""], grad_norm: float, weight: float = 1.0
    ) -> tuple[Float32[Tensor, ""], Float32[Tensor, ""]]:
        """Takes a step down the gradient, scaled to a norm of at most `grad_norm`.

        Args:
            loss: what the gradient is of.
            grad_norm: limit of the global norm.
            weight: part of the minibatch's rows that the loss is the mean over.

        Returns:
            The norm that the gradient had, and 1 where the step was skipped, else 0.
        """
        self._group.join(self._gradient, loss, weight)
        norm = limit(self._gradient, grad_norm)
        skipped = (~torch.isfinite(norm + loss.detach())).float()
        # As torch's own gradient scaler has steps skipped: the host need not know.
        self._adam.found_inf = skipped  # type: ignore[attr-defined]
        self._adam.step()
        return norm, skipped

    def state(self) -> dict[str, Tensor]:
        """Returns Adam's moments; nothing before the first step."""
        found = self._adam.state_dict()["state"]
        return dict(found[0]) if found else {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Takes moments back as `state` gave them."""
        groups = self._adam.state_dict()["param_groups"]
        self._adam.load_state_dict(
            {"state": {0: dict(state)} if state else {}, "param_groups": groups}
        )

    @property
    def _gradient(self) -> Tensor:
        assert self.parameters.grad is not None
        return self.parameters.grad


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
