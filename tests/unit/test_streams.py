"""A stream is kept for the next request while its deadline suits, and never used once it is bad."""

import time

import pytest

from moma_core.ports import UnavailableError
from moma_core.rpc.streams import Streams


class Replies:
    """What gRPC hands out for a stream: echoes until it is told to fail or to end."""

    def __init__(self, requests, timeout):
        self.requests, self.timeout = requests, timeout
        self.active, self.fault = True, None

    def is_active(self):
        return self.active

    def __next__(self):
        if self.fault is not None:
            self.active = False
            raise self.fault
        return next(self.requests)


@pytest.fixture
def opened():
    """The streams that were opened."""
    return []


@pytest.fixture
def streams(opened):
    def method(requests, timeout):
        opened.append(Replies(requests, timeout))
        return opened[-1]

    return Streams(method)


def test_one_stream_serves_one_caller_after_the_other(streams, opened):
    assert [streams(number, 60.0) for number in range(5)] == list(range(5))
    assert [stream.timeout for stream in opened] == [60.0]


def test_a_caller_gets_no_less_than_half_of_its_time_and_no_more_than_all(
    streams, opened, monkeypatch
):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    streams(1, 60.0)
    now[0] = 29.0
    streams(2, 60.0)
    assert len(opened) == 1  # 31 s are left
    now[0] = 31.0
    streams(3, 60.0)
    assert len(opened) == 2  # 29 s would have been
    streams(4, 5.0)
    assert [stream.timeout for stream in opened] == [60.0, 60.0, 5.0]  # not one of 60 s for 5


def test_a_stream_that_has_ended_meanwhile_is_not_used(streams, opened):
    streams(1, 60.0)
    opened[0].active = False
    assert streams(2, 60.0) == 2
    assert len(opened) == 2


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        (StopIteration(), UnavailableError),
        (KeyError("x"), KeyError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_a_stream_that_failed_is_left_and_its_reader_released(streams, opened, fault, raised):
    streams(1, 60.0)
    opened[0].fault = fault
    with pytest.raises(raised):
        streams(2, 60.0)
    assert list(opened[0].requests) == [2]  # ends; what gRPC's thread would read
    assert streams(3, 60.0) == 3
    assert len(opened) == 2


def test_closing_releases_what_is_idle(streams, opened):
    streams(1, 60.0)
    streams.close()
    assert list(opened[0].requests) == []
    streams(2, 60.0)
    assert len(opened) == 2
