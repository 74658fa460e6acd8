"""What a run is about, by its whole config: its dataset, its task, its team.

For composition roots; whatever they compose gets its own section of the config. What has to hold
after the log has moved is kept inside the run: the team, the log's digest, the environment's name.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from moma_core import documents, tasks
from moma_core.config import Config
from moma_core.datasets import Dataset, DatasetError, digest_of, spec_of, step_of
from moma_core.datasets.view import works_on
from moma_core.runtime.run import RunDirectory
from moma_core.storage import write_text
from moma_core.tasks import Task
from moma_core.types import TaskSpec


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a run is about, as its directory keeps it."""

    team: TaskSpec
    """Team, as the log has it."""
    data_sha256: str
    """Digest of the log; empty: there was none."""
    env: str
    """Name of the environment that the run was measured in, for its reader: nothing runs it."""
    env_folder: str
    """Folder in which the environment's module was found."""

    seconds_per_step: float | None = None
    """Seconds that a step of the log took; None: it does not say so."""

    @property
    def advice(self) -> str:
        """How to play the run in the environment that it was measured in."""
        if not self.env:
            return "--env package.module:factory names an environment to play in"
        return f"it was measured with --env {self.env}, whose module lay in {self.env_folder}"


def dataset(config: Config, made: Path) -> Dataset | None:
    """Opens a run's dataset, making the task's own where it is not there yet.

    None where rollouts begin at the task's own starts: online training needs no data.

    Args:
        config: the run's.
        made: where the task's own data lies or is to lie.

    Raises:
        DatasetError: it cannot be trusted.
        ValueError: it is for another task, or the config names a variant that the task lacks.
    """
    if config.rollout.starts == "task":
        return None
    return tasks.dataset(config.task, config.data, config.seed, made)


def keep(run: RunDirectory, config: Config, data: Dataset | None) -> Subject:
    """Writes into the run what it is about, or compares it with what stands there.

    Args:
        run: the run's directory.
        config: the run's.
        data: its dataset; None where it has none.

    Raises:
        DatasetError: the run was made from another log.
    """
    found = "" if data is None else digest_of(data.path)
    env, folder = config.eval.env, _folder(config.eval.env)
    if run.subject.is_file():
        _same(run, found, "" if data is None else str(data.path))
        before = kept(run)
        env, folder = (env, folder) if env else (before.env, before.env_folder)
    spec = tasks.get(config.task).spec if data is None else data.spec
    told = Subject(
        team=spec,
        data_sha256=found,
        env=env,
        env_folder=folder,
        seconds_per_step=None if data is None else step_of(data.path),
    )
    write_text(run.subject, documents.dump(told))
    return told


def kept(run: RunDirectory) -> Subject:
    """Reads what a run is about.

    Raises:
        ValueError: it does not say so, or not as a `Subject`.
    """
    if not run.subject.is_file():
        raise ValueError(
            f"{run.subject} is missing: the run has not opened its log yet, or an earlier version "
            f"made it; moma train --resume {run.path} goes on with it and writes it"
        )
    return documents.load(Subject, run.subject)


def log(run: RunDirectory, config: Config) -> Dataset:
    """Opens the log that a run was made from, for what cannot be said without it.

    Args:
        run: the run's directory.
        config: the run's.

    Raises:
        DatasetError: it is not where it was, or another one lies there.
        ValueError: the run has none.
    """
    about = kept(run)
    if not about.data_sha256:
        raise ValueError(f"{run.path} has no log to estimate by")
    place = Path(config.data.path or run.data)
    if not (place / "meta.json").is_file():
        raise DatasetError(f"{place} does not hold the run's log any more: --data DIR names it")
    _same(run, digest_of(place), str(place))
    return Dataset.load(place)


def task(config: Config, run: RunDirectory) -> Task:
    """Returns a run's task, with the environment that the run is evaluated in.

    Args:
        config: the run's.
        run: the run's directory, which knows the team where no task is named.

    Raises:
        ValueError: there is no such task, dataset or environment.
    """
    return tasks.of(config.task, None if config.task else _team(config, run), config.eval.env)


def team(config: Config, data: Dataset | None) -> TaskSpec:
    """Returns who a run's team is: by its data as it works on it, by its task where it has none."""
    return tasks.get(config.task).spec if data is None else works_on(data, config.works_on).spec


def _team(config: Config, run: RunDirectory) -> TaskSpec:
    """Returns who the team of a run without a task is."""
    if run.subject.is_file():
        return kept(run).team
    if not (config.data.path or run.data.is_dir()):
        raise ValueError(tasks.WHICH_DATA)
    return spec_of(Path(config.data.path or run.data))


def _same(run: RunDirectory, found: str, place: str) -> None:
    """Refuses a log that is not the one that a run was made from."""
    made_from = kept(run).data_sha256
    if found != made_from:
        raise DatasetError(
            f"{place or 'no log'} is not what {run.path} was made from: SHA-256 "
            f"{found[:12] or 'none'}, not {made_from[:12] or 'none'}; another log needs another run"
        )


def _folder(env: str) -> str:
    """Returns the folder from which an environment's module, once imported, came."""
    name = env.partition(":")[0]
    file = getattr(sys.modules.get(name), "__file__", None)
    return str(Path(file).parents[name.count(".")]) if file else ""
