"""Says everything that is wrong or odd in a dataset. `moma data check`."""

from __future__ import annotations

import json
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
class Check:
    """Says everything that is wrong or odd in a dataset; exit status 1 where it is not usable."""

    path: Annotated[Path, tyro.conf.Positional]
    """Dataset directory."""
    json: Path | None = None
    """File to write the findings to, too."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    return process.main(lambda: _check(parse(Check, argv, "moma data check")))


def _check(args: Check) -> int:
    from moma.log_tools.findings import find  # loads torch
    from moma.reports.findings import report, text
    from moma_core.datasets import Dataset

    dataset = Dataset.load(args.path, checked=False)
    findings = find(dataset)
    if args.json is not None:
        write_text(args.json, json.dumps(report(dataset, findings), indent=1))
    sys.stdout.write(text(dataset, findings))
    return int(any(finding.severity == "error" for finding in findings))
