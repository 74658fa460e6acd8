"""A dynamics server that sleeps: so many requests at once, each as long as its rows.

It computes nothing, so that this machine's cores are not what many workers on it share.
"""

from __future__ import annotations

import json
import sys
import time

import torch

from model_server.serving.batching import Batching
from moma_core import recipes, tasks
from moma_core.rpc.dynamics import serve_dynamics
from moma_core.rpc.endpoint import Endpoint
from moma_core.runtime import process
from moma_core.types import Metrics, ModelCard, Prediction, Query

RECIPE, _ROWS = "reacher-tiny", 64


class Sleeper:
    """A model that takes its time and stands still."""

    def __init__(self, seconds: float) -> None:
        """Takes so long for 64 rows."""
        self._seconds = seconds
        self._card = ModelCard(
            task=tasks.get(recipes.get(RECIPE).task).spec, members=1, elites=(0,), measured={},
            disagreement_quantiles={}, terminates=False, digest="sleeper",
        )  # fmt: skip

    def describe(self) -> ModelCard:
        """Returns a card of the recipe's widths."""
        return self._card

    def metrics(self) -> Metrics:
        """Returns none."""
        return {}

    def predict(self, query: Query) -> Prediction:
        """Sleeps, then answers that nothing has moved."""
        time.sleep(self._seconds * query.rows / _ROWS)
        none = torch.zeros(query.rows)
        return Prediction(
            next_state=query.state.clone(), reward=none, terminated=none.bool(), disagreement=none,
            aleatoric=none, reward_disagreement=none, model=self._card.digest,
            outside=torch.zeros(query.rows, query.state.shape[1] + 1, dtype=torch.bool),
        )  # fmt: skip


def serve(seconds: float, at_once: int) -> None:
    """Serves until standard input closes; prints its address."""
    process.compute_on(1)
    batching = Batching(Sleeper(seconds), alone=True, streams=at_once)
    server = serve_dynamics(batching, Endpoint())
    print(json.dumps({"address": str(server.address)}), flush=True)
    sys.stdin.read()
    server.stop(0.0)
    batching.close()


if __name__ == "__main__":
    serve(float(sys.argv[1]), int(sys.argv[2]))
