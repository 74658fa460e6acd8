"""What every `Dynamics` must do, whether it computes, queues or lies behind a socket."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest
import torch

from model_server.serving.batching import Batching
from model_server.simulator import Simulator
from moma_core import tasks
from moma_core.ports import DeadlineError, Dynamics, InvalidFieldError
from moma_core.rpc.dynamics import DynamicsClient, serve_dynamics
from moma_core.rpc.endpoint import Endpoint
from tests.builders import PER_ROW, picked
from tests.integration.parts import make_rows, open_model, until

SYSTEMS = ("WorldModel", "Simulator")
QUEUEING = tuple(f"{way} {system}" for system in SYSTEMS for way in ("Batching", "DynamicsClient"))
STEPPED = "hopper-3x1"


def made(system, run):
    """The system itself, with counters at 0."""
    return open_model(run) if system == "WorldModel" else Simulator(tasks.get(STEPPED), 2)


@pytest.fixture(params=[*SYSTEMS, *QUEUEING])
def dynamics(request, run):
    """A fitted model or a simulator: by itself, behind a queue, behind a socket."""
    way, _, system = request.param.rpartition(" ")
    inner = made(system, run)
    if not way:
        yield inner
        return
    batching = Batching(inner)
    if way == "Batching":
        yield batching
    else:
        server = serve_dynamics(batching, Endpoint())
        client = DynamicsClient(server.address)
        yield client
        client.close()
        server.stop(0.0)
    batching.close()


@pytest.fixture
def inner(dynamics, model, run):
    """What `dynamics` has to be like: the same system, in this process."""
    return model if dynamics.describe() == model.describe() else made("Simulator", run)


def test_it_is_the_port_and_says_what_it_models(request, dynamics, run):
    assert isinstance(dynamics, Dynamics)
    card = dynamics.describe()
    learned = "WorldModel" in request.node.callspec.id
    assert card.task == tasks.get(run.config().task if learned else STEPPED).spec
    assert len(card.elites) == (run.config().model.elites if learned else 1)
    assert card == made("WorldModel" if learned else "Simulator", run).describe()


def test_an_object_without_metrics_is_not_the_port():
    class Half:
        def describe(self): ...
        def predict(self, query): ...

    assert not isinstance(Half(), Dynamics)


def test_a_prediction_has_one_row_per_row_in_the_agreed_types(dynamics):
    rows = make_rows(dynamics.describe(), rows=5)
    answer = dynamics.predict(rows)
    assert answer.model == dynamics.describe().digest
    assert answer.next_state.shape == rows.state.shape
    assert answer.next_state.dtype == torch.float32
    for name in PER_ROW:
        value = getattr(answer, name)
        assert value.shape[0] == 5
        if name == "terminated":
            assert value.dtype == torch.bool
            assert value.shape == (5,)
        elif name == "outside":
            assert value.dtype == torch.bool
            assert value.shape == (5, rows.state.shape[1] + 1)
        else:
            assert value.dtype == torch.float32
            assert bool(torch.isfinite(value).all())


@pytest.mark.usefixtures("one_thread")
def test_it_answers_as_the_system_itself_does(dynamics, inner):
    rows = make_rows(inner.describe(), rows=64)
    got, expected = dynamics.predict(rows), inner.predict(rows)
    exact = inner.describe().members == 1
    for name in PER_ROW:
        a, b = getattr(got, name), getattr(expected, name)
        torch.testing.assert_close(a, b, rtol=0, atol=0 if exact else 1e-5)


def test_a_rows_draw_depends_on_its_own_seed_alone(dynamics):
    rows = make_rows(dynamics.describe(), rows=64)
    order = torch.arange(63, -1, -1)
    forward = dynamics.predict(rows)
    backward = dynamics.predict(picked(rows, order))
    torch.testing.assert_close(backward.next_state, forward.next_state[order], rtol=0, atol=1e-5)
    other = dynamics.predict(replace(rows, seed=rows.seed + 1))
    draws = dynamics.describe().members > 1
    assert draws == bool(((other.next_state - forward.next_state).abs().amax(1) > 1e-3).any())


def test_a_rows_answer_depends_on_its_state_and_action(dynamics):
    rows = make_rows(dynamics.describe(), rows=64)
    before = dynamics.predict(rows).next_state
    for name in ("state", "action"):
        # One feature that the future depends on, and one agent's whole action.
        moved = getattr(rows, name).clone()
        moved[:32, 1] += 0.1 if name == "state" else 0.5
        after = dynamics.predict(replace(rows, **{name: moved})).next_state
        changed = (after - before).abs().amax(1) > 1e-4
        assert changed[:32].float().mean() > 0.9, name
        assert not changed[32:].any()


@pytest.mark.parametrize("name", ["state", "action"])
def test_a_wrong_width_is_refused_by_the_fields_name(dynamics, name):
    rows = make_rows(dynamics.describe(), rows=4)
    narrow = getattr(rows, name)[..., :-1].contiguous()
    with pytest.raises(InvalidFieldError, match=f"^{name}: shape"):
        dynamics.predict(replace(rows, **{name: narrow}))


@pytest.mark.parametrize("name", ["state", "action"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused_by_place(dynamics, name, bad):
    rows = make_rows(dynamics.describe(), rows=4)
    getattr(rows, name).view(4, -1)[2, 1] = bad
    with pytest.raises(InvalidFieldError, match=rf"^{name}: {name}\[2, .*need finite"):
        dynamics.predict(rows)


def test_no_rows_at_all_are_refused(dynamics):
    rows = make_rows(dynamics.describe(), rows=4)
    with pytest.raises(InvalidFieldError, match=r"^state: .*one row"):
        dynamics.predict(picked(rows, slice(0)))


def test_it_answers_after_a_refusal_and_counts_its_rows(dynamics):
    rows = make_rows(dynamics.describe(), rows=7)
    assert dynamics.metrics()["model_server/rows"] == 0
    with pytest.raises(InvalidFieldError):
        dynamics.predict(replace(rows, state=rows.state * math.nan))
    for _ in range(2):
        dynamics.predict(rows)
    metrics = until(
        lambda: (m := dynamics.metrics())["model_server/rows"] >= 14 and m, 5.0, "count of 14 rows"
    )
    assert all(isinstance(v, float) and math.isfinite(v) for v in metrics.values())


@pytest.mark.parametrize("dynamics", QUEUEING, indirect=True)
def test_a_deadline_that_has_passed_is_an_error_at_once(dynamics):
    rows = make_rows(dynamics.describe())
    dynamics.predict(rows, deadline=time.monotonic() + 30)
    begun = time.monotonic()
    with pytest.raises(DeadlineError):
        dynamics.predict(rows, deadline=begun - 1)
    assert time.monotonic() - begun < 2
