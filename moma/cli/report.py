"""A run on one page, or several beside each other: `moma report RUN...`."""

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
from moma_core.storage import write_text


@dataclass(frozen=True, kw_only=True)
class Report:
    """Writes one HTML page of a run, or of several with their differences first."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Directories of the runs."""
    out: Path | None = None
    """File of the page; default: report.html in the run's directory, or here for several."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    args = parse(Report, argv, "moma report")
    return process.main(lambda: _report(args))


def _report(args: Report) -> None:
    runs = [RunDirectory.open(path.resolve()) for path in args.runs]
    if not runs:
        raise ValueError("which run? moma report RUN..., directories of runs")
    try:
        from moma.reports.run.page import render  # matplotlib is an extra
    except ModuleNotFoundError as error:
        if error.name not in ("matplotlib", "jinja2"):
            raise
        raise ValueError(f'a report needs {error.name}: pip install "moma-ppo[data]"') from error
    out = args.out or (runs[0].path if len(runs) == 1 else Path()) / "report.html"
    write_text(out, render(runs))
    sys.stdout.write(f"{out}\n")
