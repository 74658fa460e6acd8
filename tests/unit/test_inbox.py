"""Who makes which segment, with a clock that only the test moves."""

from dataclasses import replace

import pytest

from learner.inbox import Inbox
from tests.builders import make_config, make_trajectory

LEASE, ROUND = 20.0, 120.0
SEGMENT = make_trajectory(make_config())


def opened(segments=2, version=3, epoch=1, now=100.0):
    inbox = Inbox(segments, LEASE, ROUND, epoch)
    inbox.open(version, now)
    return inbox


def segment(sequence, version=3, epoch=1, worker="w"):
    return replace(SEGMENT, sequence=sequence, policy_version=version, epoch=epoch, worker=worker)


def test_each_worker_gets_its_own_segment_and_the_next_one_none():
    inbox = opened()
    assert inbox.assign("a", 0, 100.0) == 6
    assert inbox.assign("b", 0, 100.0) == 7
    assert inbox.assign("c", 0, 100.0) is None


def test_a_lease_is_offered_again_when_it_runs_out_and_not_before():
    inbox = opened()
    inbox.assign("a", 0, 100.0)
    inbox.assign("b", 0, 105.0)
    assert inbox.assign("c", 0, 119.9) is None
    assert inbox.reissued == 0
    assert inbox.assign("c", 0, 120.0) == 6
    assert inbox.reissued == 1
    # The new lease runs from now on; b's own one runs out next.
    assert inbox.assign("d", 0, 125.0) == 7


def test_a_worker_that_asks_again_gets_its_lease_back():
    inbox = opened()
    inbox.assign("a", 0, 100.0)
    inbox.assign("b", 0, 101.0)
    assert inbox.assign("b", 1, 102.0) == 7
    assert inbox.assign("a", 0, 103.0) == 6
    assert inbox.assign("c", 0, 119.0) is None


def test_a_segment_is_taken_once_whoever_sends_it():
    inbox = opened()
    inbox.assign("a", 0, 100.0)
    assert inbox.submit(segment(6, worker="a")) == ""
    assert inbox.submit(segment(6, worker="b")) == "duplicate"
    assert inbox.duplicates == 1
    assert [t.worker for t in inbox.take()] == ["a"]


def test_a_filled_segment_is_not_handed_out_again():
    inbox = opened()
    inbox.assign("a", 0, 100.0)
    inbox.submit(segment(6))
    assert inbox.assign("a", 0, 101.0) == 7
    inbox.submit(segment(7))
    assert inbox.assign("a", 0, 1000.0) is None


@pytest.mark.parametrize(
    "late",
    [
        segment(4, version=2),  # an older round
        segment(8, version=4),  # a version that is not there yet
        segment(6, version=2),  # this round's number with an old policy
        segment(6, epoch=0),  # made before the learner was resumed
        segment(5),
        segment(8),
        segment(-1),
    ],
)
def test_what_is_not_of_this_round_version_and_epoch_is_stale(late):
    inbox = opened()
    assert inbox.submit(late) == "stale"
    assert inbox.stale == 1
    assert not inbox.take()
    assert inbox.submit(segment(6)) == ""  # and takes no one's place


def test_a_round_is_complete_at_its_quota():
    inbox = opened()
    assert not inbox.complete(100.0)
    inbox.submit(segment(7))
    assert not inbox.complete(100.0)
    inbox.submit(segment(6))
    assert inbox.complete(100.0)
    assert [t.sequence for t in inbox.take()] == [6, 7]


@pytest.mark.parametrize(("filled", "closes"), [(8, False), (9, True)])
def test_at_the_deadline_a_round_closes_with_nine_tenths_and_not_with_less(filled, closes):
    inbox = opened(segments=10, version=0)
    for sequence in range(filled):
        inbox.submit(segment(sequence, version=0))
    assert not inbox.complete(100.0 + ROUND - 0.1)
    assert inbox.complete(100.0 + ROUND) == closes


def test_a_new_round_forgets_the_old_one():
    inbox = opened()
    inbox.assign("a", 0, 100.0)
    inbox.submit(segment(7))
    inbox.open(4, 130.0)
    assert not inbox.take()
    assert inbox.assign("b", 0, 130.0) == 8
    assert not inbox.complete(130.0 + ROUND)


def test_waiting_for_names_workers_and_seconds_and_what_no_one_makes():
    inbox = opened(segments=3)
    assert inbox.waiting_for(100.0) == "any worker to ask for 3 more"
    inbox.assign("reacher-0", 0, 100.0)
    inbox.assign("reacher-1", 0, 104.0)
    text = inbox.waiting_for(112.0)
    assert text == "reacher-0 (since 12 s), reacher-1 (since 8 s), any worker to ask for 1 more"
    inbox.submit(segment(9))
    assert "reacher-0" not in inbox.waiting_for(112.0)
    inbox.submit(segment(10))
    inbox.submit(segment(11))
    assert inbox.waiting_for(112.0) == ""
