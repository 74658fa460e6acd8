"""Who makes which rollouts, with a clock that only the test moves."""

import pytest

from learner.inbox import Inbox, share
from moma_core.config import RolloutConfig
from tests.builders import make_config, make_trajectory

LEASE, ROUND, ROWS = 20.0, 120.0, 12
FIRST = 3 * ROWS
"""Number of the first rollout of the third round."""


def opened(rows=ROWS, version=3, epoch=1, now=100.0):
    inbox = Inbox(RolloutConfig(rows=rows, lease_s=LEASE, round_s=ROUND), epoch)
    inbox.open(version, now)
    return inbox


def segment(first, count=6, version=3, epoch=1, worker="w"):
    return make_trajectory(
        make_config(), rows=count, first=FIRST + first, policy_version=version, epoch=epoch,
        worker=worker,
    )  # fmt: skip


def leased(inbox, *who, **more):
    """The rollouts that are leased."""
    lease = inbox.assign(*who, **more)
    return None if lease is None else lease.rollouts


def piece(begin, end):
    return range(FIRST + begin, FIRST + end)


def test_each_worker_gets_rollouts_of_its_own_until_none_is_missing():
    inbox = opened()
    assert leased(inbox, "a", 5, 100.0) == piece(0, 5)
    assert leased(inbox, "b", 5, 100.0) == piece(5, 10)
    assert leased(inbox, "c", 5, 100.0) == piece(10, 12)
    assert leased(inbox, "d", 5, 100.0) is None


@pytest.mark.parametrize("rows", [1, 7, 202, 512, 2560])
def test_a_round_has_a_piece_for_every_worker_and_no_rollout_twice(rows):
    settings = RolloutConfig(rows=rows, horizon=10)
    for workers in (1, 2, 3, 7, 8, 39):
        inbox, each = opened(rows, version=0), share(settings, workers)
        given = [leased(inbox, f"w{number}", each, 100.0) for number in range(workers)]
        pieces = [one for one in given if one is not None]
        made = [number for one in pieces for number in one]
        assert made == list(range(len(made)))
        # Nobody is idle while rollouts are missing, and the last piece alone is shorter.
        assert len(made) == rows or len(pieces) == workers
        assert {len(one) for one in pieces[:-1]} <= {each}


def test_a_piece_is_no_larger_than_a_request_is_good_for_and_a_message_can_be():
    assert share(RolloutConfig(rows=5120, horizon=10), 1) == 256
    assert share(RolloutConfig(rows=5120, horizon=1000), 1) == 12
    assert share(RolloutConfig(rows=512, horizon=50), 0) == 256


@pytest.mark.parametrize("horizon", [10, 50, 60, 1000, 20_000])
@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_rollouts_of_one_grain_stay_together(workers, horizon):
    settings, inbox = RolloutConfig(rows=520, horizon=horizon), opened(520, version=0)
    for turn in range(9):
        piece = leased(inbox, f"w{turn}", share(settings, workers, 64), 100.0)
        assert piece is None or (piece.start % 64, piece.stop % 64 * (piece.stop < 520)) == (0, 0)
    # Negative control: without one they are cut anywhere.
    assert workers < 3 or share(settings, workers) % 64


def test_a_lease_is_offered_again_when_it_runs_out_and_not_before():
    inbox = opened()
    leased(inbox, "a", 6, 100.0)
    leased(inbox, "b", 6, 105.0)
    assert leased(inbox, "c", 6, 119.9) is None
    assert inbox.reissued == 0
    assert leased(inbox, "c", 6, 120.0) == piece(0, 6)
    assert inbox.reissued == 1
    # The new lease runs from now on; b's own one runs out next.
    assert leased(inbox, "d", 6, 125.0) == piece(6, 12)


def test_what_was_lost_is_cut_anew_for_those_who_are_there():
    inbox = opened()
    leased(inbox, "a", 12, 100.0)
    assert leased(inbox, "b", 4, 100.0) is None
    assert [leased(inbox, worker, 4, 120.0) for worker in "bcd"] == [
        piece(0, 4), piece(4, 8), piece(8, 12),
    ]  # fmt: skip
    assert inbox.submit(segment(4, 4, worker="c")) == ""
    # Who had all of it comes back: some is there already, so that all of it is dropped.
    assert inbox.submit(segment(0, 12, worker="a")) == "duplicate"
    for begin, worker in ((0, "b"), (8, "d")):
        assert inbox.submit(segment(begin, 4, worker=worker)) == ""
    assert [made.first - FIRST for made in inbox.take()] == [0, 4, 8]


def test_who_comes_back_first_is_taken_and_the_others_rollouts_are_handed_out_again():
    inbox = opened()
    leased(inbox, "a", 8, 100.0)
    leased(inbox, "b", 6, 120.0)
    leased(inbox, "c", 6, 120.0)
    assert inbox.submit(segment(0, 8, worker="a")) == ""
    assert inbox.submit(segment(6, 6, worker="c")) == "duplicate"
    assert leased(inbox, "c", 6, 121.0) == piece(8, 12)


def test_a_worker_that_asks_again_gets_its_lease_back():
    inbox = opened()
    leased(inbox, "a", 6, 100.0)
    leased(inbox, "b", 6, 101.0)
    assert leased(inbox, "b", 6, 102.0) == piece(6, 12)
    assert leased(inbox, "a", 6, 103.0) == piece(0, 6)
    assert leased(inbox, "c", 6, 119.0) is None


def test_a_segment_is_taken_once_whoever_sends_it():
    inbox = opened()
    leased(inbox, "a", 6, 100.0)
    assert inbox.submit(segment(0, worker="a")) == ""
    assert inbox.submit(segment(0, worker="b")) == "duplicate"
    assert inbox.submit(segment(5, 2, worker="b")) == "duplicate"
    assert inbox.duplicates == 2
    assert [t.worker for t in inbox.take()] == ["a"]


def test_rollouts_that_are_there_are_not_handed_out_again():
    inbox = opened()
    leased(inbox, "a", 6, 100.0)
    inbox.submit(segment(0))
    assert leased(inbox, "a", 6, 101.0) == piece(6, 12)
    inbox.submit(segment(6))
    assert leased(inbox, "a", 6, 1000.0) is None


@pytest.mark.parametrize(
    "late",
    [
        {"first": -6, "version": 2},  # an older round
        {"first": 12, "version": 4},  # a version that is not there yet
        {"first": 0, "version": 2},  # this round's rollouts with an old policy
        {"first": 0, "epoch": 0},  # made before the learner was resumed
        {"first": -6},
        {"first": -1},  # part of them another round's
        {"first": 7},
        {"first": 12},
    ],
)
def test_what_is_not_of_this_round_version_and_epoch_is_stale(late):
    inbox = opened()
    assert inbox.submit(segment(**late)) == "stale"
    assert inbox.stale == 1
    assert "12 more" in inbox.waiting_for(100.0)
    assert inbox.submit(segment(0)) == ""  # and takes no one's place


def test_a_round_is_complete_at_its_quota():
    inbox = opened()
    assert not inbox.complete(100.0)
    inbox.submit(segment(4, 8))
    assert not inbox.complete(100.0)
    inbox.submit(segment(0, 4))
    assert inbox.complete(100.0)
    assert [made.rollouts for made in inbox.take()] == [piece(0, 4), piece(4, 12)]


@pytest.mark.parametrize(("filled", "closes"), [(10, False), (11, True)])
def test_at_the_deadline_a_round_closes_with_nine_tenths_and_not_with_less(filled, closes):
    inbox = opened()
    inbox.submit(segment(0, filled))
    assert not inbox.complete(100.0 + ROUND - 0.1)
    assert inbox.complete(100.0 + ROUND) == closes


def test_a_new_round_forgets_the_old_one():
    inbox = opened()
    leased(inbox, "a", 6, 100.0)
    inbox.submit(segment(6))
    inbox.open(4, 130.0)
    assert "12 more" in inbox.waiting_for(130.0)
    assert leased(inbox, "b", 6, 130.0) == piece(12, 18)
    assert not inbox.complete(130.0 + ROUND)


def test_waiting_for_names_workers_and_seconds_and_what_no_one_makes():
    inbox = opened()
    assert inbox.waiting_for(100.0) == "any worker to ask for 12 more rollouts"
    leased(inbox, "reacher-0", 4, 100.0)
    leased(inbox, "reacher-1", 6, 104.0)
    text = inbox.waiting_for(112.0)
    assert text == (
        "reacher-0 (4 since 12 s), reacher-1 (6 since 8 s), any worker to ask for 2 more rollouts"
    )
    inbox.submit(segment(0, 4))
    assert "reacher-0" not in inbox.waiting_for(112.0)
    inbox.submit(segment(4, 6))
    inbox.submit(segment(10, 2))
    assert inbox.waiting_for(112.0) == ""
