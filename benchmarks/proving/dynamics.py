"""How right small models of the worlds are about chance: coverage, codes, what is drawn.

    python -m benchmarks.proving.dynamics coin wind --updates 1000

Of each world, by a model fitted to its log: the lowest and highest coverage among the features,
what is coded, and what was drawn after the log's own steps: the feature whose distribution is the
furthest from the log's (Kolmogorov-Smirnov distance), and the share of steps outside of the log.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.proving.world import write
from benchmarks.proving.worlds import WORLDS
from model_server.world_model import files
from model_server.world_model.fit import fit
from model_server.world_model.model import WorldModel
from moma_core import seeds
from moma_core.config import ModelConfig
from moma_core.datasets import Dataset
from moma_core.runtime import process
from moma_core.types import Query

_ROWS = 20_000
"""Steps of the log that are drawn again at most."""
_HEAD = (
    "world | 50 % covers | 90 % covers | coded | codes | clock | updates | fit s | worst KS | "
    "outside"
)


def main() -> None:
    """Prints a row of the table for each world."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("worlds", nargs="*", default=list(WORLDS))
    for name, default in (("seed", 0), ("width", 96), ("updates", 1000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--draw", default="sample", choices=("sample", "mean"))
    args = parser.parse_args()
    process.compute_on(0)
    config = ModelConfig(
        width=args.width, depth=2, updates=args.updates, evaluate_every=100, draw=args.draw
    )
    print(_HEAD)
    for name in args.worlds:
        with tempfile.TemporaryDirectory() as directory:
            print(name, "|", measure(name, config, args.seed, Path(directory)), flush=True)


def measure(name: str, config: ModelConfig, seed: int, scratch: Path) -> str:
    """Returns a world's row.

    Args:
        name: the world.
        config: what to fit.
        seed: of log and fit.
        scratch: a directory for the log and the model.
    """
    write(WORLDS[name], scratch / "log", seed)
    log, updates = Dataset.load(scratch / "log"), [0]
    begun = time.monotonic()
    fitted = fit(log, config, seed, lambda look: updates.append(look.update))
    seconds = time.monotonic() - begun
    model = files.save(fitted, log, seed, scratch / "model")
    found: dict[str, Any] = files.report(scratch / "model")["held_out"]
    covered = [
        f"{min(c.values()):.2f} to {max(c.values()):.2f}" for c in found["coverage"].values()
    ]
    cells = [
        *covered,
        " ".join(found["coded"]) or "-",
        found["codes"],
        fitted.ensemble.config.clock,
        updates[-1],
    ]
    return " | ".join(map(str, [*cells, f"{seconds:.0f}", *drawn(model, log)]))


def drawn(model: WorldModel, log: Dataset) -> tuple[str, str]:
    """Draws what comes after the log's own steps, and compares it with what came.

    Returns:
        The feature whose distribution is the furthest from the log's, and the share of steps that
        would have left the log.
    """
    index = np.arange(min(log.transitions, _ROWS))
    data, seed = log.rows(index), seeds.rows(1, len(index))
    answer = model.predict(Query(state=data.state, action=data.action, age=data.age, seed=seed))
    pairs = zip(answer.next_state.T, data.next_state.T, strict=True)
    distance = [_apart(*pair) for pair in pairs]
    worst = int(np.argmax(distance))
    means = (float(state[:, worst].mean()) for state in (answer.next_state, data.next_state))
    return (
        f"{distance[worst]:.3f} ({log.spec.state_names[worst]}: mean {next(means):.3f}, "
        f"in the log {next(means):.3f})",
        f"{float(answer.outside.any(1).float().mean()):.4f}",
    )


def _apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest distance between two distribution functions of as many numbers."""
    # Values that differ by rounding, as a clock's may, are the same.
    every = torch.cat([one, other])
    places = every.unique()
    step = (every.max() - every.min()).clamp_min(1e-6) * 1e-4
    below = [torch.searchsorted(x.sort().values, places + step, right=True) for x in (one, other)]
    return float((below[0] - below[1]).abs().max()) / len(one)


if __name__ == "__main__":
    main()
