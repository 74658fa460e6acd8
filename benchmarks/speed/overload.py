"""What a model server answers while up to four times as many ask as it can serve.

    python -m benchmarks.speed.overload [--seconds 4] [--rows 64] [--workers 1,2,4,8,16]

A model that sleeps 3 ms a batch, whatever its rows, behind `Batching` and gRPC in a process of its
own; each worker is a process that keeps two requests in flight. A batch holds four requests: with
one in the model and one collecting, four workers fill it. Two batches may wait; what does not fit
is refused, and `Patience` asks again. The base is what the model does alone, without a server.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from threading import Thread

import numpy as np
import torch

from model_server.serving.batching import Batching
from model_server.serving.waiting import Limits
from moma_core import tasks
from moma_core.address import Address
from moma_core.ports import Dynamics
from moma_core.rpc.channel import Patience
from moma_core.rpc.dynamics import DynamicsClient, serve_dynamics
from moma_core.rpc.endpoint import Endpoint
from moma_core.runtime import process
from moma_core.types import Metrics, ModelCard, Prediction, Query

_FORWARD_S = 0.003
_REQUESTS = 4
"""In a batch."""
_THREADS = 2
"""Of a worker, each with one request in flight."""
_WARM_UP_S = 1.5


class Sleeper:
    """A model that takes its time and computes nothing."""

    def __init__(self, rows: int) -> None:
        """Makes room for so many rows."""
        zero = torch.zeros(rows)
        self._card = ModelCard(
            task=tasks.get("reacher-leader").spec, members=1, elites=(0,), measured={},
            disagreement_quantiles={}, terminates=False, digest="sleeper",
        )  # fmt: skip
        self._answer = {
            "next_state": torch.zeros(rows, self._card.task.state_width),
            "terminated": zero.bool(),
            "outside": torch.zeros(rows, self._card.task.state_width + 1, dtype=torch.bool),
            **dict.fromkeys(("reward", "disagreement", "aleatoric", "reward_disagreement"), zero),
        }

    def describe(self) -> ModelCard:
        """Returns a card of the reacher's widths."""
        return self._card

    def metrics(self) -> Metrics:
        """Returns none."""
        return {}

    def predict(self, query: Query) -> Prediction:
        """Sleeps, then answers zeros."""
        time.sleep(_FORWARD_S)
        rows = {name: value[: query.rows] for name, value in self._answer.items()}
        return Prediction(model=self._card.digest, **rows)


def serve(rows: int) -> None:
    """Says what the model does alone and where it is served, until standard input closes."""
    most = _REQUESTS * rows
    model, state = Sleeper(most), torch.zeros(most, 1)
    zero = torch.zeros(most, dtype=torch.int64)
    query = Query(state=state, action=state[..., None], age=zero, seed=torch.arange(most))
    begun = time.monotonic()
    for _ in range(200):
        model.predict(query)
    alone = 200 * _REQUESTS / (time.monotonic() - begun)
    batching = Batching(model, Limits(max_rows=most, queue_rows=2 * most))
    server = serve_dynamics(batching, Endpoint())
    print(json.dumps({"address": str(server.address), "alone": alone}), flush=True)
    sys.stdin.read()
    server.stop(0.0)
    batching.close()


def work(address: Address, rows: int) -> None:
    """Asks from one moment to another, as often as standard input says, and prints what it took."""
    torch.set_num_threads(1)
    process.yield_cores()  # as `moma work` does
    client = DynamicsClient(address, Patience("the server", lambda: False, process.say))
    spec = client.describe().task
    state, action = torch.randn(rows, spec.state_width), torch.zeros(rows, *spec.action_mask.shape)
    zero = torch.zeros(rows, dtype=torch.int64)
    query = Query(state=state, action=action, age=zero, seed=torch.arange(rows))

    def ask(begin: float, end: float, took: list[float]) -> None:
        while (asked := time.monotonic()) < end:
            client.predict(query)
            if begin <= (answered := time.monotonic()) < end:
                took.append(answered - asked)

    print("ready", flush=True)
    for line in sys.stdin:
        took: list[float] = []
        threads = [Thread(target=ask, args=(*json.loads(line), took)) for _ in range(_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(json.dumps(took), flush=True)
    client.close()


def measure(client: Dynamics, asking: Sequence[Child], seconds: float) -> Metrics:
    """Lets these workers ask for a while."""
    begin = time.monotonic() + _WARM_UP_S
    for one in asking:
        one.tell(json.dumps([begin, begin + seconds]))
    shed = []
    for moment in (begin, begin + seconds):
        time.sleep(max(0.0, moment - time.monotonic()))
        shed.append(client.metrics()["model_server/shed"])
    took = [second for one in asking for second in json.loads(one.line())]
    levels = zip(("p50", "p99", "most"), np.percentile(took, (50, 99, 100)) * 1e3, strict=True)
    refused = (shed[1] - shed[0]) / seconds
    return {"rate": len(took) / seconds, "refused": refused, **dict(levels)}


class Child:
    """This script in another role, spoken to by lines."""

    def __init__(self, *arguments: object) -> None:
        """Starts it."""
        command = [sys.executable, "-m", "benchmarks.speed.overload", *map(str, arguments)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def line(self) -> str:
        """Returns the next line that it writes."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def tell(self, line: str) -> None:
        """Writes a line to it."""
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)

    def end(self) -> None:
        """Closes its input and waits."""
        self._process.communicate(timeout=20)


def main() -> None:
    """Runs the benchmark and prints a line per number of workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--role", choices=("lead", "serve", "work"), default="lead")
    parser.add_argument("--address", type=Address.parse)
    args = parser.parse_args()
    roles = {"serve": lambda: serve(args.rows), "work": lambda: work(args.address, args.rows)}
    roles.get(args.role, lambda: lead(args.workers, args.rows, args.seconds))()


def lead(counts: Sequence[int], rows: int, seconds: float) -> None:
    """Starts the server and all workers, and lets more and more of them ask."""
    server = Child("--role", "serve", "--rows", rows)
    capacity, one = (told := json.loads(server.line()))["alone"], 0.0
    print(f"the model alone: {capacity:,.0f} requests/s in batches of {_REQUESTS} of {rows} rows")
    ask = ("--role", "work", "--address", told["address"], "--rows", rows)
    workers = [Child(*ask) for _ in range(max(counts))]
    for worker in workers:
        worker.line()
    client = DynamicsClient(Address.parse(told["address"]))
    for count in counts:
        found = measure(client, workers[:count], seconds)
        one = one or found["rate"] / count
        print(
            f"{count:>2} workers: {found['rate']:6,.0f} requests/s, "
            f"{found['rate'] / (one * count):5.2f} of linear, "
            f"{found['rate'] / capacity:5.2f} of capacity, "
            f"refused {found['refused']:5.0f}/s, "
            f"p50 {found['p50']:6.1f} ms, p99 {found['p99']:6.1f} ms, "
            f"longest {found['most']:5.0f} ms",
            flush=True,
        )
    client.close()
    for child in (*workers, server):
        child.end()


if __name__ == "__main__":
    main()
