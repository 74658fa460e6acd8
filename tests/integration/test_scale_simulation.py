"""The simulation beside what real workers were measured to do, and the limits that it is about."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from benchmarks.scale import simulate
from benchmarks.scale.world import Costs, Setup
from moma_core import documents

PLACE = Path(simulate.__file__).parent
COSTS = documents.load(Costs, PLACE / "costs.json")
REAL = json.loads((PLACE / "real.json").read_text())
FREE = Costs(**dict.fromkeys(vars(COSTS), 0.0))


def worst(real):
    return max(abs(row["off"]) for row in simulate.validate(COSTS, real))


def test_it_says_of_1_to_16_real_workers_what_they_did_within_15_percent():
    assert [row["workers"] for row in REAL["rows"]] == [1, 2, 4, 8, 16]
    assert worst(REAL) <= 0.15
    # Negative control: of a stub with half as much room it says something else.
    half = {**REAL, "settings": {**REAL["settings"], "at_once": REAL["settings"]["at_once"] // 2}}
    assert worst(half) > 0.3


def rounds_per_s(costs=FREE, **settings):
    run = Setup(**{"rows": 512, "horizon": 4, "model_s": 0.003, "at_once": 8, **settings})
    return simulate.simulate(run, costs)["rounds/s"]


def test_eight_workers_are_eight_times_one_until_the_pool_is_full():
    one = rounds_per_s(workers=1)
    for workers in (2, 4, 8):
        assert rounds_per_s(workers=workers) / one >= 0.9 * workers
    assert rounds_per_s(workers=16) / one < 8.1
    assert rounds_per_s(workers=8, at_once=2) / one < 2.1


def test_a_learner_that_is_full_is_relieved_by_more_learners_and_relays():
    big = {"workers": 400, "rows": 3200, "at_once": 400, "whole": True, "bandwidth": 1e8}
    slow, wide = replace(FREE, submit_s=0.01), replace(FREE, policy_bytes=1e6)
    assert rounds_per_s(slow, **big, learners=4) > 2 * rounds_per_s(slow, **big)
    assert rounds_per_s(wide, **big, relays=16) > 2 * rounds_per_s(wide, **big)
    # Negative control: where a learner's work costs nothing, neither helps.
    free = {**big, "bandwidth": 1e30}
    assert rounds_per_s(**free, learners=4) < 1.1 * rounds_per_s(**free)
