"""Accepted transitions per second, end to end, distributed and in-process, in one run.

    python benchmarks/end_to_end.py [--rounds 20] [--network separate|trunk]

Rollouts, gRPC and PPO update at the demo's sizes, after a fit that is too short to be good: speed
does not depend on what the weights are. The first rounds are left out. Nothing is cut, so that
both runs do the same work; the two end with the same weights, which is checked.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from launch import cluster, fitting, local
from launch.board import Board
from launch.view import PlainView
from learner import checkpoint
from moma import recipes
from moma.config import Config
from moma.run import RunDirectory

_WARM_UP = 3


def main() -> None:
    """Runs the benchmark and prints a line for each way, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--network", choices=("separate", "trunk"), default="separate")
    args = parser.parse_args()
    config = _config(args.rounds, args.workers, args.network)
    with tempfile.TemporaryDirectory(prefix="moma-benchmark-") as scratch:
        first = RunDirectory.create(Path(scratch) / "fitted", config)
        fitting.model(first, config, Board(first, PlainView()), lambda: False)
        rates = {}
        for name, train in (("distributed", cluster.train), ("in-process", local.train)):
            run = RunDirectory.create(Path(scratch) / name, config)
            shutil.copytree(first.model, run.model)
            shutil.copytree(first.data, run.data)
            done, peak = train(run, config, Board(run, PlainView()), lambda: False)
            rates[name] = _rate(run) if done else 0.0
            print(f"{name}: {rates[name]:,.0f} transitions/s, peak memory {peak / 2**20:,.0f} MB")
        print(f"distributed / in-process: {rates['distributed'] / rates['in-process']:.2f}")
        same = _weights(Path(scratch) / "distributed") == _weights(Path(scratch) / "in-process")
        print(f"same weights, bit for bit: {same}")


def _config(rounds: int, workers: int, network: Literal["separate", "trunk"]) -> Config:
    config = recipes.get("reacher-leader")
    return replace(
        config,
        workers=workers,
        model=replace(config.model, updates=60, evaluate_every=30, network=network),
        pessimism=replace(config.pessimism, cut=1e9),
        ppo=replace(config.ppo, rounds=rounds),
        eval=replace(config.eval, every=0),
    )


def _rate(run: RunDirectory) -> float:
    """Returns the harmonic mean of the rounds' rates, each round being equally long."""
    lines = (run.events / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return float(
        statistics.harmonic_mean([json.loads(line)["charts/SPS"] for line in lines[_WARM_UP:]])
    )


def _weights(path: Path) -> list[object]:
    newest = checkpoint.newest(RunDirectory(path).checkpoints)
    if newest is None:
        raise RuntimeError(f"{path} has no checkpoint")
    tensors = checkpoint.actors(newest)
    return [(name, tensors[name].view(torch.int32).tolist()) for name in sorted(tensors)]


if __name__ == "__main__":
    main()
