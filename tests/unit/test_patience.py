"""How long a client waits before it asks again, and what it says meanwhile; nothing is slept."""

import math
from typing import NamedTuple

import grpc
import pytest

from moma_core.ports import BusyError, DeadlineError, InvalidFieldError, UnavailableError
from moma_core.rpc.channel import (
    RETRY_AFTER_MS,
    ExpiredError,
    GoneError,
    Patience,
    call,
    once,
)
from moma_core.stopping import StoppedError

LONGEST = 2.0


class Peer:
    """Answers once it has raised what it was given; time passes only while the client pauses."""

    def __init__(self, *errors, draw=max, most_s=math.inf):
        self.errors, self.now = list(errors), 0.0
        self.pauses, self.draws, self.said = [], [], []
        self.draw, self.stopped, self.most_s = draw, False, most_s

    def ask(self):
        if self.errors:
            raise self.errors.pop(0)
        return "answer"

    def patiently(self):
        def draw(low, high):
            self.draws.append((low, high))
            return self.draw(low, high)

        def sleep(seconds):
            self.pauses.append(seconds)
            self.now += seconds

        return Patience(
            "the peer", lambda: self.stopped, self.said.append,
            most_s=self.most_s, clock=lambda: self.now, sleep=sleep, draw=draw,
        )(self.ask)  # fmt: skip


def refusal(seconds=0.01):
    return BusyError("9 rows wait already", seconds)


def test_who_is_refused_waits_as_told_with_jitter_longer_each_time_and_says_nothing():
    for draw, factor in ((min, 0.5), (max, 1.5)):
        peer = Peer(*(refusal() for _ in range(5)), draw=draw)
        assert peer.patiently() == "answer"
        # Four times at most: without that bound a few of 16 workers had no luck for 8 s.
        expected = [factor * x for x in (0.01, 0.02, 0.04, 0.04, 0.04)]
        assert peer.pauses == pytest.approx(expected)
        assert peer.draws == [(0.5, 1.5)] * 5
        assert peer.said == []


def test_no_pause_is_longer_than_two_seconds_whatever_the_peer_says_and_however_often():
    peer = Peer(*(refusal(s) for s in (0.01, 0.4, 1.0, 1e6)))
    assert peer.patiently() == "answer"
    assert max(peer.pauses) == pytest.approx(LONGEST)
    assert peer.pauses[-1] == pytest.approx(LONGEST)


def test_refusals_are_worth_a_line_once_they_have_lasted_five_seconds():
    peer = Peer(*(refusal(1.0) for _ in range(8)))
    peer.patiently()
    assert peer.now > 10
    first, second, last = peer.said
    assert first.startswith("waiting for the peer since 6 s (9 rows wait already)")
    assert second.startswith("waiting for the peer since 12 s")
    assert last.startswith("the peer answers again after 15")


def test_who_was_to_be_waited_for_a_minute_is_given_up_after_it():
    """The learner of a run that ended while a guest was cut off.

    Symptom: "the learner at HOST:PORT has not answered for 3600 s; given up".
    Cause: The run is over, or the network between is.
    What we do: After `moma work --wait MINUTES` its processes end, with status 1.
    What you do: Join again where the run goes on.
    """
    errors = [UnavailableError("connection refused") for _ in range(100)]
    peer = Peer(*errors, most_s=60.0)
    with pytest.raises(GoneError, match=r"the peer has not answered for 6[0-2] s; given up"):
        peer.patiently()
    # Negative control: whoever waits without such a limit gets the answer.
    assert Peer(*errors).patiently() == "answer"
    # An answer begins the minute again.
    assert Peer(*errors[:5], most_s=60.0).patiently() == "answer"


def test_negative_control_an_outage_is_worth_a_line_at_once():
    peer = Peer(UnavailableError("no route"), DeadlineError("nothing came"))
    assert peer.patiently() == "answer"
    assert peer.said[0].startswith("waiting for the peer since 0 s (no route)")
    assert peer.said[1].startswith("the peer answers again")
    assert peer.pauses == pytest.approx([0.1, 0.2])
    assert peer.draws == [(0.5, 1.0)] * 2


def test_what_asking_again_does_not_mend_comes_through():
    for error in (ExpiredError("too late"), InvalidFieldError("state: is missing")):
        peer = Peer(refusal(), error)
        with pytest.raises(type(error)):
            peer.patiently()
        assert len(peer.pauses) == 1


def test_told_to_stop_a_refused_client_stops():
    peer = Peer(refusal(), refusal())
    peer.stopped = True
    with pytest.raises(StoppedError, match="the peer"):
        peer.patiently()
    assert (len(peer.errors), peer.pauses) == (1, [])


def test_told_to_stop_a_client_that_is_answered_goes_on():
    peer = Peer()
    peer.stopped = True
    assert peer.patiently() == "answer"


def test_asked_once_a_refusal_comes_through_as_what_whoever_waits_for_peers_expects():
    with pytest.raises(UnavailableError) as raised:
        once(Peer(refusal(0.25)).ask)
    assert raised.value.retry_after_s == 0.25


class Entry(NamedTuple):
    key: str
    value: str


class Refused(grpc.RpcError):
    """What a stub raises."""

    def __init__(self, code, *metadata):
        super().__init__()
        self._code, self._metadata = code, metadata

    def code(self):
        return self._code

    def details(self):
        return "its words"

    def trailing_metadata(self):
        return tuple(Entry(*pair) for pair in self._metadata)


def refused(code, *metadata):
    def method(_, timeout):
        assert timeout == 3.0
        raise Refused(code, *metadata)

    return lambda: call(method, None, 3.0)


def test_a_refusal_is_known_by_its_status_and_its_metadata_together():
    exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
    with pytest.raises(BusyError, match="its words") as raised:
        refused(exhausted, ("x", "1"), (RETRY_AFTER_MS, "250"))()
    assert raised.value.retry_after_s == 0.25
    # Negative controls: a message too large has the same status; strange words are no number.
    for metadata in ((), (("x", "1"),), ((RETRY_AFTER_MS, "soon"),), ((RETRY_AFTER_MS, "-1"),)):
        with pytest.raises(RuntimeError, match="RESOURCE_EXHAUSTED"):
            refused(exhausted, *metadata)()
    with pytest.raises(UnavailableError) as raised:
        refused(grpc.StatusCode.UNAVAILABLE, (RETRY_AFTER_MS, "250"))()
    assert not isinstance(raised.value, BusyError)
