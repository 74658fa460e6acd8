"""The command line: `moma COMMAND`. Each command's module is loaded when it is called.

Nothing is loaded before `main`, which takes Ctrl-C in good order from the first moment on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

from moma_core import stopping
from moma_core.stopping import BAD_INPUT

_COMMANDS = {
    "train": ("moma.cli.train", "the main job: data, world model, policies, evaluation"),
    "fit": ("moma.cli.fit", "data and world model only"),
    "serve": ("model_server.__main__", "server of a fitted world model"),
    "learn": ("learner.__main__", "the learner alone; workers join it"),
    "work": ("moma.cli.work", "rollout workers; they need the learner's address and a token"),
    "keys": ("moma.cli.keys", "keys of a run that is reached from other machines"),
    "tasks": ("moma.cli.tasks", "table of the tasks: widths, data, reference returns"),
    "data": ("moma.cli.data", "logs of a team's behaviour: made, imported, checked, described"),
    "evaluate": ("moma.cli.evaluate", "evaluation of a run's newest checkpoint in its environment"),
    "film": ("moma.cli.film", "the team on film: one episode as an animated picture"),
    "export": ("moma.cli.export", "a policy as a folder per agent: ONNX, contract, card"),
    "stop": ("moma.cli.stop", "end of a run, saved; from anywhere that holds its token"),
    "scale": ("moma.cli.scale", "number of workers of a run that goes on"),
    "study": ("moma.cli.study", "a suite of runs, a row each; started again, it goes on"),
    "compare": ("moma.cli.compare", "tables and pictures of what several runs come to"),
    "board": ("moma.cli.board", "TensorBoard of runs, on this machine, opened on what matters"),
    "report": ("moma.cli.report", "one page of a run, or of several beside each other"),
    "status": ("moma.cli.status", "state of a run: phase, progress, processes, faults"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command that the first argument names."""
    if argv is None:  # we are the process
        stopping.leave_when_asked()
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["--version"]:
        sys.stdout.write(f"moma {_version()}\n")
        return 0
    return dispatch(_COMMANDS, words, _usage)


def _version() -> str:
    from moma_core.runtime import version

    return version.named()


def _usage() -> str:
    from moma_core.recipes import NAMES

    return f"""usage: moma COMMAND ...

Trains teams that coordinate from a fixed log of their behaviour.

{chr(10).join(f"  {name:<10}{text}" for name, (_, text) in _COMMANDS.items())}

recipes: {", ".join(NAMES)}
moma COMMAND --help says more; for example: moma train --help
moma --version prints version and commit
"""


def dispatch(
    commands: Mapping[str, tuple[str, str]], argv: Sequence[str], usage: Callable[[], str]
) -> int:
    """Loads the command that the first argument names and calls it with the rest.

    Args:
        commands: name to module, whose `main` is called, and what it does.
        argv: the words after the program's name.
        usage: says what `--help` shows.

    Returns:
        The exit status.
    """
    name = argv[0] if argv else "--help"
    if name in ("-h", "--help"):
        sys.stdout.write(usage())
        return 0
    if name not in commands:
        import difflib

        near = difflib.get_close_matches(name, commands, n=2) or list(commands)
        sys.stderr.write(f"error: there is no command {name!r}; perhaps: {', '.join(near)}\n")
        return BAD_INPUT
    status: int = import_module(commands[name][0]).main(list(argv[1:]))
    return status
