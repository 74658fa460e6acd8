"""One rule for tensors from elsewhere: the agreed shape and dtype, and finite values."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from statistics import mode

import torch
from torch import Tensor

from moma_core.config import RolloutConfig
from moma_core.documents import printable
from moma_core.ports import InvalidFieldError
from moma_core.types import History, ModelCard, Query, TaskSpec, Trajectory, layouts

_MAX_NAME = 200
_MAX_METRICS = 100
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:@-]*")
MEASURED_OUTSIDE = "rollout/outside/"
"""Begins the names of the shares of rollouts that left the log, by feature."""
MEASURED = frozenset(
    {
        "perf/rollout_s",
        "perf/worker_wait_s",
        "rollout/cut_fraction",
        "rollout/disagreement_max",
        "rollout/disagreement_mean",
        "rollout/length",
        "rollout/model_reward",
        "rollout/outside_fraction",
        "rollout/penalty",
        "rollout/return",
        "rollout/terminated_fraction",
    }
)
"""What workers may measure: a metric of theirs cannot stand in for one of the run's."""


def check_tensor(field: str, value: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Refuses a tensor that is not as agreed.

    Args:
        field: its name, for the message.
        value: the tensor.
        shape: the shape it must have.
        dtype: the dtype it must have; floating point must be finite too.

    Raises:
        InvalidFieldError: naming the field, the rule and what came.
    """
    if value.dtype != dtype:
        raise InvalidFieldError(f"{field}: dtype {value.dtype}, need {dtype}")
    if tuple(value.shape) != shape:
        raise InvalidFieldError(f"{field}: shape {list(value.shape)}, need {list(shape)}")
    # A sum is finite only where all that it adds is; finite numbers may overflow it.
    if dtype.is_floating_point and not math.isfinite(value.sum()):
        for at in (~torch.isfinite(value)).nonzero().tolist():
            found = value[tuple(at)].item()
            raise InvalidFieldError(f"{field}: {field}{at} is {found}, need finite")


def check_tensors(noun: Query | Trajectory, sizes: Mapping[str, int]) -> None:
    """Refuses a noun one of whose tensors is not laid out as its class says.

    Args:
        noun: a question or a segment.
        sizes: of the axes, by name.

    Raises:
        InvalidFieldError: naming the field, the rule and what came.
    """
    kind: type = type(noun)
    for name, layout in layouts(kind).items():
        check_tensor(name, getattr(noun, name), layout.shape(sizes), layout.dtype)


def check_query(task: TaskSpec, query: Query) -> None:
    """Refuses rows for a `Dynamics` that do not fit the task.

    Args:
        task: the team.
        query: the rows asked for, one at least, of finite values.

    Raises:
        InvalidFieldError: naming the field, the rule and what came.
    """
    shape = list(query.state.shape)
    if not shape or not (rows := query.rows):
        raise InvalidFieldError(f"state: shape {shape}, need one row at least")
    check_tensors(query, task.sizes | {"B": rows})
    _check_age(task, query.age)
    _check_one_hot(task, query.action)


def check_model(model: ModelCard, task: TaskSpec, address: str, data_sha256: str = "") -> None:
    """Refuses a model that was fitted for another task, or to another log, naming both.

    Args:
        model: the model's card.
        task: the run's team.
        address: where the model is served, for the message.
        data_sha256: digest of the run's log; empty: it has none.

    Raises:
        ValueError: the specs differ, or the digests.
    """
    if model.task != task:
        raise ValueError(
            f"the model at {address} is for task {model.task.name} "
            f"({model.task.state_width} state features), this run is for task {task.name} "
            f"({task.state_width} state features): fit a model to this run's data first"
        )
    check_log(f"the model at {address}", model.data_sha256, data_sha256)


def check_log(what: str, made_from: str, own: str) -> None:
    """Refuses what was made from another log than the run's, naming both by their digests.

    Args:
        what: it, for the message.
        made_from: SHA-256 of the log that it was made from; empty: that is not known.
        own: SHA-256 of the run's log; empty: it has none.

    Raises:
        ValueError: they differ.
    """
    if made_from and own and made_from != own:
        raise ValueError(
            f"{what} was made from another log: SHA-256 {made_from[:12]}, this run's log has "
            f"{own[:12]}; what was made from one log needs a run of its own"
        )


def check_worker(worker: str, incarnation: int) -> None:
    """Refuses a worker without a plain identity.

    Raises:
        InvalidFieldError: naming the field, the rule and what came.
    """
    if not 0 < len(worker) <= _MAX_NAME:
        raise InvalidFieldError(f"worker: {len(worker)} characters, need 1 to {_MAX_NAME}")
    if not _NAME.fullmatch(worker):
        raise InvalidFieldError(
            f"worker: {printable(worker)!r}, need letters, digits and '.', '_', ':', '@', '-'"
        )
    if not 0 <= incarnation < 1 << 31:
        raise InvalidFieldError(f"incarnation: {incarnation}, need 0 to {(1 << 31) - 1}")


def check_trajectory(
    trajectory: Trajectory, task: TaskSpec, rollout: RolloutConfig, history: int
) -> None:
    """Refuses a segment that is not of this run's widths, rows and horizon.

    Args:
        trajectory: a segment as a worker sent it.
        task: the run's team: the widths of states, observations and actions.
        rollout: the run's settings: rollouts of a round, of which B are here, and steps at most.
        history: frames that the actors remember, H.

    Raises:
        InvalidFieldError: naming the field, the rule and what came.
    """
    check_worker(trajectory.worker, trajectory.incarnation)
    if len(trajectory.metrics) > _MAX_METRICS:
        raise InvalidFieldError(f"metrics: {len(trajectory.metrics)}, need {_MAX_METRICS} at most")
    outside = {f"{MEASURED_OUTSIDE}{name}" for name in (*task.state_names, "reward")}
    for name, value in trajectory.metrics.items():
        if name not in MEASURED and name not in outside:
            raise InvalidFieldError(
                f"metrics: {printable(name[:_MAX_NAME])!r} is none that workers measure"
            )
        if not math.isfinite(value):
            raise InvalidFieldError(f"metrics: {name} is {value}, need finite")
    steps = trajectory.reward.shape[0] if trajectory.reward.dim() else 0
    if not 1 <= steps <= rollout.horizon:
        raise InvalidFieldError(f"reward: {steps} steps, need 1 to {rollout.horizon}")
    # As most tensors have it, so that the one that differs is named.
    rows = mode(getattr(trajectory, name).shape[1:2] for name in layouts(Trajectory))
    rows = rows[0] if rows else 0
    if not 1 <= rows <= rollout.rows:
        raise InvalidFieldError(f"reward: {rows} rollouts, need 1 to {rollout.rows}")
    sizes = task.sizes | {"T": steps, "B": rows, "H": history}
    check_tensors(trajectory, sizes)
    _check_age(task, trajectory.age)
    _check_history(trajectory.history, sizes)
    _check_one_hot(task, trajectory.action, trajectory.valid[..., None])
    _check_ends(trajectory, task.episode_limit)


def _check_age(task: TaskSpec, age: Tensor) -> None:
    """Every row belongs to a step of an episode."""
    wrong = (age < 0) | (age >= task.episode_limit)
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        raise InvalidFieldError(
            f"age: age[{row}] is {int(age[row])}, need 0 to {task.episode_limit - 1}"
        )


def _check_history(history: History | None, sizes: Mapping[str, int]) -> None:
    """Frames are as agreed, and those that exist are the newest ones."""
    if history is None:
        raise InvalidFieldError("history: is missing")
    shape = tuple(sizes[axis] for axis in ("B", "A", "H", "F"))
    check_tensor("history.frames", history.frames, shape, torch.float32)
    check_tensor("history.exists", history.exists, (sizes["B"], sizes["H"]), torch.bool)
    if bool((history.exists[:, :-1] & ~history.exists[:, 1:]).any()):
        raise InvalidFieldError("history.exists: a frame is missing after one that exists")


def not_one_hot(
    task: TaskSpec, action: Tensor, valid: Tensor | None = None
) -> tuple[list[int], str] | None:
    """Finds the first action that is not one-hot, of the agents whose actions have to be.

    Args:
        task: the team; of agents whose actions are numbers nothing is found.
        action: `[... A U]`.
        valid: `[... 1]`, the joint actions to look at; None: all.

    Returns:
        Its place among the leading axes, and what is wrong with it in words.
    """
    if not any(task.discrete):
        return None
    wrong = task.chooses & ~task.one_hot(action)
    wrong = wrong if valid is None else wrong & valid
    if not bool(wrong.any()):
        return None
    at = wrong.nonzero()[0].tolist()
    agent = at[-1]
    return at, (
        f"of {task.agents[agent]} is {action[tuple(at)].tolist()}; "
        f"need 1 in one of its {len(task.action_low[agent])} dimensions and 0 elsewhere"
    )


def _check_one_hot(task: TaskSpec, action: Tensor, valid: Tensor | None = None) -> None:
    """Discrete actions are one-hot; a network fitted to such has no meaning for others."""
    if (found := not_one_hot(task, action, valid)) is not None:
        at, words = found
        raise InvalidFieldError(f"action: action{at} {words}")


def _check_ends(trajectory: Trajectory, limit: int) -> None:
    """Every rollout is valid up to one end, within its episode, and never ends in two ways."""
    terminated, truncated, valid = trajectory.terminated, trajectory.truncated, trajectory.valid
    if bool((terminated & truncated).any()):
        raise InvalidFieldError("truncated: a step is both terminated and truncated")
    if not bool(valid[0].all()):
        raise InvalidFieldError("valid: in one rollout at least no step is valid")
    if bool((valid[1:] & ~valid[:-1]).any()):
        raise InvalidFieldError("valid: a rollout goes on after a step that is not valid")
    after = torch.cat([valid[1:], torch.zeros_like(valid[:1])])
    if not torch.equal(terminated | truncated, valid & ~after):
        raise InvalidFieldError("terminated: a rollout must end once, at its last valid step")
    if bool((trajectory.unsure & ~truncated).any()):
        raise InvalidFieldError("unsure: a step after which the model is unsure is not truncated")
    if bool((trajectory.age + valid.sum(0) > limit).any()):
        raise InvalidFieldError(f"valid: a rollout goes on after its episode's {limit} steps")
