"""A world model on a GPU as a `Dynamics`: recorded once per size of batch, then only replayed.

A forward pass of small networks is hundreds of kernels of a few microseconds; launching them one
by one takes longer than running them. A CUDA graph launches all at once, but for one number of
rows: batches are padded up to the next of a few sizes. Rows travel through memory that the GPU
reads by itself (pinned), one copy each way.
"""

from __future__ import annotations

from threading import Lock

import torch
from torch import Tensor

from model_server.world_model.ensemble import Ensemble
from model_server.world_model.model import WorldModel
from moma_core.checks import check_query
from moma_core.types import Metrics, ModelCard, Prediction, Query, TaskSpec

_SMALLEST = 64
_WARM_UPS = 3
"""Passes before a recording: libraries choose kernels and allocate in the first ones."""
_NAMES = ("reward", "terminated", "disagreement", "aleatoric", "reward_disagreement")


def bucket(rows: int) -> int:
    """Returns the size that a batch is padded to: the next power of two, 64 at least."""
    return max(_SMALLEST, 1 << (rows - 1).bit_length())


class Accelerated:
    """The model on a device. Callers may be threads: they take turns, there is one device."""

    def __init__(self, model: WorldModel, device: torch.device) -> None:
        """Moves the model. On a device that is no GPU it does all the same, but records nothing."""
        self._model, self._device = model.to(device), device
        self._passes: dict[int, _Pass] = {}
        self._turn = Lock()
        self._rows = 0

    def describe(self) -> ModelCard:
        """Returns the model's card."""
        return self._model.describe()

    @property
    def ensemble(self) -> Ensemble:
        """The elites' networks."""
        return self._model.ensemble

    def metrics(self) -> Metrics:
        """Returns the rows predicted so far."""
        return {"model_server/rows": float(self._rows)}

    def predict(self, query: Query) -> Prediction:
        """Predicts one step, as the model itself does."""
        task = self._model.describe().task
        check_query(task, query)
        size = bucket(query.rows)
        with self._turn:
            self._rows += query.rows
            if size not in self._passes:
                self._passes[size] = _Pass(self._model, task, size, self._device)
            return self._passes[size](query)


class _Pass:
    """A forward pass of a fixed number of rows, between memory that stays where it is."""

    def __init__(self, model: WorldModel, task: TaskSpec, size: int, device: torch.device) -> None:
        self._model, self._device = model, device
        self._width, self._action = task.state_width, (len(task.agents), task.action_width)
        columns = self._width + task.joint_action_width
        whole = torch.zeros(2, size, dtype=torch.int64)
        pinned = device.type == "cuda"
        self._host = torch.zeros(size, columns, pin_memory=pinned)
        self._host_whole = whole.pin_memory() if pinned else whole
        self._answer = torch.zeros(size, 2 * self._width + 1 + len(_NAMES), pin_memory=pinned)
        self._rows, self._whole = self._host.to(device), self._host_whole.to(device, copy=True)
        self._graph = self._record() if pinned else None
        if self._graph is None:
            self._out = self._compute()

    @torch.inference_mode()
    def __call__(self, query: Query) -> Prediction:
        """Copies rows in, runs, copies the answer out; nobody looks at the padding."""
        count = query.rows
        self._host[:count, : self._width] = query.state
        self._host_whole[0, :count], self._host_whole[1, :count] = query.seed, query.age
        self._host[:count, self._width :] = query.action.flatten(1)
        self._rows.copy_(self._host, non_blocking=True)
        self._whole.copy_(self._host_whole, non_blocking=True)
        if self._graph is None:
            self._out = self._compute()
        else:
            self._graph.replay()
        self._answer.copy_(self._out, non_blocking=True)
        if self._graph is not None:
            torch.cuda.current_stream(self._device).synchronize()
        answer = self._answer[:count].clone()
        state, outside, rest = answer.split([self._width, self._width + 1, len(_NAMES)], dim=1)
        values = dict(zip(_NAMES, rest.unbind(1), strict=True))
        values["terminated"] = values["terminated"] > 0
        values["next_state"], values["outside"] = state, outside > 0
        return Prediction(**values, model=self._model.describe().digest)

    @torch.inference_mode()
    def _compute(self) -> Tensor:
        """Runs the model on what lies on the device; returns all of its answer in one tensor."""
        state, action = self._rows[:, : self._width], self._rows[:, self._width :]
        action = action.unflatten(1, self._action)
        seed, age = self._whole
        said = self._model.compute(Query(state=state, action=action, age=age, seed=seed))
        values = [getattr(said, name).float()[:, None] for name in _NAMES]
        return torch.cat([said.next_state, said.outside.float(), *values], dim=1)

    def _record(self) -> torch.cuda.CUDAGraph:
        aside = torch.cuda.Stream(self._device)
        aside.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UPS):
                self._compute()
        torch.cuda.current_stream(self._device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._out = self._compute()
        return graph
