"""What a resume may change of a run's settings: nothing that what is on disk was made with."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

MAY_CHANGE = (
    "ppo.rounds",
    "ppo.patience",
    "bc.rounds",
    "offline.rounds",
    "workers",
    "learners",
    "model_servers",
    "threads",
    "device",
    "verify_share",
    "checkpoint_every",
    "keep_every",
    "rollout.lag",
    "rollout.lease_s",
    "rollout.round_s",
    "eval.every",
    "eval.episodes",
    "eval.final_episodes",
    "eval.film",
    "eval.env",
    "data.path",  # a log may be moved; that it is the same one is checked by its digest
)
"""Settings of length, of who works where, of evaluation and of logging."""


def refuse_changes(asked: Any, base: Any) -> None:  # noqa: ANN401 - `Config`, above this file
    """Refuses a resume with settings that would not be used, or would not fit what there is.

    Args:
        asked: the config of this call.
        base: the run's own.

    Raises:
        ValueError: naming the settings.
    """
    if changed := [name for name in _differing(asked, base, "") if name not in MAY_CHANGE]:
        words = ", ".join(f"--{name}" for name in changed)
        raise ValueError(
            f"{words}: a resumed run keeps what it was made with; leave it out, or begin a new run "
            f"(a resume may change: {', '.join(MAY_CHANGE)})"
        )


def _differing(asked: Any, base: Any, prefix: str) -> list[str]:  # noqa: ANN401 - settings
    names: list[str] = []
    for field in fields(base):
        mine, theirs = getattr(asked, field.name), getattr(base, field.name)
        if is_dataclass(theirs):
            names += _differing(mine, theirs, f"{prefix}{field.name}.")
        elif mine != theirs:
            names.append(prefix + field.name)
    return names
