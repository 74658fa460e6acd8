"""What a Python program calls: train a team, load it, let it act, measure it (docs/python.md)."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from moma import phases
from moma.cli.train import Train
from moma.evaluation import policies
from moma.evaluation.evaluate import Score, played
from moma.team import Team
from moma_core import documents, own_code
from moma_core.runtime import flag_file, process, subject
from moma_core.runtime.commandline import parse_run
from moma_core.runtime.run import RunDirectory
from moma_core.stopping import NOT_SUPPORTED
from moma_core.tasks import Environment, pettingzoo

_ENDED = (0, NOT_SUPPORTED)


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that has ended."""

    path: Path

    @property
    def result(self) -> dict[str, Any]:
        """What came out: `result.json`."""
        found: dict[str, Any] = documents.read(RunDirectory(self.path).result)
        return found

    @property
    def supported(self) -> bool:
        """False where nothing was measured and the log does not support the team."""
        belief = self.result["belief"]
        judged = belief is None or belief["judgement"] == "supported"
        return judged or bool(self.result["measured"])


def train(config: Mapping[str, object]) -> Run:
    """Trains a team from its log to its result, as `moma train` does.

    Args:
        config: settings by the names of the command line's flags, such as `data`, `env`,
            `run-dir`, `ppo.rounds`, `in-process`; `recipe` names a recipe.

    Raises:
        ValueError: a setting that there is not, or that does not fit.
        RuntimeError: the run could not be brought to its end; its log says why.
    """
    process.spin_briefly()
    try:
        args = parse_run(Train, flag_file.words_of(config, "moma.train"), "moma.train")
    except SystemExit as refused:  # what is wrong has been said
        raise ValueError("moma.train: no such setting, or not such a value; see above") from refused
    args.check()
    if args.dry_run or args.engine == "slurm":
        raise ValueError(
            "moma.train trains and returns; --dry-run and Slurm's queue are for `moma`"
        )
    deployment = None if args.in_process else args.only()
    with _own_process(), args.opened() as run:
        status = phases.train(run, args.config, process.begin().is_set, deployment=deployment)
    if status not in _ENDED:
        raise RuntimeError(f"training ended with status {status}; see {run.logs} and {run.status}")
    return Run(path=run.path)


def load(run: Run | Path | str, policy: str = policies.TEAM) -> Team:
    """Loads a run's policy, which acts by observations alone.

    Args:
        run: the run, or its directory.
        policy: the team, or an imitation of its log (`bc`, `bc-best`).

    Raises:
        ValueError: there is no such run or policy.
    """
    opened = RunDirectory.open(run.path if isinstance(run, Run) else Path(run))
    config = opened.config()
    task = subject.task(config, opened)
    return Team(policies.load(opened, policy, task.spec, config.actor), task)


def evaluate(
    team: Team,
    env: Callable[[], Any] | str | None = None,
    *,
    episodes: int = 100,
    seed: int = 0,
) -> Score:
    """Plays a team in an environment; the same seed gives `moma evaluate`'s episodes.

    Args:
        team: the team.
        env: makes a PettingZoo `ParallelEnv`; or package.module:factory; None: the task's own.
        episodes: to play.
        seed: of the start states.

    Raises:
        ValueError: the task has no environment of its own, or the one given is not for this team.
    """
    if env is None:
        return played(team.actors, team.task, episodes, seed)
    make = own_code.load(env, "env") if isinstance(env, str) else env
    copies: Callable[[int], Environment] = partial(pettingzoo.PettingZoo, make, team.spec)
    task = replace(team.task, environment=copies, return_at_zero=None, return_at_one=None)
    return played(team.actors, task, episodes, seed)


@contextmanager
def _own_process() -> Iterator[None]:
    """Gives back what a command takes of its process: signal handlers and the log's."""
    numbers, log = (signal.SIGINT, signal.SIGTERM), logging.getLogger()
    handlers, told, level = [signal.getsignal(n) for n in numbers], list(log.handlers), log.level
    try:
        yield
    finally:
        process.over()
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)
        log.handlers = told
        log.setLevel(level)
