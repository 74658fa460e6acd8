"""Rollouts of real actors in the world model: in this process, and over gRPC by N processes."""

from __future__ import annotations

import contextlib
import itertools
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.speed.ground import ROWS, Ground, hidden, task
from benchmarks.speed.imagination import Imagination
from benchmarks.speed.model import cost, prediction
from benchmarks.speed.sizes import Size
from benchmarks.speed.table import More, Row
from benchmarks.speed.team import Team, servers, team
from benchmarks.speed.timing import Effort, per_window, repeat, second
from moma.engines import training
from moma.engines.topology import Plan, Server
from moma_core.address import Address
from moma_core.config import Config
from moma_core.rpc.pool import Watched

ALONE = "rollout in-process"
_SHARED = 2
"""Workers that also share out the rows that the process alone has, as a run's workers would."""
_WARM_UPS = (1, 4)
"""Multiples of the warm-up to try: many workers on few cores take a while to get going."""
_ANSWERS, _LONGEST_S = 5, 10.0
"""Answers to every worker in a window, where that takes no longer than so many seconds."""
_LATE_S = 0.05
"""After the last window, so that what ends in it has been noted."""


def in_process(ground: Ground, size: Size) -> list[Row]:
    """Transitions per second of rollouts in this process, on all cores."""
    ground.say(f"{ALONE}, {size.name}")
    model = ground.model(size)
    imagination = Imagination(task(size), size.imagining(ROWS), model)
    steps = ROWS * size.horizon
    if (made := int(imagination.segment().valid.sum())) != steps:
        raise RuntimeError(f"{made} of {steps} steps are valid: rollouts ended that should not")
    rates = repeat(imagination.segment, steps, ground.effort)
    parts = ground.matmul.parts(hidden(size, ROWS), cost(model))
    return [Row(name=ALONE, size=size.name, rates=rates, parts=parts)]


def remote(ground: Ground, size: Size) -> list[Row]:
    """Transitions per second of N processes together that ask the model servers of a run."""
    ground.say(f"rollout over gRPC, {size.name}: the processes start")
    found: dict[tuple[Server, ...], list[Address]] = {}
    rows = []
    with team(max(ground.workers), ground.scratch) as workers, contextlib.ExitStack() as started:
        for count in sorted(ground.workers):
            config = size.imagining(ROWS)
            plan = training.plan(replace(config, workers=count))
            if plan.servers not in found:
                place = ground.scratch / f"{size.name}-{len(found)}"
                wanted = servers(config, ground.directory(size), plan.servers, place)
                found[plan.servers] = started.enter_context(wanted)
            each = [ROWS, ROWS // count] if count == _SHARED else [ROWS]
            rows += [_together(ground, size, workers, plan, found[plan.servers], n) for n in each]
    return rows


def _together(
    ground: Ground, size: Size, workers: Team, plan: Plan, addresses: Sequence[Address], each: int
) -> Row:
    """Counts the rows of a plan's workers, `each` a request, and what the servers make of them."""
    count = len(plan.workers)
    name = f"rollout over gRPC, {count} worker{'s' if count > 1 else ''}"
    name += "" if each == ROWS else f" of {each} rows"
    ground.say(f"{name}, {size.name}")
    model = ground.model(size)
    effort = _long_enough(ground.effort, count * second(prediction(model)))
    config = size.imagining(each)
    with contextlib.closing(Watched(addresses)) as watched:
        before = watched.metrics()
        rates = _rates(effort, config, workers, plan, addresses)
        after = watched.metrics()
    done = {name: after[name] - before[name] for name in before}
    more: dict[str, More] = {
        "servers": len(addresses),
        "requests_per_batch": done["model_server/requests"] / done["model_server/batches"],
    }
    alone = ground.found(ALONE, size)
    if alone is not None:
        more["remote_over_in_process"] = statistics.median(rates) / alone.rows_per_s
    parts = ground.matmul.parts(hidden(size, ROWS), cost(model))
    return Row(name=name, size=size.name, rates=rates, parts=parts, more=more)


def _long_enough(effort: Effort, answer_s: float) -> Effort:
    """Returns windows in which every worker gets several answers, `answer_s` seconds each."""
    least = min(_ANSWERS * answer_s, _LONGEST_S)
    return replace(
        effort, warm_up_s=max(effort.warm_up_s, least), window_s=max(effort.window_s, least)
    )


def _rates(
    effort: Effort, config: Config, workers: Team, plan: Plan, addresses: Sequence[Address]
) -> list[float]:
    """Returns rows per second of every window, all workers being at it when the first begins.

    Raises:
        RuntimeError: they never were.
    """
    for longer in _WARM_UPS:
        begin = time.perf_counter() + longer * effort.warm_up_s
        until = begin + effort.windows * effort.window_s + _LATE_S
        finished = workers.imagine(plan, addresses, config, until)
        if all(each and each[0][0] < begin for each in finished):
            rows = itertools.chain.from_iterable(finished)
            return per_window(rows, begin, effort.window_s, effort.windows)
    raise RuntimeError(
        f"not all of {len(plan.workers)} workers had an answer before the first window began"
    )
