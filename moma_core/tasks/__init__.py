"""The tasks by name. A task's file is imported when it is asked for: simulators load slowly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from moma_core import own_code
from moma_core.config import DataConfig
from moma_core.datasets import Dataset
from moma_core.tasks.task import Drawn, Environment, Task, near
from moma_core.types import TaskSpec

__all__ = ["GROUP", "NAMES", "Drawn", "Environment", "Task", "dataset", "get", "names", "of"]

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
GROUP = "moma.tasks"
"""Group of entry points by which installed packages add tasks: name = package.module:factory."""
WHICH_DATA = "which data? --data DIR, or a recipe whose task makes its own"


def dataset(task: str, config: DataConfig, seed: int, made: Path) -> Dataset:
    """Opens the dataset that the config names, or the task's own, making it where it is not yet.

    Args:
        task: the task's name; empty: the dataset says who the team is.
        config: where the dataset lies, or which of the task's own to make.
        seed: of the data that is made.
        made: where the task's own data lies or is to lie.

    Raises:
        DatasetError: it cannot be trusted.
        ValueError: it is for another task, or the config names a variant that the task lacks.
    """
    if config.path or made.is_dir():
        data = Dataset.load(Path(config.path or made))
    elif task:
        data = get(task).make_data(made, config, seed)
    else:
        raise ValueError(WHICH_DATA)
    if task:
        _check_same(data, get(task).spec)
    return data


def of(task: str, team: TaskSpec | None, env: str = "") -> Task:
    """Returns the named task, or else that of a team of which only a log is known.

    Args:
        task: the task's name; empty: the team is given.
        team: as its log has it; None where the task is named.
        env: an evaluation environment, package.module:factory, instead of the task's own; returns
            have no scale in it.

    Raises:
        ValueError: there is no such task or environment.
    """
    found = get(task) if team is None else _unnamed(team)
    if not env:
        return found
    from moma_core.tasks import pettingzoo  # it loads slowly, as simulators do

    environment = partial(pettingzoo.PettingZoo, own_code.load(env, "--env"), found.spec)
    note = f"played in {env}"
    return replace(
        found, environment=environment, return_at_zero=None, return_at_one=None, note=note
    )


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
    """Returns the task called `name`: one of ours, of an installed package, or of the user's code.

    Raises:
        ValueError: there is none; the text holds the nearest names. Or it is code, which this call
            does not name.
    """
    if own_code.is_place(name):
        return _own(name)
    if name in _FACTORIES:
        module, factory, arguments = _FACTORIES[name]
        build: Callable[..., Task] = getattr(import_module(module), factory)
        return build(*arguments)
    found = entry_points(group=GROUP, name=name)
    if not found:
        raise ValueError(f"there is no task {name!r}; perhaps you meant: {near(name, names())}")
    return _task(name, next(iter(found)).load()())


def names() -> tuple[str, ...]:
    """Returns the names of our tasks and of those that installed packages have."""
    return (*NAMES, *(point.name for point in entry_points(group=GROUP)))


def _own(place: str) -> Task:
    """Returns the task that a factory of the user's makes, where this call names it."""
    if not own_code.allowed(place):
        raise ValueError(
            f"task {place} is code, and code is run only where the call names it: --task {place}"
        )
    return _task(place, own_code.load(place, "--task")())


def _task(name: str, made: object) -> Task:
    if not isinstance(made, Task):
        kind = type(made).__name__
        raise ValueError(f"task {name} has to be a moma_core.tasks.Task, got {kind}")  # noqa: TRY004
    return made
