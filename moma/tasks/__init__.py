"""The tasks by name. A task's file is imported when it is asked for: simulators load slowly."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from moma.config import Config
from moma.data import Dataset
from moma.tasks.task import Environment, Task

__all__ = ["NAMES", "Environment", "Task", "dataset", "get"]

_LOCOMOTION = "moma.tasks.locomotion"
_FACTORIES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "reacher-full": ("moma.tasks.reacher", "full", ()),
    "reacher-independent": ("moma.tasks.reacher", "independent", ()),
    "reacher-leader": ("moma.tasks.reacher", "leader", ()),
    "reacher-c": ("moma.tasks.reacher", "expert", ("c",)),
    "reacher-d": ("moma.tasks.reacher", "expert", ("d",)),
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

    None where rollouts begin at the task's true starts: online training needs no data.

    Args:
        config: the run's.
        made: where the task's own data lies or is to lie.

    Raises:
        DatasetError: it cannot be trusted.
        ValueError: it is for another task.
    """
    task = get(config.task)
    if config.rollout.starts == "task":
        return None
    if config.data.path:
        data = Dataset.load(Path(config.data.path))
    elif made.is_dir():
        data = Dataset.load(made)
    else:
        data = task.make_data(made, config.data, config.seed)
    if data.spec != task.spec:
        raise ValueError(
            f"the data at {data.path} is for task {data.spec.name} "
            f"({len(data.spec.agents)} agents, {data.spec.state_width} state features), "
            f"the config is for task {task.spec.name} "
            f"({len(task.spec.agents)} agents, {task.spec.state_width} state features)"
        )
    return data


def get(name: str) -> Task:
    """Returns the task called `name`.

    Raises:
        ValueError: there is none; the text holds the nearest names.
    """
    if name not in _FACTORIES:
        near = difflib.get_close_matches(name, NAMES, n=3, cutoff=0.3) or NAMES
        raise ValueError(f"there is no task {name!r}; perhaps you meant: {', '.join(near)}")
    module, factory, arguments = _FACTORIES[name]
    build: Callable[..., Task] = getattr(import_module(module), factory)
    return build(*arguments)
