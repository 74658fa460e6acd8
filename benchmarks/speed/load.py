"""A worker that imagines for a while when told to: `python -m benchmarks.speed.load`.

Orders come on standard input, answers go to standard output, one line of JSON each. It ends when
its standard input does.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass

from benchmarks.speed.imagination import Imagination
from moma_core import documents
from moma_core.address import Address
from moma_core.config import Config
from moma_core.ports import Dynamics
from moma_core.rpc.dynamics import DynamicsClient
from moma_core.runtime import process
from moma_core.types import Metrics, ModelCard, Prediction, Query


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to imagine, where, and until when."""

    address: Address
    """Of the model server."""
    config: Config
    """With the rows and the horizon of a segment."""
    until: float
    """Seconds of the machine's monotonic clock, which all processes share."""


class OverError(Exception):
    """The order's time is over."""


class Counted:
    """A `Dynamics` that notes when which rows were answered, and asks no more after the end."""

    def __init__(self, inner: Dynamics, until: float) -> None:
        self._inner, self._until = inner, until
        self.finished: list[tuple[float, int]] = []
        """When, and how many rows."""

    def describe(self) -> ModelCard:
        """Returns the model's card."""
        return self._inner.describe()

    def metrics(self) -> Metrics:
        """Returns what the model says of itself."""
        return self._inner.metrics()

    def predict(self, query: Query) -> Prediction:
        """Asks the model.

        Raises:
            OverError: the time is over.
        """
        if time.perf_counter() >= self._until:
            raise OverError
        prediction = self._inner.predict(query)
        self.finished.append((time.perf_counter(), len(prediction.reward)))
        return prediction


def carry_out(order: Order) -> list[tuple[float, int]]:
    """Imagines until the time is over; returns when which rows were answered."""
    client = DynamicsClient(order.address)
    counted = Counted(client, order.until)
    imagination = Imagination(client.describe().task, order.config, counted)
    try:
        while True:
            imagination.segment()
    except OverError:
        return counted.finished
    finally:
        client.close()


def main() -> None:
    """Says that it is ready, then carries out one order after the other."""
    process.compute_on(1)
    process.keep_memory()
    process.yield_cores()
    _answer("ready")
    for line in sys.stdin:
        _answer(carry_out(documents.parse(Order, line, "the order")))


def order(address: Address, config: Config, until: float) -> str:
    """Returns an order as the line that a worker reads."""
    return json.dumps(asdict(Order(address=address, config=config, until=until))) + "\n"


def _answer(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
