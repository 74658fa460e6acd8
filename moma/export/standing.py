"""What is known of a run's policy when it is taken out: measured, estimated, judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moma.evaluation import policies
from moma_core import documents
from moma_core.runtime.run import RunDirectory

SUPPORTED = "supported"
_UNKNOWN = {"word": "not judged", "reasons": ("the run's result has no estimate of it",)}


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the run's result says of one policy."""

    judgement: str
    """`supported`, `not supported` or `not judged`."""
    reasons: tuple[str, ...]
    """Reasons against it."""
    measured: Mapping[str, Any] | None
    """Score in an environment; None where there was none."""
    estimate: Mapping[str, Any] | None
    """Estimate by model and log; None where there was none."""
    log: Mapping[str, Any] | None
    """Returns of the log's own episodes."""

    @property
    def trusted(self) -> bool:
        """True where it was measured, or the log supports it."""
        return self.measured is not None or self.judgement == SUPPORTED


def standing(run: RunDirectory, policy: str) -> Standing:
    """Reads what a run's result says of a policy; a result of an earlier checkpoint says nothing.

    Args:
        run: the run's directory.
        policy: its name in the run.
    """
    place = policies.place(run, policy).name
    result = documents.read(run.result) if run.result.is_file() else {}
    if policy == policies.TEAM and result.get("checkpoint") != place:
        result = {}
    belief = result.get("belief") or {}
    estimate = belief.get("policies", {}).get(policy)
    measured = result.get("measured", {}).get(policy)
    told = (estimate or {}).get("judgement", _UNKNOWN)
    return Standing(
        judgement=told["word"],
        reasons=tuple(told["reasons"]),
        measured=measured,
        estimate=estimate,
        log=belief.get("log"),
    )
