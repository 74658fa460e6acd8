"""What a learner and a worker take on this machine, for the simulation: `costs.json`.

    python -m benchmarks.scale.costs [--json benchmarks/scale/costs.json]

A learner's costs are processor seconds of its process over real calls; a worker's are seconds of
its steps beside a dynamics server that sleeps for a known time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from benchmarks.scale.real import Asleep
from benchmarks.scale.stubs import Fed, made_up
from benchmarks.scale.world import Costs
from moma_core import documents
from moma_core.pb import learner_pb2
from moma_core.rpc import codec
from moma_core.rpc.dynamics import DynamicsClient
from moma_core.rpc.learner import LearnerClient
from moma_core.storage import write_text
from rollout_workers.worker import Worker

_TEAM, _ROUNDS, _HORIZON = 64, 6, 20
_FETCHES, _STEPS = 300, 7
_MODEL_S = 0.02


def learner(each: int) -> tuple[float, float, float, float]:
    """Returns a learner's seconds for a question and for a segment, a row's bytes, a segment's.

    Args:
        each: rows of a segment.
    """
    fed = Fed(_TEAM * each, _HORIZON, 0, 0.0)
    asked = sent = 0.0
    with closing(LearnerClient(fed.address)) as client:
        card, size = client.describe(), 0
        for round_ in range(_ROUNDS):
            before = fed.counters()["cpu_s"]
            given = {name: client.assign(name, 0, 0.0) for name in map(str, range(_TEAM))}
            between = fed.counters()["cpu_s"]
            made = [made_up(card, one, name, round_) for name, one in given.items() if one.starts]
            for segment in made:
                client.submit(segment)
            after = fed.counters()["cpu_s"]
            if round_ >= _ROUNDS // 2:  # before, newcomers' pieces are larger
                asked, sent = asked + between - before, sent + after - between
                size = codec.encode(made[0], learner_pb2.Trajectory()).ByteSize()
    fed.end()
    calls = _TEAM * (_ROUNDS - _ROUNDS // 2)
    return asked / calls, sent / calls, size / each, size


def policy() -> tuple[float, float]:
    """Returns a learner's seconds for handing out a policy, and its bytes."""
    fed = Fed(_TEAM, _HORIZON, 0, 0.0)
    with closing(LearnerClient(fed.address)) as client:
        snapshot = client.fetch_policy()
        before = fed.counters()["cpu_s"]
        for _ in range(_FETCHES):
            client.fetch_policy()
        taken = fed.counters()["cpu_s"] - before
    fed.end()
    size = codec.encode(snapshot, learner_pb2.PolicySnapshot()).ByteSize()
    return taken / _FETCHES, float(size)


def worker(rows: int, horizon: int) -> float:
    """Returns a worker's own seconds for a segment.

    Args:
        rows: its rows.
        horizon: its steps.
    """
    fed, asleep = Fed(rows, horizon, 0, 0.0), Asleep(_MODEL_S, 1)
    with closing(LearnerClient(fed.address)) as asked, \
            closing(DynamicsClient(asleep.address)) as model:  # fmt: skip
        one, took = Worker(asked, model, "w"), []
        for _ in range(_STEPS):
            begun = time.monotonic()
            one.step()
            took.append(time.monotonic() - begun)
    fed.end()
    asleep.end()
    return statistics.median(took) - horizon * _MODEL_S * rows / 64


def measure() -> Costs:
    """Measures everything."""
    small, large = 4, 64
    asked, few, _, _ = learner(small)
    _, many, row_bytes, _ = learner(large)
    fetch_s, size = policy()
    short, long_, wide = worker(64, 4), worker(64, 20), worker(256, 20)
    step_row_s = max(0.0, (wide - long_) / 20 / (256 - 64))
    step_s = (long_ - short) / (20 - 4) - 64 * step_row_s
    return Costs(
        ask_s=asked, submit_s=few, submit_row_s=max(0.0, (many - few) / (large - small)),
        fetch_s=fetch_s, step_s=step_s, step_row_s=step_row_s,
        segment_s=short - 4 * (step_s + 64 * step_row_s), row_bytes=row_bytes, policy_bytes=size,
    )  # fmt: skip


def main() -> None:
    """Prints what was measured, and writes it where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="file that the costs are written to")
    args = parser.parse_args()
    costs = measure()
    for name, value in asdict(costs).items():
        print(f"{name:<14} {value:.6g}")
    if args.json is not None:
        write_text(args.json, documents.dump(costs) + "\n")


if __name__ == "__main__":
    main()
