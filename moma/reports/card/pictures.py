"""The data card's pictures, as PNG in base64; a log's names are drawn as they are, no formulas."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from moma.log_tools.summary import Summary
from moma_core.types import TaskSpec

BLUE, ORANGE, GREY = "#2f6f9f", "#d9822b", "#8a98a5"
_DPI = 160
BINS = 40
_FEATURES, _PANELS, _NAME = 60, 24, 24
_RC = {
    "text.parse_math": False,
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.titlesize": 9.5,
    "figure.constrained_layout.use": True,
}


def drawn(size: tuple[float, float], draw: Callable[[Figure], None]) -> str:
    """Returns what `draw` makes of an empty figure of that size in inches, in base64."""
    with mpl.rc_context(_RC), warnings.catch_warnings():  # type: ignore[arg-type]
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a name in a script we cannot draw
        figure, buffer = Figure(figsize=size, dpi=_DPI), io.BytesIO()
        draw(figure)
        figure.savefig(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode()


def episodes(summary: Summary) -> str:
    """Draws histograms of returns and lengths."""

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        _histogram(left, summary.returns, BINS)
        left.set(title="Return of an episode", ylabel="episodes")
        left.axvline(float(summary.returns.mean()), color=ORANGE, label="mean")
        left.legend(frameon=False)
        low, high = int(summary.lengths.min()), int(summary.lengths.max())
        width = -(-(high - low + 1) // BINS)
        _histogram(right, summary.lengths, [e - 0.5 for e in range(low, high + width + 1, width)])
        right.set(title="Steps in an episode", ylabel="episodes", xlim=(low - 5, high + 5))
        right.xaxis.get_major_locator().set_params(integer=True)

    return drawn((10, 2.7), draw)


def features(summary: Summary, names: Sequence[str]) -> str:
    """Draws quartiles, 5 to 95 % and extremes of every feature, in standard deviations."""
    shown = min(len(names), _FEATURES)
    scale = np.where(summary.scale > 0, summary.scale, 1)
    middle = summary.state.mean(axis=0, dtype=np.float64)

    def units(value: NDArray[np.floating]) -> NDArray[np.float64]:
        clipped: NDArray[np.float64] = np.clip((value - middle) / scale, -8, 8)
        return clipped[:shown]

    quantiles = np.quantile(summary.state, (0.05, 0.25, 0.5, 0.75, 0.95), axis=0)
    low, first, half, third, high = (units(quantile) for quantile in quantiles)

    def draw(figure: Figure) -> None:
        axes, y = figure.subplots(), np.arange(shown)
        ends = (units(summary.extremes.low), units(summary.extremes.high))
        axes.hlines(y, *ends, color=GREY, linewidth=1, label="smallest to largest")
        axes.hlines(y, low, high, color=BLUE, linewidth=3, alpha=0.5, label="5 to 95 %")
        axes.hlines(y, first, third, color=BLUE, linewidth=7, label="25 to 75 %")
        axes.plot(half, y, "|", color="white", markersize=8, markeredgewidth=2)
        axes.set(yticks=y, yticklabels=[short(name) for name in names[:shown]])
        axes.set(xlabel="standard deviations from the mean", ylim=(shown - 0.4, -0.6))
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))

    return drawn((10, 1.0 + 0.24 * shown), draw)


def marginals(summary: Summary, spec: TaskSpec) -> str:
    """Draws every agent's own actions, whatever the others do."""
    widths = [
        1 if chooses else len(low)
        for low, chooses in zip(spec.action_low, spec.discrete, strict=True)
    ]
    panels = [(a, d) for a, width in enumerate(widths) for d in range(width)][:_PANELS]
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        for axes, (agent, dim) in zip(grid, panels, strict=False):
            own, chooses = spec.action_low[agent], spec.discrete[agent]
            axes.set(title=short(spec.agents[agent]) + ("" if chooses else f", dim {dim}"))
            if chooses:
                share = summary.action[:, agent, : len(own)].mean(axis=0)
                axes.bar(np.arange(len(own)), share, color=BLUE)
                axes.set(xlabel="choice", ylabel="share of rows", xticks=np.arange(len(own)))
            else:
                bounds = (own[dim], spec.action_high[agent][dim])
                _histogram(axes, summary.action[:, agent, dim], BINS, bounds)
                axes.set(xlabel="action", ylabel="rows")

    return drawn((10, 2.2 * rows), draw)


def _histogram(
    axes: Axes,
    value: NDArray[np.generic],
    bins: int | Sequence[float],
    bounds: tuple[float, float] | None = None,
) -> None:
    axes.hist(value, bins=bins, range=bounds, color=BLUE)


def short(name: str) -> str:
    """Returns a name that fits an axis."""
    return name if len(name) <= _NAME else name[: _NAME - 1] + "…"
