"""A comparison as pictures: scores by task, learning curves, performance profiles."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from moma.studies import statistics
from moma.studies.comparison import THRESHOLDS, Comparison
from moma.studies.rows import Row

_COLUMNS = 3
_SHARES = np.linspace(0.0, 1.0, 21)
"""Shares of the rounds at which learning curves are compared."""


def scores(found: Comparison) -> Figure:
    """Draws every run, and each algorithm's mean with its interval, task by task."""
    figure, panels = _panels(len(found.tasks), 2.4)
    for axes, task in zip(panels, found.tasks, strict=False):
        for place, name in enumerate(found.algorithms):
            cell = found.cells.get((task, name))
            if cell is None:
                continue
            beside = place + np.linspace(-0.18, 0.18, len(cell.scores))
            axes.plot(beside, cell.scores, ".", color=_color(place), alpha=0.45, markersize=5)
            axes.plot(place, cell.mean, "_", color=_color(place), markersize=14)
            if cell.interval is not None:
                axes.plot([place, place], cell.interval, color=_color(place), linewidth=2)
        axes.set_title(task, fontsize=9)
        axes.set_xticks(range(len(found.algorithms)), found.algorithms, rotation=45, fontsize=7)
        axes.axhline(1.0, color="#b8c2cc", linewidth=0.8, zorder=0)
    figure.supylabel("score", fontsize=9)
    return figure


def curves(rows: Sequence[Row], found: Comparison) -> Figure:
    """Draws scores on the way with intervals over seeds, against the share of the rounds."""
    figure, panels = _panels(len(found.tasks), 2.2)
    for axes, task in zip(panels, found.tasks, strict=False):
        for place, name in enumerate(found.algorithms):
            own = [r for r in rows if (r.name, r.algorithm) == (task, name)]
            drawn = np.array([_curve(row) for row in own if row.curve])
            if not len(drawn):
                continue
            axes.plot(_SHARES, drawn.mean(0), color=_color(place), linewidth=1.3, label=name)
            edges = statistics.band(drawn)
            if edges is not None:
                axes.fill_between(_SHARES, edges[0], edges[1], color=_color(place), alpha=0.15)
        axes.set_title(task, fontsize=9)
    figure.supxlabel("share of the rounds", fontsize=9)
    figure.supylabel("score", fontsize=9)
    _legend(figure, found)
    return figure


def profiles(found: Comparison) -> Figure:
    """Draws the share of runs above each score."""
    figure = Figure(figsize=(6, 3.4), dpi=110, constrained_layout=True)
    axes: Axes = figure.subplots()
    for place, name in enumerate(found.algorithms):
        axes.plot(THRESHOLDS, found.overall[name].profile, color=_color(place), label=name)
    axes.set_xlabel("score")
    axes.set_ylabel("share of runs above it")
    axes.legend(fontsize=7)
    return figure


def png(figure: Figure) -> bytes:
    """Returns a picture's file, the same for the same picture."""
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _curve(row: Row) -> NDArray[np.float64]:
    """Returns a run's scores at `_SHARES` of its rounds, between evaluations by straight lines."""
    at = [point.round / row.rounds for point in row.curve]
    found = [point.score for point in row.curve]
    return np.asarray(np.interp(_SHARES, [*at, 1.0], [*found, row.score]))


def _panels(count: int, height: float) -> tuple[Figure, list[Axes]]:
    """Makes a panel for every task."""
    rows = -(-count // _COLUMNS)
    figure = Figure(figsize=(10, height * rows + 0.4), dpi=110, constrained_layout=True)
    panels = list(np.ravel(figure.subplots(rows, min(count, _COLUMNS), squeeze=False)))
    for axes in panels[count:]:
        axes.set_axis_off()
    return figure, panels


def _legend(figure: Figure, found: Comparison) -> None:
    """Names the algorithms below all panels."""
    axes = figure.axes[0]
    handles = [axes.plot([], [], color=_color(place))[0] for place in range(len(found.algorithms))]
    figure.legend(handles, found.algorithms, loc="outside lower center", ncols=5, fontsize=7)


def _color(place: int) -> tuple[float, float, float, float]:
    return colormaps["tab10"](place % 10)
