"""Every noun that travels between roles. No behaviour beyond shape arithmetic.

Axes, always in this order: T imagined steps, B rollouts, A agents, O observation, U action,
S joint state, H history, E ensemble members, N rows; F = O + U is the width of a history frame.
"""

from moma_core.types.experience import (
    History,
    Prediction,
    Query,
    StartStates,
    Trajectory,
    Transitions,
)
from moma_core.types.layout import Layout, layouts
from moma_core.types.messages import (
    Assignment,
    Metrics,
    ModelCard,
    ModelPart,
    PolicySnapshot,
    Receipt,
    RunCard,
    Served,
)
from moma_core.types.spec import TaskSpec

__all__ = [
    "Assignment",
    "History",
    "Layout",
    "Metrics",
    "ModelCard",
    "ModelPart",
    "PolicySnapshot",
    "Prediction",
    "Query",
    "Receipt",
    "RunCard",
    "Served",
    "StartStates",
    "TaskSpec",
    "Trajectory",
    "Transitions",
    "layouts",
]
