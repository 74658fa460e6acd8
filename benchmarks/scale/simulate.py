"""The simulation beside real workers, and then beyond: tables and a picture for docs/scaling.md.

python -m benchmarks.scale.simulate --validate benchmarks/scale/real.json
python -m benchmarks.scale.simulate [--json FILE] [--picture docs/scaling.png]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.scale.world import Costs, Setup, simulate
from moma_core import documents
from moma_core.storage import write_text

_HERE = Path(__file__).parent
_WORKERS = (10, 30, 100, 300, 1_000, 3_000, 10_000)
_LEARNERS = ((1, 0), (1, 16), (4, 16), (16, 16), (64, 16))
"""Learners, and the fan-out of relays between them and the workers; 0: none."""
_BIG = Setup(
    workers=1, rows=0, horizon=50, model_s=0.003, at_once=1, update_s=2.0, latency_s=0.0005,
    bandwidth=1.25e9, whole=True,
)  # fmt: skip
"""A run whose rounds grow with its workers, 8 rollouts each, and whose pools never are the limit;
half a millisecond and 10 Gbit/s to a learner, two seconds for an update by one."""
_EACH, _POLICY_BYTES = 8, 4e5


def validate(costs: Costs, real: dict[str, Any]) -> list[dict[str, float]]:
    """Returns the simulated beside the measured rounds per second.

    Args:
        costs: what was measured.
        real: what `benchmarks.scale.real` wrote.
    """
    told, rows = real["settings"], []
    for row in real["rows"]:
        setup = Setup(
            workers=int(row["workers"]), rows=told["rows"], horizon=told["horizon"],
            model_s=told["cost_ms"] / 1e3, at_once=told["at_once"], update_s=told["update_s"],
        )  # fmt: skip
        said = simulate(setup, costs)["rounds/s"]
        off = said / row["rounds/s"] - 1
        rows.append(
            {"workers": row["workers"], "real": row["rounds/s"], "simulated": said, "off": off}
        )
    return rows


def beyond(costs: Costs) -> list[dict[str, float]]:
    """Returns simulated runs of 10 to 10,000 workers and 1 to 64 learners."""
    costs, rows = replace(costs, policy_bytes=_POLICY_BYTES), []
    for learners, relays in _LEARNERS:
        for workers in _WORKERS:
            if workers < learners:
                continue
            setup = replace(
                _BIG, workers=workers, rows=_EACH * workers // learners * learners,
                at_once=workers, learners=learners, relays=relays,
            )  # fmt: skip
            rows.append(simulate(setup, costs, warm=1, rounds=2))
    return rows


def draw(rows: Sequence[dict[str, float]], path: Path) -> None:
    """Draws segments per second by workers, a line for each number of learners.

    Args:
        rows: what `beyond` returned.
        path: the picture's file.
    """
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4))
    for learners, relays in _LEARNERS:
        line = [r for r in rows if (r["learners"], r["relays"]) == (learners, relays)]
        named = f"{learners} learner{'s' * (learners > 1)}{', relays' * bool(relays)}"
        axes.loglog(
            [r["workers"] for r in line], [r["segments/s"] for r in line], marker="o", label=named
        )
    axes.set(xlabel="workers", ylabel="segments per second")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--costs", type=Path, default=_HERE / "costs.json")
    parser.add_argument("--validate", type=Path, help="file that benchmarks.scale.real wrote")
    parser.add_argument("--json", type=Path, help="file that the rows are written to")
    parser.add_argument("--picture", type=Path, help="file of a picture of them")
    args = parser.parse_args()
    costs = documents.load(Costs, args.costs)
    if args.validate is not None:
        rows = validate(costs, json.loads(args.validate.read_text(encoding="utf-8")))
    else:
        rows = beyond(costs)
    print(" ".join(f"{name:>13}" for name in rows[0]))
    for row in rows:
        print(" ".join(f"{value:13,.4g}" for value in row.values()))
    if args.json is not None:
        write_text(args.json, json.dumps(rows, indent=1) + "\n")
    if args.picture is not None:
        draw(rows, args.picture)


if __name__ == "__main__":
    main()
