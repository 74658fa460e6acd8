"""The rows of the proving ground as a page: a table, the figures that count, and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from moma_core.storage import write_text

Row = dict[str, Any]
_TEAM = "team"
_PICTURE = "worlds.png"
_HEAD = (
    "| world | seed | log: mean | best tenth | optimum | clone | team | believed of it | "
    "judgement | recommended | its return | s |\n|" + "---|" * 12
)


def write(rows: Sequence[Row], directory: Path) -> None:
    """Writes `page.md` and its picture.

    Args:
        rows: of all runs, as `command.run` gives them.
        directory: where they go.
    """
    ordered = sorted(rows, key=lambda row: (row["world"], row["seed"]))
    _picture(ordered, directory / _PICTURE)
    text = "\n".join(
        [
            "# What `moma train --data LOG` makes of small worlds",
            "",
            "Made by `scripts/prove` from `rows.jsonl`. True returns are those of 100 episodes.",
            "",
            *(f"- {line}" for line in figures(ordered)),
            "",
            f"![returns by world]({_PICTURE})",
            "",
            _HEAD,
            *map(_line, ordered),
            "",
        ]
    )
    write_text(directory / "page.md", text)


def figures(rows: Sequence[Row]) -> list[str]:
    """Returns what the rows come to, a line each."""
    worlds = sorted({row["world"] for row in rows})
    unsupported = sorted({row["world"] for row in rows if not _supported(row)})
    bad = [
        f"{row['world']} seed {row['seed']}"
        for row in rows
        if _supported(row) and row["truth"][row["recommended"]] < row["log"]["return_mean"]
    ]
    conventional = sorted({row["world"] for row in rows if row["convention"]})
    reached = [
        world
        for world in conventional
        if np.mean([_share(row) for row in rows if row["world"] == world]) >= 0.95
    ]
    believed = [row for row in rows if _supported(row)]
    held = [row for row in believed if _holds(row)]
    over = [f"{row['world']} seed {row['seed']}" for row in believed if _over(row) > 0.2]
    return [
        f"{len(rows)} runs in {len(worlds)} worlds; not supported in "
        f"{len(rows) - len(believed)} runs ({', '.join(unsupported) or 'no world'})",
        "supported runs whose recommended policy earns less than the log's mean: "
        f"{', '.join(bad) or 'none'}",
        f"worlds whose log holds an optimal convention: {len(conventional)}; the recommended "
        f"policy reaches 0.95 of the optimum in {len(reached)} of them (means over seeds)",
        f"supported runs whose interval holds the truth: {len(held)} of {len(believed)}",
        "supported runs believed to be worth more than a fifth of (best tenth - mean) above the "
        f"truth: {', '.join(over) or 'none'}",
    ]


def _supported(row: Row) -> bool:
    return bool(row["judgement"] == "supported")


def _share(row: Row) -> float:
    """The recommended policy's return as a share of the optimum."""
    return float(row["truth"][row["recommended"]] / row["optimum"])


def _holds(row: Row) -> bool:
    low, high = row["policies"][_TEAM]["worth"]["return_ci95"]
    return bool(low <= row["truth"][_TEAM] <= high)


def _over(row: Row) -> float:
    """What is believed of the team above the truth, in spreads of the log's returns."""
    spread = row["log"]["best_tenth"] - row["log"]["return_mean"]
    return float((row["policies"][_TEAM]["worth"]["return_mean"] - row["truth"][_TEAM]) / spread)


def _line(row: Row) -> str:
    log, truth, worth = row["log"], row["truth"], row["policies"][_TEAM]["worth"]
    low, high = worth["return_ci95"]
    cells = (
        row["world"],
        row["seed"],
        f"{log['return_mean']:.2f}",
        f"{log['best_tenth']:.2f}",
        f"{row['optimum']:.2f}",
        f"{truth['bc']:.2f}",
        f"{truth[_TEAM]:.2f}",
        f"{worth['return_mean']:.2f} ({low:.2f} to {high:.2f})",
        row["judgement"],
        row["recommended"],
        f"{truth[row['recommended']]:.2f}",
        f"{row['seconds']:.0f}",
    )
    return f"| {' | '.join(map(str, cells))} |"


def _picture(rows: Sequence[Row], path: Path) -> None:
    """Draws every world on its own scale: 0 is the log's mean, 1 the optimum."""
    worlds = sorted({row["world"] for row in rows})
    figure = Figure(figsize=(9, 0.34 * len(worlds) + 1.2), dpi=120, constrained_layout=True)
    axes: Axes = figure.subplots()
    for place, world in enumerate(worlds):
        for row in (row for row in rows if row["world"] == world):
            _draw(axes, row, place + 0.18 * (row["seed"] % 3 - 1))
    axes.set_yticks(range(len(worlds)), worlds)
    axes.invert_yaxis()
    axes.set_xlim(-1.5, 1.6)
    axes.axvline(0, color="#8a98a5", linewidth=0.8)
    axes.axvline(1, color="#8a98a5", linewidth=0.8)
    axes.set_xlabel("return: 0 is the log's mean, 1 the optimum (beyond the edges: at the edge)")
    handles = {label: mark for mark, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    axes.legend(list(handles.values()), list(handles), loc="lower left", fontsize=8)
    figure.savefig(path)


def _draw(axes: Axes, row: Row, place: float) -> None:
    log, truth, worth = row["log"], row["truth"], row["policies"][_TEAM]["worth"]

    def scaled(value: float) -> float:
        share = (value - log["return_mean"]) / (row["optimum"] - log["return_mean"])
        return float(np.clip(share, -1.45, 1.55))

    low, high = (scaled(edge) for edge in worth["return_ci95"])
    color = "#2f6f9f" if _supported(row) else "#c0392b"
    axes.plot([low, high], [place, place], color=color, linewidth=3, alpha=0.35)
    label = "team, believed" if _supported(row) else "team, believed: not supported"
    axes.plot(scaled(worth["return_mean"]), place, "|", color=color, markersize=7, label=label)
    axes.plot(scaled(truth[_TEAM]), place, "o", color="black", markersize=3, label="team, true")
    axes.plot(scaled(truth["bc"]), place, "x", color="#d9822b", markersize=4, label="clone, true")
