"""Who is served next, how much may wait and for how long; no thread, no clock: times are given."""

import math
import random
from typing import get_args

import pytest
import torch

from model_server.serving.load import Load, Peak
from model_server.serving.waiting import Limits, Request, Waiting
from moma_core.types import Priority

CLASSES = get_args(Priority)
ROOMY = Limits(max_rows=1000, queue_rows=10_000)


def request(priority="training", queued=0.0, rows=1, deadline=math.inf):
    return Request(
        state=torch.zeros(rows, 1),
        action=torch.zeros(rows, 1, 1),
        seed=torch.zeros(rows, dtype=torch.int64),
        deadline=deadline,
        priority=priority,
        queued=queued,
    )


def waiting(*requests, limits=ROOMY):
    line = Waiting(limits)
    for one in requests:
        line.add(one)
    return line


def test_training_comes_before_evaluation_before_warm_up_whatever_came_first():
    warm_up, evaluation, training = (request(p, k / 9) for k, p in enumerate(reversed(CLASSES)))
    assert waiting(warm_up, evaluation, training).take(0.9) == [training, evaluation, warm_up]


def test_a_class_better_for_each_age_that_it_waited_and_among_equals_the_older_one():
    old, new = request("evaluation", 0.0), request("training", 0.5)
    assert waiting(old, new).take(0.99) == [new, old]
    assert waiting(old, new).take(1.0) == [old, new]
    older = request("warm-up", 0.0)
    assert waiting(older, new).take(1.99) == [new, older]
    assert waiting(older, new).take(2.0) == [older, new]
    slow = Limits(max_rows=1000, age_s=4.0)
    assert waiting(old, new, limits=slow).take(3.99) == [new, old]
    # Nobody is better than the best class: who has waited for ages does not overtake its equals.
    first = request("training", 0.0)
    assert waiting(request("evaluation", 0.1), first).take(50.0)[0] is first


def test_the_order_is_that_of_sorting_all_by_aged_class_and_arrival():
    draw = random.Random(3)
    for _ in range(50):
        now = 4.0
        arrivals = sorted(draw.uniform(0, now) for _ in range(12))
        requests = [request(draw.choice(CLASSES), queued) for queued in arrivals]
        slow = sorted(
            requests,
            key=lambda r: (
                max(0, CLASSES.index(r.priority) - math.floor(now - r.queued)),
                r.queued,
            ),
        )
        assert waiting(*requests).take(now) == slow
    assert [r.queued for r in slow] != arrivals  # Negative control: by arrival alone it is not.


@pytest.mark.parametrize(("age_s", "served"), [(1.0, True), (1e9, False)])
def test_under_a_steady_load_of_training_a_warm_up_is_served_because_it_ages(age_s, served):
    limits = Limits(max_rows=2, queue_rows=1000, age_s=age_s)
    starving = request("warm-up", 0.0)
    line, taken = waiting(starving, limits=limits), []
    for tick in range(40):  # three ask while two are served
        for _ in range(3):
            line.add(request(queued=tick / 10))
        taken += line.take(tick / 10)
    assert (starving in taken) == served


def test_a_batch_is_of_so_many_rows_and_a_larger_request_goes_by_itself():
    sizes = [2, 2, 2, 9, 1]
    line = waiting(*(request(queued=k / 9, rows=n) for k, n in enumerate(sizes)),
                   limits=Limits(max_rows=5))  # fmt: skip
    batches = []
    while line:
        batches.append([r.rows for r in line.take(0.9)])
    assert batches == [[2, 2], [2], [9], [1]]
    assert line.rows == 0
    assert line.take(0.9) == []


def test_alone_means_one_request_a_batch():
    line = waiting(request(), request("evaluation"))
    assert [len(line.take(0.0, 1)) for _ in range(3)] == [1, 1, 0]


def test_rows_count_not_requests_and_what_is_larger_than_the_queue_waits_where_nothing_else_does():
    line = Waiting(Limits(max_rows=1, queue_rows=4))
    assert line.fits(100)
    line.add(request(rows=3))
    assert line.fits(1)
    assert not line.fits(2)
    line.take(0.0)
    assert line.fits(4)
    assert Limits(max_rows=7).room == 28


def test_only_those_whose_deadline_has_passed_expire():
    late, exact, early = (request(deadline=d, rows=2) for d in (1.0, 2.0, 2.1))
    line = waiting(late, exact, early, request())
    assert line.expire(0.9) == []
    assert line.expire(2.0) == [late, exact]
    assert (line.rows, len(line)) == (3, 2)
    assert early in line.take(2.0)


def test_it_collects_until_its_rows_are_enough_all_wait_or_the_oldest_has_waited_long_enough():
    limits = Limits(max_rows=10, delay_s=0.5)
    line = waiting(request("warm-up", 1.0, rows=4), request("training", 1.1, rows=4), limits=limits)
    assert line.hold_s(1.2, most=3) == pytest.approx(0.3)
    assert line.hold_s(1.5, most=3) == 0
    assert line.hold_s(9.0, most=3) == 0
    assert line.hold_s(1.2, most=2) == 0
    line.add(request(queued=1.2, rows=2))
    assert line.hold_s(1.2, most=9) == 0


def test_the_peak_is_forgotten_after_a_second_so_that_the_dead_stall_nobody():
    peak = Peak()
    assert peak.lately(5.0) == 0
    peak.note(4, 5.0)
    for tick in range(1, 11):
        assert peak.lately(4.95 + tick / 10) == 4
        peak.note(3, 5.0 + tick / 10)
    assert peak.lately(6.1) == 3
    assert peak.lately(8.0) == 0


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
    [{"max_rows": 0}, {"queue_rows": -1}, {"delay_s": -0.1}, {"delay_s": math.inf},
     {"delay_s": math.nan}, {"age_s": 0.0}, {"age_s": math.nan}],
)  # fmt: skip
def test_limits_that_make_no_sense_are_refused_by_name(bad):
    (name,) = bad
    with pytest.raises(ValueError, match=f"^{name} is "):
        Limits(**bad)
