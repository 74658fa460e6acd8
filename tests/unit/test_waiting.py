"""Who is served next and how much may wait; no thread, no clock: times are given."""

import math
import random
from dataclasses import replace

import pytest
import torch

from model_server.serving.load import Load
from model_server.serving.waiting import Limits, Request, Waiting
from tests.builders import make_query

ROOMY = Limits(max_rows=1000, queue_rows=10_000)


def request(queued=0.0, rows=1, deadline=math.inf):
    return Request(
        query=make_query(
            state=torch.zeros(rows, 1),
            action=torch.zeros(rows, 1, 1),
            seed=torch.zeros(rows, dtype=torch.int64),
        ),
        deadline=deadline,
        queued=queued,
    )


def waiting(*requests, limits=ROOMY):
    line = Waiting(limits)
    for one in requests:
        line.add(one)
    return line


def test_who_came_first_is_served_first():
    draw = random.Random(3)
    requests = [request(queued=k, rows=draw.randint(1, 5)) for k in range(12)]
    line, served = waiting(*requests, limits=Limits(max_rows=5)), []
    while line:
        served += line.take()
    assert served == requests


def test_a_batch_is_of_so_many_rows_and_a_larger_request_goes_by_itself():
    sizes = [2, 2, 2, 9, 1]
    line = waiting(*(request(queued=k / 9, rows=n) for k, n in enumerate(sizes)),
                   limits=Limits(max_rows=5))  # fmt: skip
    batches = []
    while line:
        batches.append([r.rows for r in line.take()])
    assert batches == [[2, 2], [2], [9], [1]]
    assert line.rows == 0
    assert line.take() == []


def test_alone_means_one_request_a_batch():
    line = waiting(request(), request())
    assert [len(line.take(1)) for _ in range(3)] == [1, 1, 0]


def test_rows_count_not_requests_and_what_is_larger_than_the_queue_waits_where_nothing_else_does():
    line = Waiting(Limits(max_rows=1, queue_rows=4))
    assert line.fits(100)
    line.add(request(rows=3))
    assert line.fits(1)
    assert not line.fits(2)
    line.take()
    assert line.fits(4)
    assert Limits(max_rows=7).room == 28


def test_only_those_whose_deadline_has_passed_expire():
    late, exact, early = (request(deadline=d, rows=2) for d in (1.0, 2.0, 2.1))
    line = waiting(late, exact, early, request())
    assert line.expire(0.9) == []
    assert line.expire(2.0) == [late, exact]
    assert (line.rows, len(line)) == (3, 2)
    assert early in line.take()


@pytest.mark.parametrize(("rows", "expected"), [(800, 0.4), (2, 0.001), (10**6, 1.0)])
def test_when_to_ask_again_follows_from_the_rows_that_wait_and_the_rate_of_late(rows, expected):
    load = Load()
    assert Load().refused(1, rows, 0.0) == 1.0
    load.ran([0.0], 10**9, 1.0)
    for _ in range(32):
        load.ran([0.0], 200, 0.1)
    assert load.refused(0, rows, 0.0) == pytest.approx(expected)


def test_when_to_ask_again_counts_those_refused_lately_and_no_others():
    load = Load()
    load.ran([0.0], 1000, 1.0)
    assert load.refused(100, 200, 5.0) == pytest.approx(0.3)
    assert load.refused(100, 200, 5.05) == pytest.approx(0.4)
    assert load.refused(100, 200, 5.12) == pytest.approx(0.4)  # the first one is past
    assert load.refused(100, 200, 9.0) == pytest.approx(0.3)
    assert load.counts["shed"] == 4


@pytest.mark.parametrize(
    "bad",
    [{"max_rows": 0}, {"queue_rows": -1}],
)
def test_limits_that_make_no_sense_are_refused_by_name(bad):
    (name,) = bad
    with pytest.raises(ValueError, match=f"^{name} is "):
        Limits(**bad)


def test_where_others_have_taken_all_room_a_small_request_of_another_caller_finds_some():
    limits = Limits(max_rows=32, queue_rows=64)
    line = Waiting(limits)
    line.add(large := replace(request(rows=64), caller="much"))
    assert not line.fits(3, "little")
    assert not line.fits(1, "much")
    assert line.fits(2, "little")
    small = replace(request(rows=2), caller="little")
    line.add(small)
    assert not line.fits(1, "little")
    assert line.take() == [small]
    assert (line.take(), line.rows) == ([large], 0)


def test_those_who_came_so_have_half_of_a_batch_and_expire_like_all():
    line = Waiting(Limits(max_rows=32, queue_rows=4))
    line.add(first := request(rows=4))
    small = [replace(request(rows=2, deadline=n), caller=f"c{n}") for n in range(2)]
    for one in small:
        line.add(one)
    assert line.expire(0.5) == small[:1]
    assert line.take() == [small[1], first]
    assert line.rows == 0
