"""What was found in a log, as a table and as plain values."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict

from moma.log_tools.findings import Finding
from moma_core.datasets import Dataset

_WIDTH = 96


def report(dataset: Dataset, findings: Sequence[Finding]) -> dict[str, object]:
    """Returns the findings as plain values."""
    return {
        "path": str(dataset.path),
        "task": dataset.spec.name,
        "episodes": dataset.episodes,
        "transitions": dataset.transitions,
        "usable": not any(finding.severity == "error" for finding in findings),
        "findings": [asdict(finding) for finding in findings],
    }


def text(dataset: Dataset, findings: Sequence[Finding]) -> str:
    """Returns the findings as a table: severity, count, what and where; what to do below it."""
    lines = [
        f"{dataset.path}: task {dataset.spec.name}, {dataset.episodes:,} episodes, "
        f"{dataset.transitions:,} transitions",
        "",
    ]
    for finding in findings:
        count = f"{finding.count:,} {finding.unit}"
        lines.append(f"{finding.severity:<8} {count:>16}  {finding.what}")
        if finding.rows:
            rows = ", ".join(map(str, finding.rows))
            lines.append(f"{'':<27}first rows of {finding.file}: {rows}")
        lines += textwrap.wrap(
            finding.meaning, _WIDTH, initial_indent=" " * 27, subsequent_indent=" " * 27
        )
    counts = {
        name: sum(f.severity == name for f in findings) for name in ("error", "warning", "note")
    }
    verdict = "not usable before the errors are mended" if counts["error"] else "usable"
    said = ", ".join(f"{count} {name}{'s' * (count != 1)}" for name, count in counts.items())
    return "\n".join([*lines, *([""] if findings else []), f"{said}: {verdict}"]) + "\n"
