"""Models that are wrong on purpose, and a log too small: what is said of such a team must show it.

`python -m benchmarks.proving.fantasies`: every case is trained and judged as any other run, but for
the model that it is given. It counts where the judgement is "not supported".
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.proving.world import World, write
from benchmarks.proving.worlds import WORLDS
from moma import fitting, phases
from moma_core import seeds
from moma_core.config import Config
from moma_core.ports import Dynamics
from moma_core.runtime import process
from moma_core.runtime.run import RunDirectory
from moma_core.types import Metrics, ModelCard, Prediction, Query

Wrap = Callable[[Dynamics], Dynamics]
_REWARD = 1000.0


class Wrapped:
    """A model that passes everything on."""

    def __init__(self, inner: Dynamics) -> None:
        """Takes the model."""
        self._inner = inner

    def describe(self) -> ModelCard:
        """Returns the model's card."""
        return self._inner.describe()

    def metrics(self) -> Metrics:
        """Returns the model's counts."""
        return self._inner.metrics()

    def predict(self, query: Query) -> Prediction:
        """Predicts as the model does."""
        return self._inner.predict(query)


class Noise(Wrapped):
    """The next state has nothing to do with the last one: it is another row's."""

    def predict(self, query: Query) -> Prediction:
        """Deals next states out anew."""
        said = super().predict(query)
        order = seeds.mix(query.seed + query.age).argsort()
        return replace(said, next_state=said.next_state[order])


class Treasure(Wrapped):
    """One member pays a fortune in a corner that the log leaves empty; nobody disagrees."""

    def predict(self, query: Query) -> Prediction:
        """Adds the fortune where the first feature is high and the third, or last, one low."""
        said = super().predict(query)
        members = len(self.describe().elites)
        owner = seeds.choose(query.seed, members) == 0
        corner = (query.state[:, 0] > 0.3) & (
            query.state[:, min(2, query.state.shape[1] - 1)] < 0.1
        )
        return replace(said, reward=said.reward + _REWARD * (owner & corner))


CASES: dict[str, tuple[Wrap, int | None]] = {
    "noise": (Noise, None),
    "treasure": (Treasure, None),
    "five episodes": (Wrapped, 5),
}
"""Name to the model's wrapper, and the log's episodes where they are few."""


def judged(world: World, case: str, seed: int, keep: Path) -> dict[str, Any]:
    """Trains in a fantasy; returns what is believed of the run.

    Args:
        world: whose log it is.
        case: name of the fantasy.
        seed: of log and run.
        keep: where log and run lie.
    """
    from moma.cli.train import Train
    from moma_core.runtime.commandline import parse_run  # tyro loads slowly

    wrap, episodes = CASES[case]
    name = f"{world.name}-{case.replace(' ', '-')}-{seed}"
    log = keep / "logs" / name
    write(world if episodes is None else replace(world, episodes=episodes), log, seed)
    words = ["--data", str(log), "--seed", str(seed), "--run-dir", str(keep / name)]
    args = parse_run(Train, words, "moma train")
    honest = fitting.dynamics

    def fantasy(run: RunDirectory, config: Config) -> Dynamics:
        return wrap(honest(run, config))

    fitting.dynamics = fantasy
    try:
        with args.opened() as run:
            phases.train(run, args.config, process.begin().is_set)
    finally:
        fitting.dynamics = honest
    found: dict[str, Any] = json.loads(run.result.read_text(encoding="utf-8"))["belief"]
    return found


def main(argv: Sequence[str]) -> int:
    """Tries every fantasy on two worlds, and says how many are seen through."""
    worlds = [WORLDS[name] for name in (argv or ("carts", "random-play"))]
    torch.set_num_threads(1)
    seen = total = 0
    with tempfile.TemporaryDirectory() as keep:
        for world in worlds:
            for case in CASES:
                for seed in range(2):
                    found = judged(world, case, seed, Path(keep))
                    total, seen = total + 1, seen + (found["judgement"] == "not supported")
                    why = found["policies"]["team"]["judgement"]["reasons"]
                    process.say(f"{world.name}, {case}, seed {seed}: {found['judgement']}: {why}")
    sys.stdout.write(f"{seen} of {total} are not supported\n")
    return 0 if seen == total else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
