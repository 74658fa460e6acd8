"""A run as a discrete-event simulation: learners, pools of model servers, workers and links.

A learner is one interpreter (what it does for a call, one after the other) and one link. A round's
rows are cut for the workers that are there, as `learner.inbox.share` cuts them; a worker asks,
fetches a new policy, imagines step by step in its pool, submits, and asks again. Where nothing is
missing it waits, and asks again every few seconds, as `rollout_workers.worker` does. Several
learners are sharded inboxes: each takes in its part of the rows, and all update together.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import simpy

Events = Generator[simpy.Event, Any, None]
_WAIT_S = 5.0
"""Seconds after which a worker that waits asks again."""
_MOST_ROWS = 256


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What this machine was measured to take, by `benchmarks.scale.costs`."""

    ask_s: float
    """Processor seconds of a learner for a question and its answer."""
    submit_s: float
    """Processor seconds for a segment, whatever its rows."""
    submit_row_s: float
    """Processor seconds for every row of it, of `horizon` steps."""
    fetch_s: float
    """Processor seconds for handing out a policy."""
    step_s: float
    """A worker's own seconds for a step, beside the model's."""
    step_row_s: float
    """A worker's own seconds for every row of a step."""
    segment_s: float
    """A worker's own seconds for a segment, beside its steps."""
    row_bytes: float
    """Bytes of a row of a segment on its way to the learner."""
    policy_bytes: float
    """Bytes of a policy."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A run to simulate."""

    workers: int
    rows: int
    """Rollouts of a round."""
    horizon: int
    model_s: float
    """Seconds of the model for 64 rows."""
    at_once: int
    """Requests that all pools together answer at a time."""
    update_s: float = 0.0
    learners: int = 1
    relays: int = 0
    """Fan-out of a tree of relays that hand policies on; 0: everybody asks the learner."""
    latency_s: float = 0.0
    bandwidth: float = math.inf
    """Bytes per second of a learner's link."""
    whole: bool = False
    """Imagine a segment in one event: as long, and far fewer events."""
    lease_s: float = 20.0
    cores: int = 0
    """Cores that all workers share; 0: each has its own."""


class Shard:
    """One learner: an interpreter, a link, and the rows of its part of the round."""

    def __init__(self, env: simpy.Environment, setup: Setup) -> None:
        """Begins with nothing to do."""
        self.interpreter, self.link = simpy.Resource(env), simpy.Resource(env)
        self.missing = self.made = 0
        self.busy_s = self.link_s = 0.0
        self.opened = env.event()
        self.env, self.setup = env, setup

    def serve(self, seconds: float, size: float = 0.0) -> Events:
        """Takes its interpreter, and its link for so many bytes."""
        with self.interpreter.request() as turn:
            yield turn
            yield self.env.timeout(seconds)
            self.busy_s += seconds
        if size and math.isfinite(self.setup.bandwidth):
            taken = size / self.setup.bandwidth
            with self.link.request() as turn:
                yield turn
                yield self.env.timeout(taken)
                self.link_s += taken


class Simulation:
    """A run of some rounds."""

    def __init__(self, setup: Setup, costs: Costs) -> None:
        """Lays out learners, pool and workers."""
        self.env, self.setup, self.costs = simpy.Environment(), setup, costs
        self.shards = [Shard(self.env, setup) for _ in range(setup.learners)]
        self.pool = simpy.Resource(self.env, setup.at_once)
        self.cores = simpy.Resource(self.env, setup.cores) if setup.cores else None
        self.version, self.rounds, self.segments, self.late = -1, 0, 0, 0
        self.whole = self.env.event()
        self.submits: list[float] = []
        for number in range(setup.workers):
            self.env.process(self._work(self.shards[number % setup.learners]))
        self.env.process(self._learn())

    def _learn(self) -> Events:
        setup = self.setup
        while True:
            self.version += 1
            for shard in self.shards:
                shard.missing, shard.made = setup.rows // setup.learners, 0
                opened, shard.opened = shard.opened, self.env.event()
                opened.succeed()
            yield self.whole
            self.whole = self.env.event()
            yield self.env.timeout(setup.update_s / setup.learners)
            self.rounds += 1

    def _work(self, shard: Shard) -> Events:
        setup, costs, env, held = self.setup, self.costs, self.env, -1
        each = math.ceil(setup.rows / setup.workers)
        while True:
            yield env.timeout(setup.latency_s)
            yield from shard.serve(costs.ask_s)
            if not shard.missing:
                yield shard.opened | env.timeout(_WAIT_S)
                continue
            rows = min(each, shard.missing, _MOST_ROWS)
            shard.missing -= rows
            asked, version = env.now, self.version
            if held != version:
                yield from self._fetch(shard)
                held = version
            yield from self._imagine(rows)
            sent = env.now
            yield env.timeout(2 * setup.latency_s)
            yield from shard.serve(
                costs.submit_s + rows * costs.submit_row_s, rows * costs.row_bytes
            )
            self.submits.append(env.now - sent)
            self.late += env.now - asked > setup.lease_s
            self.segments += 1
            shard.made += rows
            if all(s.made >= setup.rows // setup.learners for s in self.shards):
                self.whole.succeed()

    def _fetch(self, shard: Shard) -> Events:
        """Gets a policy, from the learner or over a tree of relays with as fast a link each."""
        setup, costs = self.setup, self.costs
        if not setup.relays:
            yield self.env.timeout(2 * setup.latency_s)
            yield from shard.serve(costs.fetch_s, costs.policy_bytes)
            return
        depth = max(1, math.ceil(math.log(max(2, setup.workers), setup.relays)))
        hop = setup.relays * (costs.fetch_s + costs.policy_bytes / setup.bandwidth)
        yield self.env.timeout(depth * (hop + 2 * setup.latency_s))

    def _imagine(self, rows: int) -> Events:
        setup, costs = self.setup, self.costs
        yield from self._compute(costs.segment_s)
        model_s = setup.model_s * rows / 64 + 2 * setup.latency_s
        own_s, count = costs.step_s + rows * costs.step_row_s, setup.horizon
        if setup.whole:
            model_s, own_s, count = model_s * count, own_s * count, 1
        for _ in range(count):
            yield from self._compute(own_s)
            with self.pool.request() as turn:
                yield turn
                yield self.env.timeout(model_s)

    def _compute(self, seconds: float) -> Events:
        if self.cores is None:
            yield self.env.timeout(seconds)
            return
        with self.cores.request() as turn:
            yield turn
            yield self.env.timeout(seconds)


def simulate(setup: Setup, costs: Costs, warm: int = 2, rounds: int = 4) -> dict[str, float]:
    """Simulates some rounds; returns rates, and how busy the busiest learner is.

    Args:
        setup: the run.
        costs: what was measured.
        warm: rounds before counting begins.
        rounds: rounds that are counted.
    """
    one = Simulation(setup, costs)
    while one.rounds < warm:
        one.env.step()
    begun, segments, late = one.env.now, one.segments, one.late
    busy = [(shard.busy_s, shard.link_s) for shard in one.shards]
    one.submits.clear()
    while one.rounds < warm + rounds:
        one.env.step()
    taken = one.env.now - begun
    used = [(s.busy_s - b, s.link_s - k) for s, (b, k) in zip(one.shards, busy, strict=True)]
    waits = sorted(one.submits)
    return {
        "workers": setup.workers,
        "learners": setup.learners,
        "relays": setup.relays,
        "rounds/s": rounds / taken,
        "segments/s": (one.segments - segments) / taken,
        "learner busy": max(b for b, _ in used) / taken,
        "link busy": max(k for _, k in used) / taken,
        "submit p95 s": waits[int(0.95 * len(waits))],
        "late leases": one.late - late,
    }
