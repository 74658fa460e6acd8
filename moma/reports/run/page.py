"""What a report says, section by section; `report.html.j2` says it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from moma.reports.run import pictures
from moma.reports.run.facts import Interval, RunFacts
from moma.reports.run.gallery import gallery
from moma.reports.templates import environment
from moma_core.runtime.run import RunDirectory

_NONE = "-"
_ELSEWHERE = "other log, task or environment"
"""What is said where returns of two runs are not of the same kind."""


def render(directories: Sequence[RunDirectory]) -> str:
    """Returns the page of one run, or of several with their differences first."""
    runs = [RunFacts(run) for run in directories]
    names = [run.run.name for run in runs]
    return (
        environment("moma.reports.run")
        .get_template("report.html.j2")
        .render(
            title=names[0] if len(runs) == 1 else f"{len(runs)} runs beside each other",
            asked=" · ".join(_asked(run) for run in runs),
            tiles=_tiles(runs[0]) if len(runs) == 1 else {},
            names=names,
            differences=_differences(runs) if len(runs) > 1 else [],
            settings_differ=_settings_differ(runs),
            worth=_worth(runs),
            curves=pictures.curves(runs),
            runs=[_one(run) for run in runs],
        )
    )


def _asked(run: RunFacts) -> str:
    """Returns what was asked for, in words."""
    config = run.config
    log = config["data.path"] or f"data of task {config['task']}"
    return f"{run.run.name}: {config['algorithm']} on {log}, seed {config['seed']}"


def _tiles(run: RunFacts) -> dict[str, object]:
    result = run.result
    score = result.get("score")
    tiles = {
        "score": None if score is None else f"{score:.3f}",
        "measured return": _mean(run.measured()),
        "estimated return": _mean(run.estimated()),
        "judgement on the estimate": run.judged()["word"] if run.belief else None,
        "rounds": result.get("updates"),
        "steps learned from": f"{result['transitions']:,}" if result else None,
        "seconds of training": result.get("seconds", {}).get("training_rounds"),
        "faults": len(result["faults"]) if result else None,
    }
    return {name: value for name, value in tiles.items() if value is not None}


def _differences(runs: Sequence[RunFacts]) -> list[tuple[str, ...]]:
    """Returns a row for each run: figures, and how far they are from the first one's."""
    first = runs[0]
    return [
        (
            run.run.name,
            _said(run.measured()),
            _less(run, first, run.measured(), first.measured()),
            _said(run.estimated()),
            _less(run, first, run.estimated(), first.estimated()),
            str(run.judged()["word"]),
        )
        for run in runs
    ]


def _settings_differ(runs: Sequence[RunFacts]) -> list[list[str]]:
    names = dict.fromkeys(name for run in runs for name in run.config)
    rows = [[name, *(str(run.config.get(name, _NONE)) for run in runs)] for name in names]
    return [row for row in rows if len(set(row[1:])) > 1]


def _worth(runs: Sequence[RunFacts]) -> dict[str, Any]:
    rows = [
        (
            run.run.name,
            name,
            _said(run.estimated(name)),
            _said(run.measured(name)),
            run.judged(name)["word"],
            "; ".join(run.judged(name)["reasons"]),
        )
        for run in runs
        for name in run.policies()
    ]
    taken = [f"{r.run.name}: {r.belief['recommended']}" for r in runs if r.belief]
    return {
        "rows": rows,
        "picture": pictures.worth(runs),
        "recommended": ", ".join(taken) or "nothing, for want of estimates",
    }


def _one(run: RunFacts) -> dict[str, Any]:
    """Returns the sections of one run."""
    held = run.model.get("held_out", {})
    errors = zip(run.features, held.get("rmse", ()), held.get("persistence_rmse", ()), strict=False)
    return {
        "name": run.run.name,
        "log": [(name.replace("_", " "), _value(value)) for name, value in _log(run).items()],
        "model": [(name, f"{mine:.3g}", f"{still:.3g}") for name, mine, still in errors],
        "gallery": gallery(run),
        "agents": _agents(run),
        "agents_picture": pictures.agents(run),
        "provenance": _provenance(run),
        "settings": [(name, _value(value)) for name, value in run.config.items()],
    }


def _log(run: RunFacts) -> dict[str, Any]:
    return run.log or run.belief.get("log", {})


def _agents(run: RunFacts) -> list[tuple[str, ...]]:
    team = run.subject.get("team")
    if not team:
        return []
    return [
        (name, f"{len(seen)} features", f"one of {len(low)}" if chooses else f"{len(low)} numbers")
        for name, seen, low, chooses in zip(
            team["agents"], team["observation_index"], team["action_low"], team["discrete"],
            strict=True,
        )
    ]  # fmt: skip


def _provenance(run: RunFacts) -> list[tuple[str, str]]:
    result = run.result
    rows: dict[str, Any] = {
        "directory": run.run.path,
        "log, SHA-256": run.subject.get("data_sha256"),
        "model, SHA-256": result.get("model_sha256"),
        "environment": result.get("env"),
        "checkpoint": result.get("checkpoint"),
        "seconds": result.get("seconds"),
        "made with": result.get("versions"),
        "faults": "; ".join(result.get("faults", [])),
        "note": result.get("note"),
    }
    return [(name, _value(value)) for name, value in rows.items() if value]


def _less(run: RunFacts, first: RunFacts, one: Interval | None, other: Interval | None) -> str:
    """Returns by how much a run's figure is above the first one's, where they can be compared."""
    if run is first or one is None or other is None:
        return _NONE
    return str(one - other) if run.measures == first.measures else _ELSEWHERE


def _said(figure: Interval | None) -> str:
    return _NONE if figure is None else str(figure)


def _mean(figure: Interval | None) -> str | None:
    return None if figure is None else f"{figure.mean:.4g}"


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
