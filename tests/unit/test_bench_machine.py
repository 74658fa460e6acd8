"""The warning that somebody else uses the machine."""

import pytest

from benchmarks.speed import machine
from benchmarks.speed.machine import Reading, Watch


def test_others_at_work_are_warned_of_and_noted():
    said = []
    watch = Watch(said.append, lambda: Reading(percent=85.04, who=("process 7 make: 80 %",)))
    watch.check("after rollout")
    (line,) = said
    assert line.startswith("warning: after rollout, others use 85 % of a core (process 7 make: 80")
    assert watch.busy == {"after rollout": 85.0}


@pytest.mark.parametrize("percent", [0.0, machine.BUSY_PERCENT])
def test_a_quiet_machine_is_not_worth_a_word(percent):
    said = []
    watch = Watch(said.append, lambda: Reading(percent=percent))
    watch.check("before the start")
    assert (said, watch.busy) == ([], {})


def test_what_this_process_uses_itself_is_not_others(monkeypatch):
    seconds = iter([100.0, 101.0])  # the machine has used one second more, all of it ours
    own = iter([3.0, 4.0])
    monkeypatch.setattr(machine, "_used", lambda: next(seconds))
    monkeypatch.setattr(machine, "_own", lambda: next(own))
    monkeypatch.setattr(machine, "_LOOK_S", 0.0)
    assert machine.look().percent == 0.0


def test_the_machine_is_named():
    facts = machine.facts()
    assert facts["cpu"]
    assert facts["cores"] >= 1
    assert {"torch", "python", "precision", "torch_threads"} <= facts.keys()
