"""A comparison as tables, a list of cells a line, and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from moma.studies.comparison import Comparison, Interval
from moma.studies.rows import Row, seconds_to

_REACHED = (0.95, 1.0)
Table = list[list[str]]
"""Lines of cells, the head first."""


def markdown(rows: Sequence[Row], found: Comparison) -> str:
    """Returns all tables, and which rows are missing."""
    parts = [
        "Mean score of the final policies over seeds, in brackets the 95 % interval (bootstrap "
        "over seeds) and the number of seeds.",
        _written(by_task(found)),
        "Over all tasks that an algorithm has runs on: interquartile mean, and the probability "
        f"that a run of {found.first} is better than one of its own on the tasks that both have.",
        _written(over_all(found)),
        "Median seconds a run, all phases.",
        _written(seconds(rows, found)),
        "Median seconds from the log to the first evaluation on the way of at least a score, data, "
        "model and clones included, and how many runs have one.",
        _written(to_score(rows, found)),
    ]
    if found.missing:
        parts.append(f"Fewer than {found.seeds} seeds: {'; '.join(found.missing)}.")
    return "\n\n".join(parts) + "\n"


def by_task(found: Comparison) -> Table:
    """Returns the scores by task and algorithm."""
    table = [["task", *found.algorithms]]
    for task in found.tasks:
        cells = [found.cells.get((task, name)) for name in found.algorithms]
        said = [
            "-" if c is None else f"{c.mean:.2f} ({_within(c.interval)}n = {len(c.scores)})"
            for c in cells
        ]
        table.append([task, *said])
    return table


def over_all(found: Comparison) -> Table:
    """Returns what algorithms come to over all tasks, and against the first one."""
    head = ["algorithm", "tasks", "IQM", "95 %", f"P({found.first} is better)", "95 %"]
    table, duels = [head], {duel.other: duel for duel in found.duels}
    for name in found.algorithms:
        one, duel = found.overall[name], duels.get(name)
        against = ["-", "-"]
        if duel is not None and duel.tasks:
            against = [f"{duel.probability:.2f} ({duel.tasks} tasks)", _edges(duel.interval)]
        whole = [name, str(len(one.tasks)), f"{one.iqm:.3f}", _edges(one.interval)]
        table.append([*whole, *against])
    return table


def seconds(rows: Sequence[Row], found: Comparison) -> Table:
    """Returns the median seconds of a run by task and algorithm: what further rows would cost."""
    table = [["task", *found.algorithms]]
    for task in found.tasks:
        said = []
        for name in found.algorithms:
            own = [r.seconds["total"] for r in rows if (r.name, r.algorithm) == (task, name)]
            said.append(f"{median(own):.0f}" if own else "-")
        table.append([task, *said])
    return table


def to_score(rows: Sequence[Row], found: Comparison) -> Table:
    """Returns the median seconds from the log to a score, of the runs that reach it."""
    table = [["task", "score", *found.algorithms]]
    for task in found.tasks:
        for score in _REACHED:
            said = []
            for name in found.algorithms:
                own = [r for r in rows if (r.name, r.algorithm) == (task, name)]
                spent = [s for r in own if (s := seconds_to(r, score)) is not None]
                said.append(f"{median(spent):.0f} ({len(spent)} of {len(own)})" if spent else "-")
            table.append([task, f"{score:.2f}", *said])
    return table


def _within(interval: Interval) -> str:
    return "" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}, "


def _edges(interval: Interval) -> str:
    return "-" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"


def _written(table: Table) -> str:
    head, *lines = (f"| {' | '.join(cells)} |" for cells in table)
    return "\n".join([head, "|" + "---|" * len(table[0]), *lines])
