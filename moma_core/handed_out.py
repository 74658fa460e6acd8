"""What comes back is compared with what was handed out: a worker may be anybody's."""

from __future__ import annotations

import torch

from moma_core.documents import printable
from moma_core.ports import InvalidFieldError
from moma_core.types import ModelCard, StartStates, Trajectory

_SLACK = 1e-4
"""Relative room for rounding at the edges of what a model answers."""


def check_handed_out(trajectory: Trajectory, starts: StartStates | None) -> None:
    """Refuses a segment that is not what its worker was handed out.

    Args:
        trajectory: a segment of the round that is open.
        starts: where its rollouts were to begin; None: they were not handed out to this worker.

    Raises:
        InvalidFieldError: naming the field, the rule and what came.
    """
    if starts is None:
        made = trajectory.rollouts
        raise InvalidFieldError(
            f"first: rollouts {made.start} to {made.stop - 1} were not handed out to "
            f"{trajectory.worker}, incarnation {trajectory.incarnation}"
        )
    assert trajectory.history is not None
    pairs = {
        "state": (trajectory.state[0], starts.state),
        "age": (trajectory.age, starts.age),
        "history.frames": (trajectory.history.frames, starts.history.frames),
        "history.exists": (trajectory.history.exists, starts.history.exists),
    }
    for name, (mine, given) in pairs.items():
        if not torch.equal(mine, given):
            raise InvalidFieldError(f"{name}: the rollouts do not begin where they were to")


def check_model_of(trajectory: Trajectory, model: ModelCard | None) -> None:
    """Refuses a segment that the run's model cannot have answered.

    Args:
        trajectory: a segment.
        model: the run's; None: there is nothing to compare with.

    Raises:
        InvalidFieldError: naming the field, the rule and what came.
    """
    if model is None:
        return
    if trajectory.model != model.digest:
        raise InvalidFieldError(
            f"model: imagined in {printable(trajectory.model[:12])!r}, need {model.digest[:12]!r}"
        )
    if bool((trajectory.penalty < 0).any()):
        raise InvalidFieldError("penalty: is negative")
    if not model.low:
        return
    low, high = (torch.tensor(side, dtype=torch.float32) for side in (model.low, model.high))
    slack = _SLACK * (1 + torch.maximum(low.abs(), high.abs()))
    reached = torch.cat(
        [trajectory.state[1:], (trajectory.reward + trajectory.penalty)[..., None]], dim=-1
    )
    outside = ((reached < low - slack) | (reached > high + slack)) & trajectory.valid[..., None]
    if bool(outside.any()):
        step, row, feature = outside.nonzero()[0].tolist()
        name = (*model.task.state_names, "reward")[feature]
        raise InvalidFieldError(
            f"{'reward' if name == 'reward' else 'state'}: {printable(name)} is "
            f"{float(reached[step, row, feature]):.6g} after step {step} of rollout {row}, the "
            f"model answers {float(low[feature]):.6g} to {float(high[feature]):.6g}"
        )
