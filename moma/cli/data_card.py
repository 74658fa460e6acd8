"""Describes a dataset on one page of HTML. `moma data card`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from moma_core.runtime import process
from moma_core.runtime.commandline import parse
from moma_core.storage import write_text


@dataclass(frozen=True, kw_only=True)
class DataCard:
    """Describes a dataset on one HTML page: tables, pictures, findings, conventions."""

    path: Annotated[Path, tyro.conf.Positional]
    """Dataset directory."""
    out: Path | None = None
    """File of the page; default: card.html in the dataset directory."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    return process.main(lambda: _card(parse(DataCard, argv, "moma data card")))


def _card(args: DataCard) -> int:
    from moma.log_tools.conventions import looks  # loads torch
    from moma.log_tools.coverage import coverage
    from moma.log_tools.findings import find
    from moma.log_tools.summary import summarise
    from moma_core.datasets import Dataset, DatasetError

    try:
        from moma.reports.card.page import Card, render  # matplotlib is an extra
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise ValueError('pictures need matplotlib: pip install "moma-ppo[data]"') from error
    dataset = Dataset.load(args.path, checked=False)
    findings = find(dataset)
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        raise DatasetError(
            f"{args.path} holds {len(errors)} errors, the first: {errors[0].what}; "
            f"see them all with: moma data check {args.path}"
        )
    process.compute_on(1)  # its matrices are small, threads would only wait for each other
    summary = summarise(dataset)
    card = Card(
        dataset=dataset,
        findings=findings,
        summary=summary,
        coverage=coverage(dataset, summary.extremes),
        looks=looks(dataset, summary.scale),
    )
    out = args.out or args.path / "card.html"
    write_text(out, render(card))
    sys.stdout.write(f"{out}\n")
    return 0
