"""Workers that were started and never asked for work are named, once."""

from __future__ import annotations

import pytest

from moma.engines.attendance import Attendance


@pytest.fixture
def hall():
    """An attendance whose clock the test moves: `.look`, `.after(seconds)`, `.faults`, `.notes`."""

    class Hall:
        def __init__(self):
            self.now, self.faults, self.notes = 0.0, [], []
            attendance = Attendance(self.faults.append, self.notes.append, lambda: self.now)
            self.look = attendance.look

        def after(self, seconds, started, heard):
            self.now += seconds
            self.look(started, heard)

    return Hall()


def test_who_does_not_turn_up_is_named_once_within_thirty_seconds(hall):
    started = ["worker-0", "worker-1", "node-1"]
    hall.look(started, [])
    hall.after(19.0, started, ["worker-0", "node-1-host-7-0"])
    assert hall.faults == []
    hall.after(2.0, started, ["worker-0"])
    hall.after(60.0, started, ["worker-0"])
    (line,) = hall.faults
    assert line.startswith("worker-1 has not asked for work")
    hall.after(1.0, started, ["worker-0", "worker-1"])
    assert hall.notes == ["worker-1 has turned up after 82 s"]


def test_who_comes_later_has_as_long_and_who_is_let_go_is_not_missed(hall):
    hall.look(["worker-0"], ["worker-0"])
    hall.after(60.0, ["worker-0", "worker-1"], ["worker-0"])
    hall.after(10.0, ["worker-0"], ["worker-0"])
    hall.after(60.0, ["worker-0", "worker-1"], ["worker-0"])
    hall.after(19.0, ["worker-0", "worker-1"], ["worker-0"])
    assert hall.faults == []
    hall.after(2.0, ["worker-0", "worker-1"], ["worker-0"])
    assert len(hall.faults) == 1
