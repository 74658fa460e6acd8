"""The data card's sections, from top to bottom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from moma.log_tools.conventions import Look
from moma.log_tools.coverage import CELLS, Coverage
from moma.log_tools.findings import Finding
from moma.log_tools.findings.finding import listed
from moma.log_tools.summary import Summary
from moma.reports.card import pictures
from moma.reports.card.conventions import SAID, verdict
from moma.reports.card.conventions import section as conventions
from moma.reports.card.html import Markup, join, page, picture, table, tag
from moma_core.datasets import Dataset

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, kw_only=True)
class Card:
    """All that a card says."""

    dataset: Dataset
    findings: Sequence[Finding]
    summary: Summary
    coverage: Coverage
    looks: Sequence[Look]


def render(card: Card) -> str:
    """Returns the page."""
    data = card.dataset
    return page(
        f"{data.path.name}: data card",
        tag("h1", data.path.name),
        tag("div", f"task {data.spec.name} · {data.path}", class_="path"),
        _tiles(card),
        _section("Findings", _findings(card.findings)),
        _section("Conventions", conventions(data.spec, card.looks)),
        _section("Episodes", _episodes(card)),
        _section("Agents and actions", _agents(card)),
        _section("State", _features(card)),
        _section("Coverage", _coverage(card)),
        _section("Origin", _origin(data.origin)),
    )


def _section(title: str, *content: Markup) -> Markup:
    return tag("section", tag("h2", title), *content)


def _tiles(card: Card) -> Markup:
    data = card.dataset
    size = sum(path.stat().st_size for path in data.path.glob("*.npy"))
    shown = {
        "episodes": f"{data.episodes:,}",
        "transitions": f"{data.transitions:,}",
        "agents": len(data.spec.agents),
        "features of the state": data.spec.state_width,
        "mean return": f"{card.summary.returns.mean():.4g}",
        "on disk": f"{size / 1e6:,.1f} MB",
        "conventions": SAID[verdict(card.looks)],
    }
    tiles = [tag("div", tag("b", v), tag("span", k), class_="tile") for k, v in shown.items()]
    return tag("div", *tiles, class_="tiles")


def _findings(findings: Sequence[Finding]) -> Markup:
    if not findings:
        return tag("p", "moma data check has nothing to say: no errors, warnings or notes.")
    rows = [
        (
            tag("span", finding.severity, class_=f"mark {finding.severity}"),
            f"{finding.count:,} {finding.unit}",
            finding.what,
            f"{finding.file} {', '.join(map(str, finding.rows))}" if finding.rows else "",
            finding.meaning,
        )
        for finding in findings
    ]
    return table(("", "count", "what", "first rows", "what it means"), rows, "tnttt")


def _episodes(card: Card) -> Markup:
    summary, data = card.summary, card.dataset
    rows = [
        (name, *(f"{number:.5g}" for number in _numbers(np.asarray(values, np.float64))))
        for name, values in (("return", summary.returns), ("steps", summary.lengths))
    ]
    heads = ("", "mean", "std", "smallest", *(f"{q:.0%}" for q in _QUANTILES), "largest")
    ended = len(data.terminals)
    return join(
        table(heads, rows, "t" + "n" * 9),
        tag(
            "p",
            f"{ended:,} of {data.episodes:,} episodes were terminated by the task, "
            f"{data.episodes - ended:,} truncated; the task's own limit is "
            f"{data.spec.episode_limit:,} steps. Returns are undiscounted sums.",
        ),
        picture(pictures.episodes(summary), "Histograms of returns and lengths", 1000),
    )


def _numbers(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> list[float]:
    quantiles = np.quantile(values, _QUANTILES).tolist()
    mean, std = float(values.mean()), float(values.std())
    return [mean, std, float(values.min()), *quantiles, float(values.max())]


def _agents(card: Card) -> Markup:
    spec = card.dataset.spec
    kind = "choices" if spec.discrete else "dimensions"
    rows = [
        (
            name,
            len(index),
            listed([spec.state_names[i] for i in index]),
            len(low),
            "one-hot" if spec.discrete else _bounds(low, high),
        )
        for name, index, low, high in zip(
            spec.agents, spec.observation_index, spec.action_low, spec.action_high, strict=True
        )
    ]
    heads = ("agent", "observes", "features", kind, "bounds")
    return join(
        table(heads, rows, "tntnt"),
        tag("p", f"Each agent's own actions, from {_drawn(card)}.", class_="fine"),
        picture(pictures.marginals(card.summary, spec), "Histograms of actions", 1000),
    )


def _features(card: Card) -> Markup:
    spec, summary = card.dataset.spec, card.summary
    rows = [
        (name, *(f"{number:.4g}" for number in (low, *_numbers(values)[:2], *middle, high)))
        for name, low, high, values, middle in zip(
            spec.state_names,
            summary.extremes.low,
            summary.extremes.high,
            summary.state.T.astype(np.float64),
            np.quantile(summary.state, _QUANTILES, axis=0).T,
            strict=True,
        )
    ]
    heads = ("feature", "smallest", "mean", "std", *(f"{q:.0%}" for q in _QUANTILES), "largest")
    whole = table(heads, rows, "t" + "n" * 9)
    text = f"Extremes are of all rows, the rest of {_drawn(card)}."
    return join(
        tag("p", text, class_="fine"),
        picture(pictures.features(summary, spec.state_names), "Ranges of features", 1000),
        tag("details", tag("summary", f"all {len(rows)} features as a table"), whole),
    )


def _coverage(card: Card) -> Markup:
    found = card.coverage
    reachable = min(found.possible, card.dataset.transitions)
    rows = [
        ("SACo, values as they are", f"{found.exact:.4f}"),
        (f"SACo, {CELLS} cells per feature and action", f"{found.binned:.4f}"),
        ("cells of the joint action that occur", f"{found.visited:,}"),
        ("of those that could", f"{found.visited / reachable:.1%} of {reachable:,.0f}"),
    ]
    return join(
        table(("", ""), rows, "tn"),
        tag(
            "p",
            "SACo: distinct pairs of joint state and joint action, divided by transitions. 1: each "
            "pair is there once; near 0: the same few again and again. Values that are continuous "
            f"are nearly always distinct, so it is counted a second time in cells: {CELLS} equal "
            "intervals between a feature's extremes and between an action's bounds (a discrete "
            "choice is a cell of its own). As many cells of the joint action could occur as there "
            "are, or as there are transitions, if that is less.",
            class_="fine",
        ),
    )


def _origin(origin: Mapping[str, object]) -> Markup:
    rows = [(str(key), str(value)) for key, value in origin.items()]
    return table(("", ""), rows) if rows else tag("p", "The log does not say where it comes from.")


def _drawn(card: Card) -> str:
    return f"{len(card.summary.state):,} uniformly drawn rows"


def _bounds(low: Sequence[float], high: Sequence[float]) -> str:
    pairs = [f"[{a:g}, {b:g}]" for a, b in zip(low, high, strict=True)]
    return pairs[0] if len(set(pairs)) == 1 else listed(pairs)
