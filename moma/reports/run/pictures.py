"""A report's pictures: learning curves, estimates against what was measured, agents, the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from moma.reports.card.pictures import BLUE, GREY, ORANGE, drawn, short
from moma.reports.run.facts import Interval, RunFacts

_COLOURS = (BLUE, ORANGE, "#4f9d69", "#b0413e", "#7a5195", "#6c757d")
_CURVES = (
    ("eval/return", "Return in the environment"),
    ("charts/imagined_return", "Return imagined from episodes' starts"),
    ("rollout/disagreement_mean", "Uncertainty: members' disagreement"),
    ("rollout/outside_fraction", "Share of rollouts that left the log's range"),
    ("rollout/cut_fraction", "Share of rollouts that were cut as unsure"),
    ("losses/explained_variance", "Variance of returns that the critic explains"),
    ("losses/holdout_nll", "Held-out negative log-likelihood of the log's actions"),
)
_FEATURES = 60
"""Features of a picture, at most."""
_AGENTS = (
    ("losses/entropy/", "Entropy of the policy, nats"),
    ("losses/clone_kl/", "KL from the clone of the log, nats"),
    ("losses/approx_kl/", "KL of a round's update, nats"),
    ("losses/clip_fraction/", "Share of ratios that were clipped"),
    ("losses/holdout_nll/", "Held-out negative log-likelihood, nats"),
)


def curves(runs: Sequence[RunFacts]) -> str:
    """Draws the learning curves of all runs over each other; empty where there are none."""
    shown = [(tag, title) for tag, title in _CURVES if any(len(r.curve(tag)[0]) for r in runs)]

    def draw(axes: Axes, tag: str) -> None:
        for run, colour in zip(runs, _cycle(len(runs)), strict=True):
            axes.plot(*run.curve(tag), color=colour, label=short(run.run.name), marker=".")
        log = runs[0].belief.get("log")
        if log and tag in ("eval/return", "charts/imagined_return"):
            axes.axhline(log["return_mean"], color=GREY, linestyle=":", label="log's mean")
            axes.axhline(log["best_tenth"], color=GREY, linestyle="--", label="log's best tenth")

    return _panels(shown, draw)


def agents(run: RunFacts) -> str:
    """Draws what each agent's policy did while it learned; empty where nothing is known."""
    shown = [(prefix, title) for prefix, title in _AGENTS if run.tags(prefix)]

    def draw(axes: Axes, prefix: str) -> None:
        tags = run.tags(prefix)
        for tag, colour in zip(tags, _cycle(len(tags)), strict=True):
            axes.plot(*run.curve(tag), color=colour, label=short(tag.removeprefix(prefix)))

    return _panels(shown, draw)


def worth(runs: Sequence[RunFacts]) -> str:
    """Draws estimates and measured returns of every policy; empty where there are neither."""
    rows = [(run, name) for run in runs for name in run.policies()]
    if not rows:
        return ""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for y, (run, name) in enumerate(rows):
            _bar(axes, y - 0.12, run.estimated(name), ORANGE, "estimated" if y == 0 else "")
            _bar(axes, y + 0.12, run.measured(name), BLUE, "measured" if y == 0 else "")
        if log := runs[0].belief.get("log"):
            axes.axvline(log["return_mean"], color=GREY, linestyle=":", label="log's mean")
            axes.axvline(log["best_tenth"], color=GREY, linestyle="--", label="log's best tenth")
        names = [name if len(runs) == 1 else f"{short(r.run.name)}: {name}" for r, name in rows]
        axes.set(yticks=range(len(rows)), yticklabels=names, ylim=(len(rows) - 0.4, -0.6))
        axes.set(xlabel="return of an episode, with its 95 % interval")
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))

    return drawn((10, 1.2 + 0.42 * len(rows)), draw)


def error_along_episodes(run: RunFacts) -> str:
    """Draws the model's error along held-out episodes; empty without a model."""
    along = run.model.get("along_episodes", {})
    if not along.get("steps"):
        return ""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for key, colour, label in (
            ("rmse", BLUE, "model"),
            ("persistence_rmse", GREY, "standing still"),
        ):
            values = np.array(along[key])
            axes.plot(along["steps"], np.median(values, axis=1), color=colour, label=label)
            axes.fill_between(
                along["steps"], values.min(1), values.max(1), color=colour, alpha=0.15, linewidth=0
            )
        axes.set(title="Error along held-out episodes: median feature, and all", yscale="log")
        axes.yaxis.set_major_formatter("{x:g}")  # the usual one draws formulas
        axes.set(xlabel="steps imagined, with the log's actions", ylabel="error, deviations")
        axes.legend(frameon=False)

    return drawn((10, 3.0), draw)


def calibration(run: RunFacts) -> str:
    """Draws how often intervals held what came, by feature and level; empty without a model."""
    levels = run.model.get("held_out", {}).get("coverage", {})
    if not levels:
        return ""
    names = list(next(iter(levels.values())))[:_FEATURES]

    def draw(figure: Figure) -> None:
        axes, y = figure.subplots(), np.arange(len(names))
        for level, colour in zip(levels, _cycle(len(levels)), strict=True):
            shares = [levels[level][name] for name in names]
            axes.plot(shares, y, "o", color=colour, label=f"{float(level):.0%} intervals")
            axes.axvline(float(level), color=colour, linestyle=":")
        axes.set(yticks=y, yticklabels=[short(name) for name in names], xlim=(0, 1))
        axes.set(title="Share of held-out outcomes inside of an interval; dotted: as it should be")
        axes.set(xlabel="share", ylim=(len(names) - 0.4, -0.6))
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))

    return drawn((10, 1.0 + 0.24 * len(names)), draw)


def _bar(axes: Axes, y: float, figure: Interval | None, colour: str, label: str) -> None:
    if figure is not None:
        axes.plot([figure.low, figure.high], [y, y], color=colour, linewidth=3, alpha=0.5)
        axes.plot(figure.mean, y, "o", color=colour, label=label or None)


def _panels(shown: Sequence[tuple[str, str]], draw_one: Callable[[Axes, str], None]) -> str:
    """Draws a panel for each, three in a row."""
    if not shown:
        return ""
    rows = -(-len(shown) // 3)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(rows, 3, squeeze=False).ravel()
        for axes in grid[len(shown) :]:
            axes.set_axis_off()
        for axes, (tag, title) in zip(grid, shown, strict=False):
            draw_one(axes, tag)
            axes.set(title=title, xlabel="steps learned from")
            axes.title.set_fontsize(8)
            axes.xaxis.set_major_locator(MaxNLocator(4))
        grid[0].legend(frameon=False, fontsize=7)

    return drawn((12, 2.6 * rows), draw)


def _cycle(count: int) -> list[str]:
    return [_COLOURS[index % len(_COLOURS)] for index in range(count)]
