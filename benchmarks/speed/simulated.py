"""Rows per second of the simulator, beside `mujoco.rollout` alone; there is no matmul in it.

Both step the same rows by one environment step, in turns, so that a busy machine slows both. The
raw call gets its arrays ready-made and checks nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace

import mujoco
import numpy as np
import torch
from mujoco.rollout import Rollout
from torch import Tensor

from benchmarks.speed.ground import Ground
from benchmarks.speed.table import Row
from benchmarks.speed.timing import repeat
from learner.starts import TrueStarts
from model_server.simulator import Simulator
from moma_core import seeds, tasks
from moma_core.runtime import process
from moma_core.tasks import Task
from moma_core.tasks.system import control
from moma_core.types import Query

_TASKS = ("reacher-full", "halfcheetah-2x3", "hopper-3x1", "walker2d-2x3", "ant-full")
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
    random, draw = seeds.generator(0, "benchmark"), seeds.rows(0, _ROWS)
    state = TrueStarts(task.copies(1), task.spec, 0).draw(draw).state
    low, high = task.spec.action_bounds
    for _ in range(_WARM_UP):
        action = low + (high - low) * torch.rand(_ROWS, *low.shape, generator=random)
        query = Query(state=state, action=action, age=torch.zeros_like(draw), seed=draw)
        state = simulator.predict(query).next_state
    query = replace(query, state=state)
    raw, once = _raw(task, state, action), replace(ground.effort, repeats=1)
    pairs = [
        (
            *repeat(lambda: simulator.predict(query), _ROWS, once),
            *repeat(raw, _ROWS, once),
        )
        for _ in range(ground.effort.repeats)
    ]
    ratio = statistics.median(ours / alone for ours, alone in pairs)
    return Row(
        name=f"simulator stepping {name}",
        size="-",
        rates=[ours for ours, _ in pairs],
        more={"over_mujoco_rollout": ratio},
    )


def _raw(task: Task, state: Tensor, action: Tensor) -> Callable[[], None]:
    """Returns the same step of `mujoco.rollout` alone, on as many threads.

    Args:
        task: of which system.
        state: where it is stepped from, `[N S]`.
        action: all agents' actions, `[N A U]`.
    """
    assert task.system is not None
    env = task.system.make()
    rows, threads = len(state), process.cores()
    qpos, qvel = task.system.positions(state.double().numpy())
    initial = np.concatenate([np.zeros((rows, 1)), qpos, qvel], axis=1)
    controls = control(action, task.split)[:, None].repeat(env.frame_skip, axis=1)
    states = np.empty((rows, env.frame_skip, initial.shape[1]))
    sensors = np.empty((rows, env.frame_skip, env.model.nsensordata))
    data = [mujoco.MjData(env.model) for _ in range(threads)]
    pool, models = Rollout(nthread=threads), [env.model] * rows

    def step() -> None:
        pool.rollout(
            models, data, initial, controls, nstep=env.frame_skip, skip_checks=True,
            state=states, sensordata=sensors,
        )  # fmt: skip

    return step
