"""The tasks by name. A task's file is imported when it is asked for: simulators load slowly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from importlib import import_module
from pathlib import Path

from moma_core.config import Config
from moma_core.datasets import Dataset, spec_of
from moma_core.datasets.view import works_on
from moma_core.tasks.task import Environment, Task, near
from moma_core.types import TaskSpec

__all__ = ["NAMES", "Environment", "Task", "dataset", "get", "of"]

_LOCOMOTION = "moma_core.tasks.locomotion"
_FACTORIES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "reacher-full": ("moma_core.tasks.reacher", "full", ()),
    "reacher-independent": ("moma_core.tasks.reacher", "independent", ()),
    "reacher-leader": ("moma_core.tasks.reacher", "leader", ()),
    "reacher-c": ("moma_core.tasks.reacher", "expert", ("c",)),
    "reacher-d": ("moma_core.tasks.reacher", "expert", ("d",)),
    "icg": ("moma_core.tasks.icg", "icg", ()),
    "polygame-plus": ("moma_core.tasks.polygame", "plus", ()),
    "polygame-minus": ("moma_core.tasks.polygame", "minus", ()),
    "ant-full": (_LOCOMOTION, "ant", ("full",)),
    "ant-partial": (_LOCOMOTION, "ant", ("partial",)),
    "ant-corrected": (_LOCOMOTION, "ant", ("corrected",)),
    "halfcheetah-2x3": (_LOCOMOTION, "halfcheetah", ("2x3", "own")),
    "halfcheetah-2x3-full": (_LOCOMOTION, "halfcheetah", ("2x3", "full")),
    "halfcheetah-6x1": (_LOCOMOTION, "halfcheetah", ("6x1", "own")),
    "halfcheetah-6x1-full": (_LOCOMOTION, "halfcheetah", ("6x1", "full")),
    "hopper-3x1": (_LOCOMOTION, "hopper", ("own",)),
    "hopper-3x1-full": (_LOCOMOTION, "hopper", ("full",)),
    "walker2d-2x3": (_LOCOMOTION, "walker2d", ("own",)),
    "walker2d-2x3-full": (_LOCOMOTION, "walker2d", ("full",)),
}
"""Name to module, factory and its arguments."""
NAMES = tuple(_FACTORIES)


def dataset(config: Config, made: Path) -> Dataset | None:
    """Opens the dataset that the config names, or the task's own, making it where it is not yet.

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
    if config.data.path or made.is_dir():
        data = Dataset.load(_log(config, made))
    else:
        data = of(config, made).make_data(made, config.data, config.seed)
    if config.task:
        _check_same(data, get(config.task).spec)
    return data


def of(config: Config, made: Path) -> Task:
    """Returns a run's task: the named one, or else what its data says of the team.

    Args:
        config: the run's; where it names an evaluation environment, the task has that one, and
            returns have no scale.
        made: where the task's own data lies or is to lie.

    Raises:
        ValueError: there is no such task, data or environment.
    """
    task = get(config.task) if config.task else _unnamed(spec_of(_log(config, made)))
    if not config.eval.env:
        return task
    from moma_core.tasks import pettingzoo  # it loads slowly, as simulators do

    environment = partial(pettingzoo.PettingZoo, pettingzoo.load(config.eval.env), task.spec)
    note = f"played in {config.eval.env}"
    return replace(
        task, environment=environment, return_at_zero=None, return_at_one=None, note=note
    )


def team(config: Config, data: Dataset | None) -> TaskSpec:
    """Returns who a run's team is: by its data as it works on it, by its task where it has none."""
    return get(config.task).spec if data is None else works_on(data, config.works_on).spec


def _log(config: Config, made: Path) -> Path:
    """Returns where the run's data lies.

    Raises:
        ValueError: it lies nowhere, and no task could make some.
    """
    if not (config.data.path or config.task or made.is_dir()):
        raise ValueError("which data? --data DIR, or a recipe whose task makes its own")
    return Path(config.data.path or made)


def _unnamed(spec: TaskSpec) -> Task:
    """Returns the task of a team of which only a dataset is known."""
    return Task(
        spec=spec,
        environment=None,
        variants={},
        return_at_zero=None,
        return_at_one=None,
        note="the team is known by its log alone",
    )


def _check_same(data: Dataset, spec: TaskSpec) -> None:
    """Refuses data of another team, naming both."""
    if data.spec == spec:
        return
    names = [f.name for f in fields(spec) if getattr(spec, f.name) != getattr(data.spec, f.name)]
    raise ValueError(
        f"the data at {data.path} is for task {data.spec.name} "
        f"({len(data.spec.agents)} agents, {data.spec.state_width} state features), "
        f"the config is for task {spec.name} "
        f"({len(spec.agents)} agents, {spec.state_width} state features); they differ in "
        f"{', '.join(names)}; to take these settings for the data's own team: --task ''"
    )


def get(name: str) -> Task:
    """Returns the task called `name`.

    Raises:
        ValueError: there is none; the text holds the nearest names.
    """
    if name not in _FACTORIES:
        raise ValueError(f"there is no task {name!r}; perhaps you meant: {near(name, NAMES)}")
    module, factory, arguments = _FACTORIES[name]
    build: Callable[..., Task] = getattr(import_module(module), factory)
    return build(*arguments)
