"""A log in somebody else's format becomes a dataset: `moma data import`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from moma.log_tools.importing import Format, Imported, convert, detect, open_log
from moma_core import tasks
from moma_core.runtime import process
from moma_core.runtime.commandline import parse

_LINE_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Import:
    """Reads a log in another format and writes it as a dataset. Nothing in the log is executed."""

    path: tyro.conf.Positional[Path]
    """The file or directory."""
    out: Path
    """The dataset's directory."""
    format: Format | None = None
    """Default: told by what lies there. A pickle is read only when it is named here."""
    task: str | None = None
    """Splits the log of one agent into this task's agents; default: the agents of the log."""
    time_limit: Annotated[int | None, tyro.conf.arg(metavar="STEPS")] = None
    """Episodes of exactly this length ran out of time, whatever the log says."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    return process.main(lambda: _import(parse(Import, argv, "moma data import")))


def _import(args: Import) -> None:
    if args.out.exists():
        raise ValueError(f"{args.out} exists already; give another --out, or remove it")
    kind = args.format or detect(args.path)
    if kind == "moma-ppo-pickle":
        sys.stderr.write(
            "reading a pickle, restricted: arrays of numbers are built, anything else is refused\n"
        )
    log = open_log(args.path, kind)
    task = None if args.task is None else tasks.get(args.task)
    split = None if task is None else (task.spec, task.split or None)
    with progress(log.rows) as tell:
        made = convert(log, args.out, task=split, time_limit=args.time_limit, tell=tell)
    sys.stdout.write(f"{kind} {args.path} is now the dataset {args.out}\n{describe(made)}")


def describe(made: Imported) -> str:
    """Returns what was made, a line for each thing."""
    spec, one_of = made.spec, "one of " * made.spec.discrete
    lines = [
        f"episodes     {made.episodes}: {made.terminated} terminated, "
        f"{made.episodes - made.terminated} truncated, at most {spec.episode_limit} steps",
        f"transitions  {made.transitions}",
        f"joint state  {spec.state_width} features",
        *(
            f"agent        {name}: observation {len(seen)}, action {one_of}{len(low)}"
            for name, seen, low in zip(
                spec.agents, spec.observation_index, spec.action_low, strict=True
            )
        ),
        *(f"note         {note}" for note in made.notes),
    ]
    return "".join(f"  {line}\n" for line in lines)


@contextmanager
def progress(rows: int) -> Iterator[Callable[[str, int], None]]:
    """Yields what shows how far a phase is: a bar on a terminal, else a line every few seconds."""
    if not sys.stderr.isatty():
        yield _lines(rows)
        return
    texts = (TextColumn("{task.description}"), *Progress.get_default_columns()[1:3])
    with Progress(*texts, TimeElapsedColumn(), console=Console(stderr=True)) as bars:
        bar = bars.add_task("", total=rows)
        yield lambda phase, done: bars.update(bar, description=phase, completed=done)


def _lines(rows: int) -> Callable[[str, int], None]:
    shown = time.monotonic()

    def tell(phase: str, done: int) -> None:
        nonlocal shown
        if time.monotonic() - shown >= _LINE_S:
            shown = time.monotonic()
            sys.stderr.write(f"[{phase}] {done} of at most {rows} steps\n")

    return tell
