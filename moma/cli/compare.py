"""What several runs come to, side by side. `moma compare ROWS|RUN...`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from moma_core.runtime import process
from moma_core.runtime.commandline import parse
from moma_core.runtime.run import RunDirectory


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Compares algorithms by the rows of studies, or by runs that have ended."""

    rows: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Files of rows, as `moma study` writes them, and directories of runs."""
    first: str = ""
    """Algorithm that the others are held against; default: moma_ppo, or the first row's."""
    out: Path | None = None
    """Directory of the tables, pictures and page; default: none is written."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    return process.main(lambda: _compare(parse(Compare, argv, "moma compare")))


def _compare(args: Compare) -> None:
    """Prints the tables, and writes them with pictures where that is asked for."""
    from moma.studies import comparison, rows, runs, tables  # they load numpy

    if not args.rows:
        raise ValueError("which rows? moma compare ROWS.jsonl, or the directories of runs")
    found = []
    for path in args.rows:
        if path.is_dir():
            found.append(runs.row(RunDirectory.open(path)))
        elif path.is_file():
            found += rows.read(path)
        else:
            raise ValueError(f"{path} is neither a file of rows nor a run's directory")
    every = rows.ordered(found)
    made = comparison.compare(every, args.first)
    sys.stdout.write(tables.markdown(every, made))
    if args.out is not None:
        try:
            from moma.studies import page
        except ModuleNotFoundError as error:
            if error.name != "matplotlib":
                raise
            raise ValueError('pictures need matplotlib: pip install "moma-ppo[data]"') from error
        page.write(every, made, args.out)
        sys.stdout.write(f"\npage: {args.out / 'page.html'}\n")
