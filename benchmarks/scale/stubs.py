"""One real learner, fed by many stub workers in one process, each over a connection of its own.

    python -m benchmarks.scale.stubs [--workers 1000] [--seconds 20] [--rows 4000] [--horizon 20]

A stub asks, fetches the policy of each version, waits as long as imagining would take, and submits
what it was handed out with made-up steps: every call is a real one, only the model is missing. The
learner is the real service behind the real server in a process of its own, whose update sleeps.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import psutil
import torch

from moma_core import documents
from moma_core.address import Address
from moma_core.pb import learner_pb2, learner_pb2_grpc
from moma_core.rpc import codec
from moma_core.rpc.channel import OPTIONS
from moma_core.types import Assignment, Metrics, RunCard, Trajectory

_WAIT_S, _CALL_S = 5.0, 60.0
_OWN = ("grpc.use_local_subchannel_pool", 1)
"""Otherwise all stubs would share one connection."""
_NUMBERS = re.compile(r"\d+")
"""Left out of reasons, so that refusals alike are counted together."""


@dataclass
class Seen:
    """What the stubs met, from the moment on that `counting` is set."""

    counting: bool = False
    took: dict[str, list[float]] = field(default_factory=dict)
    """Seconds of calls that were answered, by method; of `Assign` those that brought work."""
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Refusals, by method and reason."""
    delivered: set[str] = field(default_factory=set)
    """Stubs of which a segment was accepted."""
    accepted: int = 0


def made_up(card: RunCard, given: Assignment, worker: str, version: int) -> Trajectory:
    """Returns a segment whose rollouts stand still where they were to begin.

    Args:
        card: the run's.
        given: what was handed out.
        worker: to whom.
        version: the policy's.
    """
    assert given.starts is not None
    spec, steps, starts = card.task, card.rollout.horizon, given.starts
    step = torch.arange(steps)[:, None]
    end = (spec.episode_limit - starts.age).clamp_max(steps) - 1
    never = torch.zeros(steps, len(end), dtype=torch.bool)
    none = torch.zeros(never.shape)
    return Trajectory(
        policy_version=version, epoch=given.epoch, worker=worker, incarnation=0,
        first=given.first, history=starts.history, age=starts.age,
        state=starts.state.expand(steps + 1, -1, -1).contiguous(),
        action=torch.zeros(*never.shape, *spec.action_mask.shape),
        log_prob=torch.zeros(*never.shape, len(spec.agents)), reward=none, penalty=none,
        terminated=never, truncated=step == end, unsure=never, valid=step <= end,
    )  # fmt: skip


class Stub:
    """One worker without a model."""

    def __init__(self, address: Address, name: str, imagine_s: float, seen: Seen) -> None:
        """Connects at the first call.

        Args:
            address: the learner's.
            name: its own in the run.
            imagine_s: seconds between what it is handed out and what it submits.
            seen: where it notes what it met.
        """
        options = (*OPTIONS, _OWN, ("grpc.enable_http_proxy", 0))
        self._channel = grpc.aio.insecure_channel(str(address), options=options)
        self._stub = learner_pb2_grpc.LearnerStub(self._channel)
        self._name, self._imagine_s, self._seen = name, imagine_s, seen
        self._held = -1

    async def work(self, over: asyncio.Event) -> None:
        """Works until the end, whatever is refused."""
        told = await self._call("Describe", learner_pb2.DescribeRunRequest())
        while told is None and not over.is_set():
            told = await self._call("Describe", learner_pb2.DescribeRunRequest())
        if told is not None:
            self._card = documents.parse(RunCard, told.card, "the learner's card")
        while not over.is_set():
            await self._step()
        await self._channel.close()

    async def _step(self) -> None:
        request = learner_pb2.AssignRequest(worker=self._name, incarnation=0, wait_s=_WAIT_S)
        reply = await self._call("Assign", request)
        if reply is None or reply.first < 0:
            return
        if reply.policy_version != self._held:
            fetched = await self._call("FetchPolicy", learner_pb2.FetchPolicyRequest())
            if fetched is None:
                return
            self._held = fetched.version
        await asyncio.sleep(self._imagine_s)
        made = made_up(self._card, codec.decode(Assignment, reply), self._name, self._held)
        receipt = await self._call("Submit", codec.encode(made, learner_pb2.Trajectory()))
        if receipt is not None and self._seen.counting:
            self._seen.accepted += not receipt.reason
            self._seen.refused["Submit", receipt.reason] += bool(receipt.reason)
        if receipt is not None and not receipt.reason:
            self._seen.delivered.add(self._name)

    async def _call(self, method: str, request: Any) -> Any:  # noqa: ANN401 - any message
        """Returns the answer; None where it was refused, which is noted, after a pause."""
        asked = time.monotonic()
        ask: Callable[..., Awaitable[Any]] = getattr(self._stub, method)
        try:
            reply = await ask(request, timeout=_CALL_S)
        except grpc.aio.AioRpcError as error:
            if self._seen.counting:
                why = _NUMBERS.sub("N", f"{error.code().name}: {error.details()}"[:60])
                self._seen.refused[method, why] += 1
            await asyncio.sleep(1.0)
            return None
        if self._seen.counting and getattr(reply, "first", 0) >= 0:
            self._seen.took.setdefault(method, []).append(time.monotonic() - asked)
        return reply


class Fed:
    """The learner's process, spoken to by lines."""

    def __init__(self, *arguments: object) -> None:
        """Starts it and waits until it listens."""
        command = [sys.executable, "-m", "benchmarks.scale.fed", *map(str, arguments)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.address = Address.parse(self._line()["address"])

    def counters(self) -> Metrics:
        """Asks for its counters, and adds its processor time and memory."""
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)
        counted = self._line()
        seen = psutil.Process(self._process.pid)
        times, memory = seen.cpu_times(), seen.memory_info().rss / 2**20
        return {**counted, "cpu_s": times.user + times.system, "rss_mb": memory}

    def end(self) -> None:
        """Closes its input and waits."""
        self._process.communicate(timeout=60)

    def _line(self) -> Any:  # noqa: ANN401 - whatever it says
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


async def feed(fed: Fed, workers: int, imagine_s: float, warm_s: float, seconds: float) -> Metrics:
    """Lets stubs work for a while; returns rates, waits and what was refused.

    Args:
        fed: the learner's process.
        workers: stubs.
        imagine_s: seconds of imagining a segment.
        warm_s: seconds before counting begins.
        seconds: seconds of counting.
    """
    seen, over = Seen(), asyncio.Event()
    stubs = [Stub(fed.address, f"stub-{n}", imagine_s, seen) for n in range(workers)]
    tasks = [asyncio.create_task(stub.work(over)) for stub in stubs]
    await asyncio.sleep(warm_s)
    before = await asyncio.to_thread(fed.counters)
    seen.counting, begun = True, time.monotonic()
    await asyncio.sleep(seconds)
    after, taken = await asyncio.to_thread(fed.counters), time.monotonic() - begun
    seen.counting = False
    over.set()
    await asyncio.wait(tasks, timeout=2 * _WAIT_S)
    for task in tasks:
        task.cancel()
    return _told(seen, before, after, taken)


def _told(seen: Seen, before: Metrics, after: Metrics, taken: float) -> Metrics:
    grown = {name: after[name] - before[name] for name in after}
    told = {
        "rounds/s": grown["round"] / taken,
        "segments/s": seen.accepted / taken,
        "learner cores": grown["cpu_s"] / taken,
        "learner MB": after["rss_mb"],
        "workers alive": after["charts/workers_alive"],
        "workers that delivered": float(len(seen.delivered)),
        "handed out again": grown["fault/reissued_segments"],
    }
    for method in ("Assign", "Submit"):
        waits = np.asarray(seen.took.get(method, [np.nan])) * 1e3
        for level in (50, 95, 100):
            told[f"{method} p{level} ms"] = float(np.percentile(waits, level))
    named = {f"refused {m}: {why}": float(count) for (m, why), count in seen.refused.items()}
    return told | {name: count for name, count in named.items() if count}


def measure(args: argparse.Namespace) -> Metrics:
    """Starts the learner, feeds it, ends it."""
    fed = Fed(args.rows, args.horizon, args.lag, args.update_s)
    try:
        return asyncio.run(feed(fed, args.workers, args.imagine_s, args.warm_s, args.seconds))
    finally:
        fed.end()


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--warm-s", type=float, default=10.0)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--horizon", type=int, default=20)
    parser.add_argument("--lag", type=int, default=0)
    parser.add_argument("--update-s", type=float, default=0.5)
    parser.add_argument("--imagine-s", type=float, default=1.0)
    return parser.parse_args(words)


def main() -> None:
    """Prints what was measured, a line each."""
    for name, value in measure(parsed()).items():
        print(f"{name:<40} {value:10,.2f}")


if __name__ == "__main__":
    main()
