"""The command line: `moma COMMAND`. Each command's module is loaded when it is called."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from moma_core.recipes import NAMES
from moma_core.runtime.commandline import dispatch

_COMMANDS = {
    "train": ("moma.cli.train", "data, world model, policies, evaluation: the main job"),
    "fit": ("moma.fitting", "data and world model only"),
    "serve": ("model_server.__main__", "serve a fitted world model"),
    "learn": ("learner.__main__", "the learner alone; workers join it"),
    "work": ("rollout_workers.__main__", "one rollout worker; it needs only the learner's address"),
    "tasks": ("moma.cli.tasks", "list the tasks with their widths, data and reference returns"),
    "data": ("moma.cli.data", "make, import, check and describe logs"),
    "evaluate": ("moma.evaluation.evaluate", "play a run's newest checkpoint in the true system"),
    "status": ("moma.cli.status", "say what a run is doing"),
}
_USAGE = f"""usage: moma COMMAND ...

Trains teams that coordinate from a fixed log of their behaviour.

{chr(10).join(f"  {name:<10}{text}" for name, (_, text) in _COMMANDS.items())}

recipes: {", ".join(NAMES)}
moma COMMAND --help says more; for example: moma train reacher-leader --help
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command that the first argument names."""
    commands = {name: loader(module) for name, (module, _) in _COMMANDS.items()}
    return dispatch(commands, sys.argv[1:] if argv is None else argv, _USAGE)


def loader(module: str) -> Callable[[list[str]], int]:
    """Returns what imports a command's module when it is called, and runs its `main`."""

    def run(argv: list[str]) -> int:
        status: int = import_module(module).main(argv)
        return status

    return run
