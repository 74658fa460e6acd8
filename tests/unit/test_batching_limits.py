"""What a model server refuses."""

import math

import pytest

from model_server.serving.waiting import Request, join
from moma_core.ports import BusyError, DeadlineError, InvalidFieldError
from tests.builders import FakeDynamics
from tests.unit.gated import PATIENCE, ask, busy, rows, same, wait_until


def test_what_does_not_fit_is_refused_at_once_with_word_of_when_to_ask_again(serve, inner, pool):
    server = serve(queue_rows=4)
    first = busy(server, inner, pool)
    inside = ask(server, pool, 3, 1)
    wait_until(server, 2)
    with pytest.raises(BusyError, match="3 rows wait already") as refusal:
        server.predict(rows(2, 2))
    assert refusal.value.retry_after_s == 1.0  # no batch has told a rate yet
    assert not inside.done()
    fits = ask(server, pool, 1, 3)
    wait_until(server, 3)
    inner.gate.set()
    for future, n in ((first, 1), (inside, 3), (fits, 1)):
        assert len(future.result(PATIENCE).reward) == n
    assert len(server.predict(rows(2, 4)).reward) == 2
    metrics = server.metrics()
    assert (metrics["model_server/shed"], metrics["model_server/requests"]) == (1, 4)


def test_a_full_queue_drops_what_has_expired_before_it_refuses_anyone(serve, inner, pool):
    now = [0.0]
    server = serve(queue_rows=4, clock=lambda: now[0])
    busy(server, inner, pool)
    late = ask(server, pool, 3, 1, deadline=5.0)
    wait_until(server, 2)
    with pytest.raises(BusyError):
        server.predict(rows(2, 2))
    now[0] = 5.0
    fits = ask(server, pool, 2, 3)
    with pytest.raises(DeadlineError):
        late.result(PATIENCE)
    wait_until(server, 3)
    inner.gate.set()
    assert len(fits.result(PATIENCE).reward) == 2
    assert server.metrics()["model_server/expired"] == 1


def test_a_bad_item_is_refused_before_it_can_fail_a_batch(serve, inner, pool):
    server = serve()
    busy(server, inner, pool)
    good = [ask(server, pool, 2, seed) for seed in (1, 2)]
    wait_until(server, 3)
    bad = rows(2, 3)
    bad.state[1, 2] = math.nan
    with pytest.raises(InvalidFieldError, match=r"^state: state\[1, 2\] is nan"):
        server.predict(bad)
    inner.gate.set()
    for k, future in enumerate(good):
        assert same(future.result(PATIENCE), FakeDynamics().predict(rows(2, k + 1)))
    # Negative control: in a batch it would have failed all.
    batch = [Request(query=query, deadline=math.inf, queued=0.0) for query in (rows(2, 1), bad)]
    with pytest.raises(InvalidFieldError):
        inner.predict(join(batch))


def test_a_request_of_more_rows_than_any_may_have_is_refused_with_the_number(serve, inner):
    server = serve()
    inner.gate.set()
    with pytest.raises(InvalidFieldError, match=r"^state: 16385 rows, need 16384 at most"):
        server.predict(rows(16385, 1))
    assert len(server.predict(rows(2, 1)).reward) == 2
