"""A whole run: rollouts, gRPC and updates together, distributed and in-process, the same work.

Both end with the same weights, bit for bit, which is checked. The world model is fitted too
briefly to be good: speed does not depend on what the weights are.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import statistics
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.speed import traced, update
from benchmarks.speed.ground import ROWS, Ground, hidden, policy
from benchmarks.speed.model import cost
from benchmarks.speed.profile import profile
from benchmarks.speed.sizes import Size
from benchmarks.speed.table import Part, Row
from benchmarks.speed.timing import LEFT_OUT
from benchmarks.speed.trace import read
from learner import checkpoint
from model_server.world_model import files
from moma import fitting, local
from moma.engines.board import Board
from moma.engines.local import LocalEngine, module
from moma.engines.training import train
from moma.engines.view import PlainView
from moma_core.config import Config
from moma_core.runtime.run import RunDirectory
from moma_core.types import Metrics

_UPDATES = 60
"""Of the fit."""
_EPISODES = 200
"""Of the log at most: rollouts begin there, and speed does not depend on how many there are."""
_WORKERS = 2
_DISTRIBUTED, _ALONE = f"whole system, {_WORKERS} workers", "whole system, in-process"


def training(ground: Ground, size: Size) -> list[Row]:
    """Accepted transitions per second, round by round, the update included."""
    if not size.whole:
        return []
    config, place = _config(size, ground.effort.rounds), ground.scratch / f"whole-{size.name}"
    ground.say(f"whole system, {size.name}: data and a short fit")
    fitted = RunDirectory.create(place / "fitted", config)
    board = _board(ground, fitted)
    fitting.model(fitted, config, board, _never)
    fitting.clones(fitted, config, board, _never)
    board.close()
    apart = _run(ground, size, fitted, _DISTRIBUTED)
    alone = _run(ground, size, fitted, _ALONE)
    same = _weights(_place(fitted, _DISTRIBUTED)) == _weights(_place(fitted, _ALONE))
    if not same:
        ground.wrong.append(f"{size.name}: {_DISTRIBUTED} and in-process end with other weights")
    compared = {"over_in_process": apart.rows_per_s / alone.rows_per_s, "same_weights": same}
    return [replace(apart, more={**apart.more, **compared}), alone]


def _config(size: Size, rounds: int) -> Config:
    """Returns the recipe with the size's model, fitted briefly, and no evaluation."""
    config = size.config
    return replace(
        config,
        workers=_WORKERS,
        data=replace(config.data, episodes=min(config.data.episodes, _EPISODES)),
        model=replace(size.model, updates=_UPDATES, evaluate_every=_UPDATES // 2),
        ppo=replace(config.ppo, rounds=rounds),
        eval=replace(config.eval, every=0),
    )


def _run(ground: Ground, size: Size, fitted: RunDirectory, name: str) -> Row:
    """Trains once and returns the rounds' rates, the first ones left out."""
    ground.say(f"{name}, {size.name}")
    config = fitted.config()
    run = RunDirectory.create(_place(fitted, name), config)
    shutil.copytree(fitted.model, run.model)
    shutil.copytree(fitted.clones, run.clones)
    shutil.copytree(fitted.data, run.data)
    train = _distributed if name == _DISTRIBUTED else _in_process
    traces = run.path / "traces"
    peak = train(ground, run, config, traces)
    if ground.profiles is not None:
        ground.profiles.append(profile(name, size.name, read(traces), LEFT_OUT))
    rounds = _rounds(run)[LEFT_OUT:]
    epochs = statistics.mean(metrics["losses/epochs"] for metrics in rounds)
    rates = [metrics["charts/SPS"] for metrics in rounds]
    parts = _parts(ground, size, run, epochs)
    more = {"epochs": epochs, "peak_memory_mb": round(peak / 2**20)}
    return Row(name=name, size=size.name, rates=rates, parts=parts, more=more)


def _distributed(ground: Ground, run: RunDirectory, config: Config, traces: Path) -> int:
    """Trains with all roles as processes, which write traces if that is wanted.

    Returns:
        The peak memory of all of them and of this process in bytes.
    """
    board = _board(ground, run)
    board.enter("train")
    begin = module if ground.profiles is None else traced.begin(traces)
    engine = LocalEngine(run.logs, run.addresses, begin)
    done, peak = train(run, config, board, _never, engine)
    board.close()
    _check(done)
    return peak


def _in_process(ground: Ground, run: RunDirectory, config: Config, traces: Path) -> int:
    """Trains in this process, which writes a trace if that is wanted; its peak memory in bytes."""
    board = _board(ground, run)
    board.enter("train")
    path, wanted = traces / "this process-0.json", ground.profiles is not None
    with traced.noting(path) if wanted else contextlib.nullcontext():
        done, peak = local.train(run, config, board, _never)
    board.close()
    _check(done)
    return peak


def _board(ground: Ground, run: RunDirectory) -> Board:
    """Returns what shows how far a run is, beside standard output, which is the table's."""
    return Board(run, PlainView(ground.say))


def _check(done: bool) -> None:
    if not done:
        raise RuntimeError("training ended before its last round")


def _never() -> bool:
    """Nobody stops a benchmark's run but by ending the benchmark."""
    return False


def _place(fitted: RunDirectory, name: str) -> Path:
    return fitted.path.parent / ("distributed" if name == _DISTRIBUTED else "in-process")


def _parts(ground: Ground, size: Size, run: RunDirectory, epochs: float) -> list[Part]:
    """Returns what a transition costs: one prediction, and its part in an update."""
    config = run.config()
    model = files.load(run.model, config.precision)
    learnt = update.cost(update.fresh(model.describe().task, config), epochs)
    return [
        *ground.matmul.parts(hidden(size, ROWS), cost(model)),
        *ground.matmul.parts(policy(size), learnt),
    ]


def _rounds(run: RunDirectory) -> list[Metrics]:
    """Returns what was written of every round."""
    lines = (run.events / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [metrics for metrics in map(json.loads, lines) if "charts/SPS" in metrics]


def _weights(path: Path) -> list[tuple[str, list[int]]]:
    """Returns the last policies' bits."""
    newest = checkpoint.newest(RunDirectory(path).checkpoints)
    if newest is None:
        raise RuntimeError(f"{path} has no checkpoint")
    tensors = checkpoint.actors(newest)
    bits = {name: tensor.flatten().view(torch.int32) for name, tensor in tensors.items()}
    return [(name, bits[name].tolist()) for name in sorted(bits)]
