"""A comparison as files: tables, pictures, and a page that holds both."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from moma.reports.templates import environment
from moma.studies import pictures, tables
from moma.studies.comparison import Comparison
from moma.studies.rows import Row, named
from moma_core.storage import write_text

TABLES = "tables.md"


def write(rows: Sequence[Row], found: Comparison, out: Path) -> None:
    """Writes `tables.md`, three pictures and `page.html`.

    Args:
        rows: what was compared.
        found: what they come to.
        out: directory of the files.
    """
    out.mkdir(parents=True, exist_ok=True)
    drawn = {
        "scores": pictures.png(pictures.scores(found)),
        "profiles": pictures.png(pictures.profiles(found)),
        "curves": pictures.png(pictures.curves(rows, found)),
    }
    for name, picture in drawn.items():
        (out / f"{name}.png").write_bytes(picture)
    write_text(out / TABLES, tables.markdown(rows, found))
    write_text(out / "page.html", _render(rows, found, drawn))


def _render(rows: Sequence[Row], found: Comparison, drawn: dict[str, bytes]) -> str:
    return (
        environment("moma.studies")
        .get_template("study.html.j2")
        .render(
            title="Comparison",
            rows=len(rows),
            commits=", ".join(named([row.commit for row in rows])),
            by_task=tables.by_task(found),
            over_all=tables.over_all(found),
            to_score=tables.to_score(rows, found),
            seconds=tables.seconds(rows, found),
            missing=found.missing,
            seeds=found.seeds,
            pictures={
                name: f"data:image/png;base64,{base64.b64encode(picture).decode('ascii')}"
                for name, picture in drawn.items()
            },
        )
    )
