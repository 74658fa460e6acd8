"""What came of a run: result.json and its one line."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from learner import checkpoint
from model_server.world_model import files
from moma.engines.board import Board
from moma.evaluation.estimates import Belief, Estimate
from moma.evaluation.evaluate import Score
from moma.evaluation.policies import TEAM
from moma_core import documents
from moma_core.config import Config
from moma_core.runtime import subject, version
from moma_core.runtime.metrics import MetricsWriter
from moma_core.runtime.run import RunDirectory
from moma_core.storage import write_text
from moma_core.tasks import Task
from moma_core.types import Metrics

_FINAL = ("final/return", "final/score", "estimate/return")
"""Tags of a run's line in TensorBoard's table of hyper-parameters."""
_PACKAGES = ("mujoco", "gymnasium", "numpy", "grpcio", "protobuf")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What is known of a run's policies at its end."""

    task: Task
    measured: Mapping[str, Score]
    """Scores of policies in the task's environment; empty where there is none."""
    belief: Belief | None
    """Estimates without it; None where the run has no model of a log."""

    @property
    def supported(self) -> bool:
        """False where nothing was measured and the log does not support the team."""
        judged = self.belief is None or self.belief.judgement.word == "supported"
        return judged or bool(self.measured)


def write(
    run: RunDirectory, config: Config, board: Board, outcome: Outcome, mode: str, peak_rss: int
) -> None:
    """Writes result.json.

    Args:
        run: where it goes, and where the learner's counters lie.
        config: the run's.
        board: phases, processes and faults of the run.
        outcome: what is known of its policies.
        mode: `distributed` or `in-process`.
        peak_rss: peak memory of the run's processes, in bytes.
    """
    counters = checkpoint.counters(run.checkpoints)
    newest = checkpoint.newest(run.checkpoints)
    seconds = {name: round(value, 2) for name, value in board.seconds.items()}
    team, belief = outcome.measured.get(TEAM), outcome.belief
    result = {
        "run": run.name,
        "recipe": config.recipe,
        "task": outcome.task.spec.name,
        "seed": config.seed,
        "mode": mode,
        "choices": config.mode,
        "score": None if team is None else team.score,
        "return_mean": None if team is None else team.return_mean,
        "return_ci95": None if team is None else team.return_ci95,
        "episodes": 0 if team is None else team.episodes,
        "measured": {name: asdict(score) for name, score in outcome.measured.items()},
        "belief": None if belief is None else asdict(belief) | {"judgement": belief.judgement.word},
        "checkpoint": None if newest is None else newest.name,
        "note": outcome.task.note,
        "said": describe(outcome),
        "env": subject.kept(run).env,
        "data_sha256": subject.kept(run).data_sha256,
        "model_sha256": _model_digest(run),
        "transitions": counters.transitions,
        "updates": counters.version,
        "stopped": "" if board.progress is None else board.progress.stopped,
        "resumes": counters.resumes,
        "seconds": seconds | {"training_rounds": round(counters.seconds, 2)},
        "transitions_per_second": counters.transitions / max(counters.seconds, 1e-9),
        "processes": [asdict(process) for process in board.processes],
        "faults": board.faults,
        "peak_rss_mb": round(peak_rss / 2**20),
        "versions": versions(),
    }
    write_text(run.result, json.dumps(result, indent=1))


def remembered(run: RunDirectory) -> str:
    """Returns what was said of a run's policies when it ended; empty where it has not ended."""
    if not run.result.is_file():
        return ""
    said = documents.read(run.result)["said"]
    return f"; when it was trained it was said: {said}"


def _model_digest(run: RunDirectory) -> str:
    """Returns the SHA-256 of the run's model; empty where it has none."""
    return files.card(run.model).digest if run.model.is_dir() else ""


def chart(run: RunDirectory, config: Config, outcome: Outcome) -> None:
    """Adds the end of a run to its charts: what was measured, and what is believed of the team.

    Args:
        run: its charts and counters.
        config: the run's.
        outcome: what is known of its policies.
    """
    team, belief = outcome.measured.get(TEAM), outcome.belief
    metrics: Metrics = {}
    if team is not None:
        metrics |= {"final/return": team.return_mean, "final/episodes": float(team.episodes)}
        metrics |= {} if team.score is None else {"final/score": team.score}
    if belief is not None:
        one = belief.policies[TEAM]
        metrics |= {
            "estimate/return": one.worth.return_mean,
            "estimate/by_model": one.by_model.return_mean,
            "estimate/by_log": one.by_log.return_mean,
            "estimate/outside_fraction": one.by_model.outside_share,
            "estimate/cut_fraction": one.by_model.cut_share,
            "estimate/unusual_fraction": one.by_model.unusual_share,
            "estimate/unusual_reward_fraction": one.by_model.unusual_reward_share,
            "estimate/supported": float(not one.judgement.reasons),
        }
    writer = MetricsWriter(run.events)
    writer.write(checkpoint.counters(run.checkpoints).transitions, metrics)
    final = {name: metrics[name] for name in _FINAL if name in metrics}
    writer.conclude(_told_apart(config), final)
    writer.close()


def _told_apart(config: Config) -> dict[str, str | float]:
    """Returns the settings by which runs are told apart in a table."""
    return {
        "recipe": config.recipe,
        "algorithm": config.algorithm,
        "mode": config.mode,
        "log": Path(config.data.path).name or config.task,
        "seed": config.seed,
        "actor.memory": config.actor.memory,
        "actor.width": config.actor.width,
        "ppo.rounds": config.ppo.rounds,
        "ppo.near": config.ppo.near,
        "rollout.horizon": config.rollout.horizon,
        "model.updates": config.model.updates,
    }


def line(run: RunDirectory, outcome: Outcome) -> str:
    """Returns the result as one line, given the outcome that it was written with."""
    result = documents.read(run.result)
    phases = ", ".join(
        f"{name} {result['seconds'][name]:.0f} s"
        for name in ("data", "fit", "clone", "train", "estimate", "evaluate")
        if name in result["seconds"]
    )
    rounds = f"stopped after round {result['updates']}: {result['stopped']}; "
    return (
        f"{result['task']} seed {result['seed']}: {describe(outcome)}; {phases}; "
        f"{rounds if result['stopped'] else ''}"
        f"{result['transitions_per_second']:,.0f} transitions/s; "
        f"TensorBoard: moma board {run.path}; result: {run.result}"
    )


def describe(outcome: Outcome) -> str:
    """Returns the figures as words: what was measured, then what is only believed."""
    team, belief = outcome.measured.get(TEAM), outcome.belief
    parts = [] if team is None else [measured(team)]
    if belief is not None:
        parts.append(believed(belief))
    nothing = (
        "no environment and no model, so nothing is known of the return; "
        "give an environment (--env), or an algorithm with a model"
    )
    return "; ".join(parts) or nothing


def measured(score: Score) -> str:
    """Returns in words what a policy earned."""
    low, high = score.return_ci95
    scaled = "" if score.score is None else f"score {score.score:.3f}, "
    return (
        f"{scaled}return {score.return_mean:.2f} (95 % interval {low:.2f} to {high:.2f}, "
        f"{score.episodes} episodes)"
    )


def believed(belief: Belief) -> str:
    """Returns in words what is believed of the team, and what is recommended."""
    log, judgement = belief.log, belief.judgement
    word = judgement.word.upper() if judgement.reasons else judgement.word
    reasons = f" ({'; '.join(judgement.reasons)})" if judgement.reasons else ""
    told = "; ".join(f"{name} {_estimated(one)}" for name, one in belief.policies.items())
    return (
        f"the team is {word}{reasons}; take policy {belief.recommended}; estimated returns, "
        f"none of them measured: {told}; the log's mean is {log.return_mean:.2f}, "
        f"its best tenth {log.best_tenth:.2f}"
    )


def _estimated(one: Estimate) -> str:
    imagined, (low, high) = one.by_model, one.worth.return_ci95
    return (
        f"{one.worth.return_mean:.2f} ({low:.2f} to {high:.2f}; "
        f"{imagined.return_mean:.2f} by the model, {one.by_log.return_mean:.2f} by the log alone; "
        f"{100 * imagined.outside_share:.0f} % of the episodes left the log's range, "
        f"{100 * imagined.cut_share:.0f} % were cut, {100 * imagined.unusual_share:.0f} % of the "
        f"steps unusual), {one.judgement.word}"
    )


def versions() -> dict[str, str]:
    """Returns what the run was made with."""
    found = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        **found,
        "code": version.named(),
    }
