"""The true systems as a `Dynamics`: rows per second; there is no matmul in it."""

from __future__ import annotations

from dataclasses import replace

import torch

from benchmarks.speed.ground import Ground
from benchmarks.speed.table import Row
from benchmarks.speed.timing import repeat
from learner.starts import TrueStarts
from model_server.simulator import Simulator
from moma_core import seeds, tasks
from moma_core.runtime import process
from moma_core.types import Query

_TASKS = ("reacher-full", "halfcheetah-2x3")
_ROWS = 2000
_WARM_UP = 10
"""Steps of random play before the rows that are measured."""


def stepping(ground: Ground) -> list[Row]:
    """Rows per second of one environment step, by MuJoCo's threads on all cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as where it is served: a second team would spin on MuJoCo's cores
    try:
        return [_step(ground, name) for name in _TASKS]
    finally:
        torch.set_num_threads(threads)


def _step(ground: Ground, name: str) -> Row:
    ground.say(f"simulator stepping, {name}")
    task = tasks.get(name)
    simulator = Simulator(task, process.cores())
    state = TrueStarts(task.copies(1), task.spec, 0).draw(_ROWS, 0).state
    random, draw = seeds.generator(0, "benchmark"), seeds.rows(0, _ROWS)
    low, high = task.spec.action_bounds
    for _ in range(_WARM_UP):
        action = low + (high - low) * torch.rand(_ROWS, *low.shape, generator=random)
        query = Query(state=state, action=action, seed=draw)
        state = simulator.predict(query).next_state
    query = replace(query, state=state)
    rates = repeat(lambda: simulator.predict(query), _ROWS, ground.effort)
    return Row(name=f"simulator stepping {name}", size="-", rates=rates)
