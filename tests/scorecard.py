"""docs/scorecard.md from what the tests came to: `python -m tests.scorecard C|N RESULTS.xml`.

A test that is marked `reliability(number, name)` may record `tried`, `passed`, `worst_s` and
`note`; one that records nothing counts as one try. What did not run is not called passed.
"""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime
from pathlib import Path

from moma_core.runtime import version

DOCS = Path(__file__).resolve().parents[1] / "docs"
TESTS = (
    "ckpt_kill9_random", "no_code_execution", "resume_bitwise", "learner_failpoints",
    "nan_everywhere", "exactly_once_ledger", "goodput_under_fire", "model_server_kill9",
    "hot_swap_atomic", "secure_by_default", "frozen_peer", "worker_kill_loop", "rpc_fuzz",
    "partition_heal", "disk_full", "sigterm_grace", "validation_matrix", "staleness_bound",
    "port_and_owner_conflict", "ckpt_bitrot", "overload", "straggler", "oom_isolation",
    "late_join_scale", "hostile_names", "model_exploitation_alarm", "soak",
    "supply_chain", "time_under_fire", "kill_fidelity", "blocked_callers", "all_or_nothing",
)  # fmt: skip
"""Names of the reliability tests, the first one being number 1."""


def main(kind: str, results: Path) -> None:
    """Takes the results of a run of the tests into the scorecard, and writes its page.

    Args:
        kind: C, with every change, or N, the long ones.
        results: what pytest wrote (`--junitxml`).
    """
    kept = DOCS / "scorecard.json"
    card = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    when = f"{datetime.now(UTC):%Y-%m-%d}, {version.named()}"
    for name, row in read(results).items():
        card.setdefault(name, {})[kind] = row | {"when": when}
    kept.write_text(json.dumps(card, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    (DOCS / "scorecard.md").write_text(page(card), encoding="utf-8")


def read(results: Path) -> dict[str, dict[str, object]]:
    """Returns by number and name what the marked tests came to, those of one name together."""
    found: dict[str, dict[str, object]] = {}
    for case in ElementTree.parse(results).iter("testcase"):
        said = {p.get("name"): p.get("value") for p in case.iter("property")}
        if "reliability" not in said:
            continue
        row = found.setdefault(
            said["reliability"], {"tried": 0, "passed": 0, "worst_s": 0.0, "notes": []}
        )
        skipped = case.find("skipped")
        if skipped is not None:
            row["notes"].append(f"skipped: {skipped.get('message')}")
            continue
        failed = case.find("failure") is not None or case.find("error") is not None
        tried = int(float(said.get("tried", 1)))
        row["tried"] += tried
        row["passed"] += int(float(said.get("passed", 0 if failed else tried)))
        row["worst_s"] = max(row["worst_s"], float(said.get("worst_s", 0)))
        row["notes"] += [said["note"]] if "note" in said else []
        row["notes"] += ["FAILED"] if failed else []
    return found


def page(card: dict[str, dict[str, dict[str, object]]]) -> str:
    """Returns the page."""
    lines = [
        "# Scorecard",
        "",
        "What the reliability tests came to when they last ran, written by `scripts/test` (set C) "
        "and `scripts/test --long` (set N). A test without a row has not been run, or is not "
        "written: it has not passed.",
        "",
        "| test | set | tried | passed | worst, s | when, code | notes |",
        "|---|---|---|---|---|---|---|",
    ]
    for number, name in enumerate(TESTS, 1):
        rows = card.get(f"{number} {name}", {})
        for kind, row in sorted(rows.items()):
            worst = row["worst_s"] or ""
            notes = "; ".join(row["notes"])
            lines.append(
                f"| {number} {name} | {kind} | {row['tried']} | {row['passed']} | {worst} "
                f"| {row['when']} | {notes} |"
            )
        if not rows:
            lines.append(f"| {number} {name} | | 0 | 0 | | | not run |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
