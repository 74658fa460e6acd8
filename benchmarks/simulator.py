"""Rows per second of the simulator against `mujoco.rollout` alone, task by task, in one run.

    python benchmarks/simulator.py [--rows 2000] [--repeats 9] [--threads 0]

Both step the same rows by one environment step, in turns, so that a busy machine slows both. The
raw call gets its arrays ready-made and checks nothing. Torch has one thread: what a second team
spins is taken from MuJoCo's.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import mujoco
import numpy as np
import torch
from mujoco.rollout import Rollout

from learner.starts import TrueStarts
from model_server.simulator import Simulator
from moma_core import seeds, tasks
from moma_core.runtime import process
from moma_core.tasks import Task
from moma_core.tasks.system import control
from moma_core.types import Query

_TASKS = ("reacher-full", "halfcheetah-2x3", "hopper-3x1", "walker2d-2x3", "ant-full")
_WARM_UP = 10
"""Steps of random play before the rows that are measured."""
_CALLS = 3
"""Per measurement."""


def main() -> None:
    """Runs the benchmark and prints a line per task: median (smallest to largest)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    threads = args.threads or process.cores()
    print(
        f"{args.rows} rows, {threads} threads, {args.repeats} repeats, mujoco {mujoco.__version__}"
    )
    print(f"{'task':<17}{'simulator, rows/s':>28}{'mujoco.rollout, rows/s':>28}{'ratio':>22}")
    for name in _TASKS:
        ours, raw = _calls(tasks.get(name), args.rows, threads)
        pairs = [(_rate(ours, args.rows), _rate(raw, args.rows)) for _ in range(args.repeats)]
        rates = np.array(pairs).T
        ratio = _spread(rates[0] / rates[1], ".2f")
        print(f"{name:<17}{_spread(rates[0]):>28}{_spread(rates[1]):>28}{ratio:>22}")


def _calls(task: Task, rows: int, threads: int) -> tuple[Callable[[], object], Callable[[], None]]:
    """Returns one step of the simulator, and the same step of `mujoco.rollout` alone."""
    assert task.system is not None
    assert task.environment is not None
    simulator = Simulator(task, threads)
    state = TrueStarts(task.environment(1), task.spec, 0).draw(rows, 0).state
    low, high = task.spec.action_bounds
    random, seed = seeds.generator(0, "benchmark"), torch.arange(rows)
    for _ in range(_WARM_UP):
        action = low + (high - low) * torch.rand(rows, *low.shape, generator=random)
        query = Query(state=state, action=action, seed=seed)
        state = simulator.predict(query).next_state
    env = task.system.make()
    qpos, qvel = task.system.positions(state.double().numpy())
    initial = np.concatenate([np.zeros((rows, 1)), qpos, qvel], axis=1)
    controls = control(action, task.split)[:, None].repeat(env.frame_skip, axis=1)
    states = np.empty((rows, env.frame_skip, initial.shape[1]))
    sensors = np.empty((rows, env.frame_skip, env.model.nsensordata))
    data = [mujoco.MjData(env.model) for _ in range(threads)]
    pool, models = Rollout(nthread=threads), [env.model] * rows

    def raw() -> None:
        pool.rollout(
            models, data, initial, controls, nstep=env.frame_skip, skip_checks=True,
            state=states, sensordata=sensors,
        )  # fmt: skip

    query = Query(state=state, action=action, seed=seed)
    return lambda: simulator.predict(query), raw


def _rate(call: Callable[[], object], rows: int) -> float:
    begun = time.perf_counter()
    for _ in range(_CALLS):
        call()
    return _CALLS * rows / (time.perf_counter() - begun)


def _spread(values: np.ndarray[tuple[int], np.dtype[np.float64]], form: str = ",.0f") -> str:
    low, median, high = (format(float(np.quantile(values, q)), form) for q in (0, 0.5, 1))
    return f"{median} ({low} to {high})"


if __name__ == "__main__":
    main()
