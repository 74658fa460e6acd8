"""A hundred stub workers over gRPC on one learner: none is refused, and all are relied on."""

from __future__ import annotations

from benchmarks.scale import stubs
from learner import roster
from learner.roster import Roster

WORKERS, NEWCOMERS = 100, 300


def test_a_hundred_stubs_are_all_served_and_none_is_refused():
    words = ("--workers", "100", "--rows", "400", "--horizon", "4", "--imagine-s", "0.1",
             "--update-s", "0.1", "--warm-s", "4", "--seconds", "3")  # fmt: skip
    measured = stubs.measure(stubs.parsed(words))
    assert measured["workers alive"] == measured["workers that delivered"] == WORKERS, measured
    assert measured["rounds/s"] > 0
    assert not [name for name in measured if name.startswith("refused")], measured


def ramp(grows):
    """Rounds until all newcomers are relied on; each delivers what it is handed."""
    known, rounds = Roster(), 0
    guests = [known.greet(f"w{n}", 0, f"c{n}", 0.0) for n in range(NEWCOMERS)]
    if not grows:
        known._relied = lambda _: 1
    known.deliver(guests[0])
    while not all(guest.delivered for guest in guests):
        rounds += 1
        given = []
        for guest in guests:
            if known.admits(guest, rounds):
                known.admit(guest, rounds)
                given.append(guest)
        for guest in given:
            known.deliver(guest)
    return rounds


def test_hundreds_who_join_are_relied_on_after_a_few_rounds():
    assert ramp(grows=True) <= 6
    # Negative control: with a number of trials that does not grow.
    assert ramp(grows=False) > 15


def test_no_honest_worker_is_forgotten_up_to_the_number_that_is_said(monkeypatch):
    known = Roster()
    for n in range(1000):
        known.greet(f"w{n}", 0, f"c{n}", 0.0)
    assert known.alive(0.0, 0) == roster._COUNTED
    assert len(known.seen(0.0)) == 1000
    # Negative control: with room for fewer, some are not known.
    monkeypatch.setattr(roster, "MOST_WORKERS", 512)
    known.greet("another", 0, "c", 2.0)
    assert len(known.seen(2.0)) < 512
