"""The true MuJoCo model as a `Dynamics`, stepped for all rows at once by threads in C++.

It keeps no state between calls, as any `Dynamics`: positions are rebuilt from the joint states.
"""

from __future__ import annotations

import hashlib

import mujoco
import numpy as np
import torch
from mujoco.rollout import Rollout
from numpy.typing import NDArray

from model_server.world_model.calibrate import QUANTILES
from moma_core.checks import check_query
from moma_core.tasks import Task
from moma_core.tasks.system import control
from moma_core.types import Metrics, ModelCard, Prediction, Query


class Simulator:
    """A task's simulator. Its uncertainty is 0, so that nothing is penalised or truncated."""

    def __init__(self, task: Task, threads: int) -> None:
        """Compiles the model.

        Args:
            task: one that has a MuJoCo system.
            threads: that step rows.

        Raises:
            ValueError: the task has no system that could be stepped from any state.
        """
        if task.system is None:
            raise ValueError(f"task {task.spec.name} has no simulator to step from any state")
        self._spec, self._system, self._split = task.spec, task.system, task.split
        env = task.system.make()
        self._model, self._substeps = env.model, env.frame_skip
        self._data = [mujoco.MjData(self._model) for _ in range(threads)]
        self._pool = Rollout(nthread=threads)
        what = f"{task.spec.name} mujoco {mujoco.__version__}"
        self._digest = hashlib.sha256(what.encode()).hexdigest()
        self._rows = 0

    def describe(self) -> ModelCard:
        """Returns a card of one member, whose disagreement is 0."""
        return ModelCard(
            task=self._spec,
            members=1,
            elites=(0,),
            disagreement_quantiles=dict.fromkeys(QUANTILES, 0.0),
            measured={},
            terminates=True,
            digest=self._digest,
        )

    def metrics(self) -> Metrics:
        """Returns the rows stepped so far."""
        return {"model_server/rows": float(self._rows)}

    def predict(self, query: Query) -> Prediction:
        """Steps every row once; the system draws nothing, so seeds only have to be there."""
        check_query(self._spec, query)
        system, flat = self._system, control(query.action, self._split)
        before, velocity = system.positions(query.state.numpy().astype(np.float64))
        after, moving = self._step(before, velocity, flat)
        terminated = system.terminated(after, moving)
        reward = system.reward(before, flat, after, terminated)
        next_state = system.state(after, moving)
        self._rows += len(flat)
        zero = torch.zeros(len(flat))
        return Prediction(
            next_state=torch.from_numpy(next_state.astype(np.float32)),
            reward=torch.from_numpy(reward.astype(np.float32)),
            terminated=torch.from_numpy(terminated),
            disagreement=zero,
            aleatoric=zero,
            reward_disagreement=zero,
            outside=torch.zeros(len(flat), self._spec.state_width + 1, dtype=torch.bool),
            model=self._digest,
        )

    def _step(
        self, qpos: NDArray[np.float64], qvel: NDArray[np.float64], flat: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns positions and velocities one environment step later."""
        time = np.zeros((len(flat), 1))  # the full physics state begins with the time
        initial = np.concatenate([time, qpos, qvel], axis=1)
        states, _ = self._pool.rollout(
            self._model, self._data, initial, flat[:, None], nstep=self._substeps
        )
        last, width = states[:, -1, 1:], qpos.shape[1]
        return last[:, :width], last[:, width:]
