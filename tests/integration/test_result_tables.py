"""The tables in docs/results are what `moma compare` makes of the rows beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from moma.studies import comparison, page, rows, tables

RESULTS = Path(__file__).parents[2] / "docs" / "results"
STUDIES = sorted(path.parent for path in RESULTS.glob("*/tables.md"))


def remade(directory):
    found = [row for file in sorted(directory.glob("*.jsonl")) for row in rows.read(file)]
    every = rows.ordered(found)
    return tables.markdown(every, comparison.compare(every))


def test_there_are_some():
    assert STUDIES


@pytest.mark.parametrize("directory", STUDIES, ids=lambda path: path.name)
def test_the_tables_are_made_of_the_rows(directory, tmp_path):
    written = (directory / page.TABLES).read_text(encoding="utf-8")
    assert remade(directory) == written
    assert {"scores.png", "profiles.png", "curves.png"} <= {p.name for p in directory.iterdir()}
    # Negative control: another score in one row is another table.
    for file in directory.glob("*.jsonl"):
        lines = file.read_text(encoding="utf-8").splitlines()
        first = json.loads(lines[0])
        first["score"] += 0.5
        changed = "\n".join([json.dumps(first), *lines[1:], ""])
        (tmp_path / file.name).write_text(changed, encoding="utf-8")
    assert remade(tmp_path) != written
