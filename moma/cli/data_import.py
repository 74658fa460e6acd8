"""A log in somebody else's format becomes a dataset: `moma data import`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from moma.log_tools.formats import Format, Whole
from moma_core.runtime import process
from moma_core.runtime.commandline import parse


@dataclass(frozen=True, kw_only=True)
class Import:
    """Reads a log in another format and writes it as a dataset. Nothing in the log is executed."""

    path: tyro.conf.Positional[Path]
    """File or directory of the log."""
    out: Path
    """Directory of the dataset that is made."""
    format: Format | None = None
    """Format of the log; default: told by what lies there. A pickle is read only when named."""
    task: str | None = None
    """Task whose agents the log of one agent is split into; default: the agents of the log."""
    time_limit: Annotated[int | None, tyro.conf.arg(metavar="STEPS")] = None
    """Steps after which episodes ran out of time, whatever the log says."""
    whole: Whole | None = None
    """Kind of actions that are whole numbers, stored as floats, where the log does not say it."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    return process.main(lambda: _import(parse(Import, argv, "moma data import")))


def _import(args: Import) -> None:
    from moma.log_tools.importing import convert, detect, open_log  # loads torch
    from moma.reports.importing import describe, progress
    from moma_core import tasks

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
        made = convert(
            log, args.out, task=split, time_limit=args.time_limit, whole=args.whole, tell=tell
        )
    sys.stdout.write(f"{kind} {args.path} is now the dataset {args.out}\n{describe(made)}")
