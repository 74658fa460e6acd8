"""How old experience may be: a bound that is kept by handing out no more than it allows."""

import random
from dataclasses import replace

import pytest

from learner.inbox import Inbox
from moma_core.config import RolloutConfig
from tests.builders import make_config, make_trajectory

ROWS, SHARE = 6, 2
MADE = {count: make_trajectory(make_config(), rows=count) for count in (1, 2, 5, ROWS)}


def inbox(lag, version=0, **settings):
    made = Inbox(RolloutConfig(rows=ROWS, lag=lag, **settings), 0)
    made.open(version, 0.0)
    return made


def made(rollouts, version):
    return replace(MADE[len(rollouts)], first=rollouts.start, policy_version=version)


def leased(box, worker, share):
    """The rollouts that a worker gets; None where it gets none."""
    lease = box.assign(worker, share, 0.0)
    return None if lease is None else lease.rollouts


def hand_out(box, workers):
    """As many pieces as so many workers get, by worker."""
    return {n: leased(box, f"w{n}", SHARE) for n in range(workers)}


@pytest.mark.parametrize("lag", [0, 1, 2, 4])
@pytest.mark.parametrize("version", [0, 7])
def test_as_many_rollouts_are_handed_out_as_the_formula_says(lag, version):
    box = inbox(lag, version)
    # After a resume all rounds before count as accepted.
    assert box.capacity == (lag + 1) * ROWS
    pieces = hand_out(box, 40)
    whole = [number for piece in pieces.values() if piece for number in piece]
    assert whole == list(range(version * ROWS, (version + lag + 1) * ROWS))
    assert box.capacity == 0
    # A round that is taken makes no room by itself; the next policy does.
    for piece in pieces.values():
        if piece is not None and piece.stop <= (version + 1) * ROWS:
            assert box.submit(made(piece, version)) == ""
    assert box.capacity == 0
    box.take()
    assert (box.capacity, leased(box, "new", SHARE)) == (0, None)
    box.open(version + 1, 0.0)
    assert box.capacity == ROWS


def test_with_a_lag_of_one_workers_imagine_while_the_learner_updates():
    for lag, goes_on in ((0, False), (1, True)):
        box = inbox(lag)
        for piece in hand_out(box, 3).values():
            assert box.submit(made(piece, 0)) == ""
        assert [len(one.rollouts) for one in box.take()] == [SHARE] * 3
        # The learner updates now.
        piece = leased(box, "w0", SHARE)
        assert piece == (range(ROWS, ROWS + SHARE) if goes_on else None)
        if goes_on:
            assert box.submit(made(piece, 0)) == ""
            box.open(1, 0.0)
            assert leased(box, "w0", ROWS) == range(ROWS + SHARE, 2 * ROWS)


def test_what_is_too_old_is_refused_and_counted_and_what_is_not_is_taken():
    box = inbox(1, version=5)
    late, fit = range(5 * ROWS, 5 * ROWS + 1), range(5 * ROWS + 1, 6 * ROWS)
    assert box.submit(made(late, 3)) == "stale"
    assert box.submit(made(late, 6)) == "stale"  # a policy that is not there yet
    assert box.submit(made(range(7 * ROWS, 7 * ROWS + 1), 6)) == "stale"
    assert box.submit(made(fit, 4)) == ""
    assert box.stale == 3
    assert box.dropped() == 3 / 8


def test_a_late_piece_of_a_round_that_was_closed_without_it_is_dropped():
    box = inbox(1, round_s=10.0)
    assert box.submit(made(range(5), 0)) == ""
    assert not box.complete(10.0)  # 5 of 6 are less than nine tenths
    assert box.submit(made(range(ROWS, ROWS + 5), 0)) == ""
    assert not box.complete(10.0)  # nor does the next round's part make it more
    assert box.submit(made(range(5, 6), 0)) == ""
    assert box.complete(0.0)
    box.take()
    assert box.submit(made(range(5, 6), 0)) == "stale"
    box.open(1, 0.0)
    assert "1 more" in box.waiting_for(0.0)


def play(lag, rounds=60, seed=0, make=inbox):
    """Workers of whom some take twenty times as long as others; returns the lags that were met."""
    box, draw, version, lags = make(lag), random.Random(seed), 0, []
    busy, updating = {}, 0
    while len(lags) < rounds:
        for worker in range(5):
            until, piece, policy = busy.get(worker, (0, None, 0))
            if until > 0:
                busy[worker] = (until - 1, piece, policy)
                continue
            if piece is not None:
                box.submit(made(piece, policy))
            there = [*box._filled, *box._leases.values()]
            taken = box._round * ROWS + sum(len(one.rollouts) for one in there)
            assert box.capacity == (box._lag + box._version + 1) * ROWS - taken >= 0
            piece = leased(box, f"w{worker}", SHARE)
            busy[worker] = (draw.choice([0, 1, 20]), piece, version)
        if updating:
            updating -= 1
            if not updating:
                version += 1
                box.open(version, 0.0)
        elif box.complete(0.0):
            lags.append(max(version - one.policy_version for one in box.take()))
            updating = draw.choice([1, 2, 10])
    return lags, box


@pytest.mark.reliability(18, "staleness_bound")
@pytest.mark.parametrize("lag", [0, 1, 4])
def test_the_bound_is_kept_however_slow_some_workers_are(lag):
    lags, box = play(lag)
    assert max(lags) <= lag
    # It is made use of, and nothing is imagined in vain.
    assert max(lags) == lag
    assert (box.stale, box.duplicates) == (0, 0)


def test_without_admission_the_bound_is_not_kept():
    class Unbound(Inbox):
        """Hands out and takes whatever there is."""

        def __init__(self, settings, epoch):
            super().__init__(settings, epoch)
            self._lag = 9

    def unbound(lag):
        box = Unbound(RolloutConfig(rows=ROWS, lag=lag), 0)
        box.open(0, 0.0)
        return box

    lags, _ = play(1, make=unbound)
    assert max(lags) > 1


def test_a_lag_is_one_of_four_and_nothing_is_carried_on_with_one():
    with pytest.raises(ValueError, match=r"rollout\.lag must be 0, 1, 2 or 4, got 3"):
        RolloutConfig(lag=3)
    with pytest.raises(ValueError, match=r"rollout\.carry must be False with a lag"):
        RolloutConfig(lag=1, carry=True)
