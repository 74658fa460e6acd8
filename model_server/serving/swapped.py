"""A `Dynamics` whose model is replaced while it answers: the next is built, tried, then bound."""

from __future__ import annotations

from collections.abc import Callable

import torch

from moma_core.checks import check_model
from moma_core.ports import Dynamics, InvalidFieldError
from moma_core.types import Metrics, ModelCard, Prediction, Query


class Swapped:
    """The model that there is. An answer is of one model, which it names."""

    def __init__(self, inner: Dynamics) -> None:
        """Begins with a model."""
        self._inner = inner

    def describe(self) -> ModelCard:
        """Returns its card."""
        return self._inner.describe()

    def metrics(self) -> Metrics:
        """Returns its counters."""
        return self._inner.metrics()

    def predict(self, query: Query) -> Prediction:
        """Predicts one step by it, also where it is replaced meanwhile."""
        return self._inner.predict(query)

    def swap(self, build: Callable[[], Dynamics]) -> ModelCard:
        """Builds another model, tries it and puts it in this one's place; returns its card.

        Where that fails nothing has changed.

        Args:
            build: builds it.

        Raises:
            ValueError: it is for another task, or its files are not whole.
            InvalidFieldError: what it answers is not finite.
        """
        made = build()
        card = made.describe()
        check_model(card, self.describe().task, "hand")
        _try(made, card)
        self._inner = made
        return card


def _try(made: Dynamics, card: ModelCard) -> None:
    """Asks for one row of zeros."""
    task, zero = card.task, torch.zeros(1, dtype=torch.int64)
    action = task.clamp(torch.zeros(1, len(task.agents), task.action_width))
    state = torch.zeros(1, task.state_width)
    answer = made.predict(Query(state=state, action=action, age=zero, seed=zero))
    for name in ("next_state", "reward", "disagreement"):
        if not bool(torch.isfinite(getattr(answer, name)).all()):
            raise InvalidFieldError(f"{name}: of model {card.digest[:12]} is not finite")
