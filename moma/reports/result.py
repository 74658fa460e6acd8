"""What came of a run: result.json and its one line."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from dataclasses import asdict

import torch

from learner import checkpoint
from moma.engines.board import Board
from moma.evaluation.evaluate import Score, describe
from moma_core.config import Config
from moma_core.runtime import version
from moma_core.runtime.run import RunDirectory
from moma_core.storage import write_text

_PACKAGES = ("mujoco", "gymnasium", "numpy", "grpcio", "protobuf")


def write(
    run: RunDirectory, config: Config, board: Board, score: Score, mode: str, peak_rss: int
) -> None:
    """Writes result.json.

    Args:
        run: where it goes, and where the learner's counters lie.
        config: the run's.
        board: phases, processes and faults of the run.
        score: what the evaluation gave.
        mode: `distributed` or `in-process`.
        peak_rss: peak memory of the run's processes, in bytes.
    """
    counters = checkpoint.counters(run.checkpoints)
    seconds = {name: round(value, 2) for name, value in board.seconds.items()}
    result = {
        "run": run.name,
        "recipe": config.recipe,
        "seed": config.seed,
        "mode": mode,
        "choices": config.mode,
        **asdict(score),
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


def line(run: RunDirectory, score: Score) -> str:
    """Returns the result as one line, given the score that it was written with."""
    result = json.loads(run.result.read_text(encoding="utf-8"))
    phases = ", ".join(
        f"{name} {result['seconds'][name]:.0f} s"
        for name in ("data", "fit", "train", "evaluate")
        if name in result["seconds"]
    )
    rounds = f"stopped after round {result['updates']}: {result['stopped']}; "
    return (
        f"{result['task']} seed {result['seed']}: {describe(score)}; {phases}; "
        f"{rounds if result['stopped'] else ''}"
        f"{result['transitions_per_second']:,.0f} transitions/s; "
        f"TensorBoard: tensorboard --logdir {run.events}; result: {run.result}"
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
