"""What a run is about, by its whole config: its dataset, its task, its team.

For composition roots; whatever they compose gets its own section of the config.
"""

from __future__ import annotations

from pathlib import Path

from moma_core import tasks
from moma_core.config import Config
from moma_core.datasets import Dataset
from moma_core.datasets.view import works_on
from moma_core.tasks import Task
from moma_core.types import TaskSpec


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


def task(config: Config, made: Path) -> Task:
    """Returns a run's task, with the environment that the run is evaluated in.

    Raises:
        ValueError: there is no such task, dataset or environment.
    """
    if not (config.task or config.data.path or made.is_dir()):
        raise ValueError(tasks.WHICH_DATA)
    return tasks.of(config.task, Path(config.data.path or made), config.eval.env)


def team(config: Config, data: Dataset | None) -> TaskSpec:
    """Returns who a run's team is: by its data as it works on it, by its task where it has none."""
    return tasks.get(config.task).spec if data is None else works_on(data, config.works_on).spec
