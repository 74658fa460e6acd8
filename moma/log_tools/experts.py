"""Runs that train experts online, and which of their kept policies make which data."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from learner import checkpoint
from model_server.simulator import Simulator
from moma.log_tools.collect import Cast, Source, play
from moma_core import documents, recipes, seeds, tasks
from moma_core.config import Config
from moma_core.runtime.run import RunDirectory
from moma_core.storage import write_text
from moma_core.tasks import Task

MEDIUM = 1 / 3
"""Where a medium policy stands between the untrained one and the last."""
_EPISODES = 16
"""Episodes by which a kept policy is judged."""


@dataclass(frozen=True)
class Expert:
    """One expert: a recipe, the directory of all experts' runs, a seed, a length."""

    recipe: str
    runs: Path
    seed: int
    rounds: int = 0
    """Rounds of training; 0: as the recipe says."""
    threads: int = 1
    """Threads of the simulator in which kept policies are judged."""

    @property
    def run(self) -> RunDirectory:
        """The expert's run; another length is another run, as its learning rates differ."""
        length = f"-{self.rounds}" if self.rounds else ""
        return RunDirectory(self.runs / f"{self.recipe}-{self.seed}{length}")

    @property
    def task(self) -> Task:
        """The task as the expert sees it."""
        return tasks.get(recipes.get(self.recipe).task)

    @property
    def config(self) -> Config:
        """The run's config."""
        return self.run.config()

    @property
    def command(self) -> list[str]:
        """The arguments of `moma train` that train it, or go on with it."""
        if self.run.config_path.exists():
            return ["--in-process", "--resume", str(self.run.path)]
        length = ["--ppo.rounds", str(self.rounds)] if self.rounds else []
        where = ["--in-process", "--run-dir", str(self.run.path), "--seed", str(self.seed)]
        return [self.recipe, *where, *length]

    @property
    def trained(self) -> bool:
        """True once the run has come to its end."""
        return self.run.result.is_file()

    def sources(self, kind: str, transitions: int) -> list[Source]:
        """Returns the policies that make one kind of data, and how much each.

        Args:
            kind: `random` (untrained), `medium` (about a third of the way up), `expert` (the
                last), `medium-replay` and `full-replay` (all kept policies up to either, in equal
                parts).
            transitions: in all.
        """
        kept = self._kept
        if kind.startswith("medium"):
            third = self._returns[0] + MEDIUM * (self._returns[-1] - self._returns[0])
            medium = int(np.argmin(np.abs(self._returns - third)))
            kept = kept[: medium + 1]
        if kind == "random":
            kept = kept[:1]
        elif not kind.endswith("replay"):
            kept = kept[-1:]
        shares = np.diff(np.linspace(0, transitions, len(kept) + 1).round().astype(int))
        return [
            replace(source, transitions=int(share))
            for source, share in zip(kept, shares, strict=True)
            if share
        ]

    @cached_property
    def _kept(self) -> list[Source]:
        """The untrained policy, those that were kept, and the last checkpoint."""
        last = checkpoint.newest(self.run.checkpoints)
        paths = {path.name: path for path in self.run.policies.glob("[0-9]*") if path.is_dir()}
        if last is not None:
            paths[last.name] = last
        untrained = Source(run=self.run.name, version=0, transitions=0, parameters={})
        return [untrained] + [
            replace(untrained, version=int(name), parameters=checkpoint.actors(paths[name]))
            for name in sorted(paths)
        ]

    @cached_property
    def _returns(self) -> NDArray[np.float64]:
        """Mean return of each kept policy."""
        noted = self.run.path / "returns.json"
        names = [str(source.version) for source in self._kept]
        if noted.is_file():
            found = documents.read(noted)
            if list(found) == names:
                return np.array(list(found.values()))
        cast = Cast(expert=self.task, actor=self.config.actor, task=self.task)
        simulator = Simulator(self.task, self.threads)
        returns = []
        for source in self._kept:
            played = play(cast, simulator, source, _EPISODES, seeds.derive(self.seed, "judge"))
            returns.append(float((played.reward * played.valid).sum(0).mean()))
        write_text(noted, json.dumps(dict(zip(names, returns, strict=True)), indent=1))
        return np.array(returns)
