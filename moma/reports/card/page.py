"""What the data card says, section by section; `card.html.j2` says it."""

from __future__ import annotations

from collections.abc import Sequence
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
from moma.reports.templates import environment
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
    """Returns the page: `card.html.j2`, in which whatever comes from the log is escaped."""
    data = card.dataset
    return (
        environment("moma.reports.card")
        .get_template("card.html.j2")
        .render(
            title=f"{data.path.name}: data card",
            name=data.path.name,
            task=data.spec.name,
            path=data.path,
            tiles=_tiles(card),
            findings=[_finding(finding) for finding in card.findings],
            conventions=conventions(data.spec, card.looks),
            episodes=_episodes(card),
            agents=_agents(card),
            features=_features(card),
            coverage=_coverage(card),
            origin=list(data.origin.items()),
            quantiles=[f"{quantile:.0%}" for quantile in _QUANTILES],
            drawn=f"{len(card.summary.state):,}",
        )
    )


def _tiles(card: Card) -> dict[str, object]:
    data = card.dataset
    size = sum(path.stat().st_size for path in data.path.glob("*.npy"))
    return {
        "episodes": f"{data.episodes:,}",
        "transitions": f"{data.transitions:,}",
        "agents": len(data.spec.agents),
        "features of the state": data.spec.state_width,
        "mean return": f"{card.summary.returns.mean():.4g}",
        "on disk": f"{size / 1e6:,.1f} MB",
        "conventions": SAID[verdict(card.looks)],
    }


def _finding(finding: Finding) -> tuple[object, ...]:
    return (
        (finding.severity, finding.severity),
        f"{finding.count:,} {finding.unit}",
        finding.what,
        f"{finding.file} {', '.join(map(str, finding.rows))}" if finding.rows else "",
        finding.meaning,
    )


def _episodes(card: Card) -> dict[str, object]:
    summary, data = card.summary, card.dataset
    ended = len(data.terminals)
    return {
        "rows": [
            (name, *(f"{number:.5g}" for number in _numbers(np.asarray(values, np.float64))))
            for name, values in (("return", summary.returns), ("steps", summary.lengths))
        ],
        "ended": f"{ended:,}",
        "count": f"{data.episodes:,}",
        "truncated": f"{data.episodes - ended:,}",
        "limit": f"{data.spec.episode_limit:,}",
        "picture": pictures.episodes(summary),
    }


def _numbers(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> list[float]:
    quantiles = np.quantile(values, _QUANTILES).tolist()
    mean, std = float(values.mean()), float(values.std())
    return [mean, std, float(values.min()), *quantiles, float(values.max())]


def _agents(card: Card) -> dict[str, object]:
    spec = card.dataset.spec
    rows = [
        (
            name,
            len(index),
            listed([spec.state_names[i] for i in index]),
            len(low),
            "one-hot" if chooses else _bounds(low, high),
        )
        for name, index, low, high, chooses in zip(
            spec.agents,
            spec.observation_index,
            spec.action_low,
            spec.action_high,
            spec.discrete,
            strict=True,
        )
    ]
    kinds = ["choices"] * any(spec.discrete) + ["dimensions"] * (not all(spec.discrete))
    picture = pictures.marginals(card.summary, spec)
    return {"rows": rows, "acts_by": " or ".join(kinds), "picture": picture}


def _features(card: Card) -> dict[str, object]:
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
    return {"rows": rows, "picture": pictures.features(summary, spec.state_names)}


def _coverage(card: Card) -> dict[str, object]:
    found = card.coverage
    reachable = min(found.possible, card.dataset.transitions)
    rows = [
        ("SACo, values as they are", f"{found.exact:.4f}"),
        (f"SACo, {CELLS} cells per feature and action", f"{found.binned:.4f}"),
        ("cells of the joint action that occur", f"{found.visited:,}"),
        ("of those that could", f"{found.visited / reachable:.1%} of {reachable:,.0f}"),
    ]
    return {"rows": rows, "cells": CELLS}


def _bounds(low: Sequence[float], high: Sequence[float]) -> str:
    pairs = [f"[{a:g}, {b:g}]" for a, b in zip(low, high, strict=True)]
    return pairs[0] if len(set(pairs)) == 1 else listed(pairs)
