"""The picture of two agents' choices: joint, apart, and what the state does not say of them."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from moma.log_tools.conventions import Look
from moma.log_tools.conventions.dependence import aligned
from moma.reports.card.pictures import BINS, GREY, ORANGE, drawn, short
from moma_core.types import TaskSpec

_CELLS = 10
_JITTER = 0.02
"""Shift of dots that would lie on each other, in widths of the bounds."""


def conventions(look: Look, spec: TaskSpec) -> str:
    """Draws two agents' joint actions, the product of their own, and the test."""
    names = [short(spec.agents[agent]) for agent in look.pair]
    chooses = [spec.discrete[agent] for agent in look.pair]
    dims = [
        f"{name}, {'choice' if choice else 'dim'} {dim}"
        for name, dim, choice in zip(names, look.dims, chooses, strict=True)
    ]
    whole = [
        f"{name}, choice" if choice else dim
        for name, dim, choice in zip(names, dims, chooses, strict=True)
    ]

    def draw(figure: Figure) -> None:
        (joint, product), (left, null) = figure.subplots(2, 2)
        _joint(figure, (joint, product), look, spec)
        for axes in (joint, product):
            axes.set(xlabel=whole[0], ylabel=whole[1])
            for side, choice in zip(("x", "y"), chooses, strict=True):
                axes.locator_params(side, nbins=10, integer=choice)
        _left(left, look)
        left.set(xlabel=f"{dims[0]}: off", ylabel=f"{dims[1]}: off")
        null.hist(look.dependence.null, bins=BINS, color=GREY, label="with random signs")
        strength = float(look.dependence.strength[look.pair])
        null.axvline(strength, color=ORANGE, linewidth=2, label="in the log")
        null.set(title="Strength of dependence", xlabel="strength", ylabel="draws")
        null.legend(frameon=False)

    return drawn((10, 7.4), draw)


def _joint(figure: Figure, both: tuple[Axes, Axes], look: Look, spec: TaskSpec) -> None:
    x, y = (_cells(look, spec, which) for which in (0, 1))
    share = np.einsum("nx,ny->xy", x[1], y[1]) / len(look.rows.action)
    product = np.outer(share.sum(axis=1), share.sum(axis=0))
    top = max(share.max(), product.max())
    titles = ("Joint actions in the log", "Product of their marginals")
    for axes, value, title in zip(both, (share, product), titles, strict=True):
        mesh = axes.pcolormesh(x[0], y[0], value.T, cmap="Blues", vmin=0, vmax=top)
        axes.set(title=title)
    figure.colorbar(mesh, ax=both[1], label="share of rows")


def _cells(
    look: Look, spec: TaskSpec, which: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns one agent's cells: their edges, `[c + 1]`, and 1 where a row is in one, `[n c]`."""
    agent, dim = look.pair[which], look.dims[which]
    if spec.discrete[agent]:
        width = len(spec.action_low[agent])
        chosen = look.rows.action[:, agent, :width].astype(np.float64)
        return np.linspace(-0.5, width - 0.5, width + 1), chosen
    value = look.rows.action[:, agent, dim].astype(np.float64)
    edges = np.linspace(spec.action_low[agent][dim], spec.action_high[agent][dim], _CELLS + 1)
    cell = np.clip(np.searchsorted(edges, value, side="right") - 1, 0, _CELLS - 1)
    return edges, np.eye(_CELLS)[cell]


def _left(axes: Axes, look: Look) -> None:
    random = np.random.default_rng(0)
    signs = random.choice((-1.0, 1.0), look.left.shape[1])
    untied = look.left * np.stack([signs, np.ones_like(signs)])
    for left, mark, colour, label in (
        (look.left, "o", ORANGE, "in the log"),
        (untied, "x", GREY, "with random signs"),
    ):
        x, y = aligned(left, look.near) + random.normal(0, _JITTER, left.shape)
        axes.plot(x, y, mark, color=colour, markersize=4, alpha=0.7, label=label)
    axes.set(title="What the state does not say")
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
