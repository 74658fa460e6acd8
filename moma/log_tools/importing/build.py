"""From a log to a dataset, in two passes: one surveys, one writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from moma.log_tools.formats import Whole
from moma.log_tools.importing import limits
from moma.log_tools.importing.log import Log
from moma.log_tools.importing.plan import ActionIndex, Plan, derive, split, split_actions
from moma.log_tools.importing.survey import Survey
from moma_core.datasets.write import EpisodeWriter
from moma_core.types import TaskSpec

Tell = Callable[[str, int], None]
"""Is told what is being done and how many steps of it are done."""
_CLIPPED = 0.01
"""Share of steps with a clipped action from which on it is warned of."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What became of a log."""

    spec: TaskSpec
    episodes: int
    terminated: int
    """Episodes that did not run out of time."""
    transitions: int
    notes: tuple[str, ...]
    """Notes on what was converted or dropped, a sentence each; the dataset's origin has them."""
    warnings: tuple[str, ...]
    """Warnings of what is probably not meant; the origin has them too, and a check repeats them."""


def convert(
    log: Log,
    path: Path,
    *,
    task: tuple[TaskSpec, ActionIndex | None] | None,
    time_limit: int | None,
    whole: Whole | None = None,
    tell: Tell,
) -> Imported:
    """Writes a log as a dataset at `path`, whole or not at all.

    Args:
        log: opened.
        path: the dataset's directory.
        task: how a task splits it: the spec, and which column of the flat action each dimension
            of each agent's action is, None for one after the other; without one the spec is
            derived from the log.
        time_limit: episodes of exactly that many steps ran out of time.
        whole: what floats are that are all whole numbers; None: refuse them and ask.
        tell: shows progress.

    Raises:
        ImportDataError: the log does not hold what it should.
    """
    limits.fits_disk(log, path)
    survey = Survey(log, lambda steps: tell("surveying", steps))
    limit = time_limit or (survey.longest if log.layout.limits_are_terminals else None)
    if task is None:
        plan = derive(log, survey, path.resolve().name, limit, whole)
    else:
        plan = split(log, survey, *task, limit)
    return _write(log, survey, plan, path, lambda steps: tell("writing", steps))


def _write(
    log: Log, survey: Survey, plan: Plan, path: Path, tell: Callable[[int], None]
) -> Imported:
    low, high = (bound.numpy() for bound in plan.spec.action_bounds)
    offset = survey.offset[list(plan.state)]
    clipped = steps = terminated = moved = 0
    with EpisodeWriter(plan.spec, path, {"imported_from": Path(log.source).name}) as writer:
        for episode in log.episodes():
            if not len(episode.reward):
                continue
            given = split_actions(plan.spec, episode.action, plan.action)
            action = np.clip(given, low, high)
            clipped += int((action != given).any(axis=(1, 2)).sum())
            ended = episode.terminated and len(episode.reward) != plan.time_limit
            state = (episode.features[:, plan.state] - offset).astype(np.float32)
            reward = team_reward(episode.reward)
            if ended and episode.dropped is not None:
                # What ends an episode is often the only reward there is.
                reward[-1:] += team_reward(episode.dropped)
                moved += 1
            writer.add(state, action, reward, terminated=ended, beside=episode.beside)
            steps, terminated = steps + len(episode.reward), terminated + ended
            tell(steps)
        notes, warnings = _counts(survey, plan, clipped, moved)
        writer.origin["notes"] = [*log.notes, *plan.notes, *notes]
        writer.origin["warnings"] = warnings
    return Imported(
        spec=plan.spec,
        episodes=survey.episodes,
        terminated=terminated,
        transitions=steps,
        notes=(*log.notes, *plan.notes, *notes),
        warnings=tuple(warnings),
    )


def team_reward(reward: Float32[np.ndarray, "T R"]) -> Float32[np.ndarray, " T"]:
    """Returns the mean over agents."""
    return np.asarray(reward.mean(axis=1, dtype=np.float64), np.float32)


def _counts(survey: Survey, plan: Plan, clipped: int, moved: int) -> tuple[list[str], list[str]]:
    """What happened to how many, where it happened at all: notes, and warnings."""
    notes: list[str] = []
    warnings: list[str] = []
    if survey.rewards_differ:
        notes.append("agents' rewards differ; the team's is their mean")
    if clipped:
        share = clipped / survey.steps
        unit = " (a unit error?)" if share > _CLIPPED else ""
        (warnings if unit else notes).append(
            f"{clipped} steps had an action out of its bounds; it was clipped: "
            f"{share:.1%} of all{unit}"
        )
    if survey.single_rows:
        notes.append(f"{survey.single_rows} episodes of a single row dropped")
    if survey.dropped:
        lost, kept = np.mean(survey.dropped), survey.reward_sum / survey.steps
        gone = len(survey.dropped) > moved and any(survey.dropped)
        (warnings if gone else notes).append(
            f"{len(survey.dropped)} last steps without a state after them dropped, with a mean "
            f"reward of {lost:.4g} against {kept:.4g} in the others"
            + f"; that of the {moved} that terminated is added to the step before"
            * bool(moved)
        )
    if plan.time_limit:
        number = survey.terminated[plan.time_limit]
        notes.append(
            f"{number} episodes of {plan.time_limit} steps that ended as terminated are truncated: "
            "they ran out of time"
        )
    elif survey.terminated[survey.longest] > 1:
        notes.append(
            f"{survey.terminated[survey.longest]} episodes of {survey.longest} steps, the longest, "
            f"end as terminated; if that is a time limit, say --time-limit {survey.longest}"
        )
    return notes, warnings
