"""What every `Learner` must do, in this process or behind a socket."""

from __future__ import annotations

import math
import time
from dataclasses import fields, replace
from types import SimpleNamespace

import pytest
import torch

from learner.starts import rollout_seeds
from moma_core.ports import InvalidFieldError, Learner
from moma_core.rpc.endpoint import Endpoint
from moma_core.rpc.learner import LearnerClient, serve_learner
from tests.builders import same_history
from tests.integration.parts import gather, make_segments, make_service, serving


@pytest.fixture(scope="module")
def segments(run, model):
    """The first round's segments, made in this process."""
    return make_segments(make_service(run), model)


@pytest.fixture(params=["LearnerService", "LearnerClient"])
def side(request, run):
    """`.learner`, one of the two implementations, and `.service`, what stands behind it."""
    service = make_service(run)
    if request.param == "LearnerService":
        yield SimpleNamespace(learner=service, service=service)
        return
    server = serve_learner(service, Endpoint())
    client = LearnerClient(server.address)
    yield SimpleNamespace(learner=client, service=service)
    client.close()
    server.stop(0.0)


def hand_in(side, segment):
    """Lets its worker ask for a segment, and sends it."""
    side.learner.assign(segment.worker, segment.incarnation, 0.0)
    return side.learner.submit(segment)


def test_it_is_the_port_and_says_what_a_worker_needs(side, run):
    assert isinstance(side.learner, Learner)
    card = side.learner.describe()
    assert card == side.service.describe()
    assert card.task.name == run.config().task
    assert card.pessimism == run.config().pessimism


def test_an_object_without_submit_is_not_the_port():
    half = SimpleNamespace(describe=print, assign=print, fetch_policy=print)
    assert not isinstance(half, Learner)


def test_an_assignment_brings_seed_and_starts_of_the_agreed_shapes(side):
    card = side.learner.describe()
    spec = card.task
    first = side.learner.assign("w0", 0, 0.0)
    second = side.learner.assign("w1", 0, 0.0)
    half = card.rollout.rows // 2
    assert (first.first, second.first) == (0, half)
    assert (first.policy_version, first.epoch, first.stop) == (0, 0, False)
    drawn = [rollout_seeds(0, range(begin, begin + half)) for begin in (0, half)]
    assert torch.equal(first.starts.seed, drawn[0])
    assert torch.equal(second.starts.seed, drawn[1])
    assert not torch.equal(*drawn)
    frame = spec.observation_width + spec.action_width
    assert first.starts.state.shape == (half, spec.state_width)
    assert first.starts.history.frames.shape == (half, len(spec.agents), card.actor.history, frame)
    assert first.starts.state.dtype == first.starts.history.frames.dtype == torch.float32
    assert not torch.equal(first.starts.state, second.starts.state)


def test_with_nothing_to_do_it_waits_as_long_as_it_was_told(side):
    for worker in ("w0", "w1"):
        side.learner.assign(worker, 0, 0.0)
    begun = time.monotonic()
    idle = side.learner.assign("c", 0, 0.5)
    assert 0.45 < time.monotonic() - begun < 3
    assert (idle.first, idle.starts, idle.stop) == (-1, None, False)


def test_the_policy_arrives_bit_for_bit(side, run):
    expected = make_service(run).fetch_policy()
    snapshot = side.learner.fetch_policy()
    assert snapshot.version == 0
    assert snapshot.parameters.keys() == expected.parameters.keys()
    for name, tensor in expected.parameters.items():
        assert torch.equal(snapshot.parameters[name], tensor), name
        assert snapshot.parameters[name].dtype == tensor.dtype


def test_segments_arrive_bit_for_bit(side, segments):
    for segment in segments:
        receipt = hand_in(side, segment)
        assert (receipt.reason, receipt.stop) == ("", False)
    for got, sent in zip(gather(side.service), segments, strict=True):
        for field in fields(sent):
            a, b = getattr(got, field.name), getattr(sent, field.name)
            if field.name == "history":
                assert same_history(a, b)
                continue
            assert torch.equal(a, b) if isinstance(b, torch.Tensor) else a == b, field.name


def test_the_same_segment_twice_is_a_duplicate_and_changes_nothing(side, segments):
    assert hand_in(side, segments[0]).reason == ""
    other = replace(segments[0], reward=segments[0].reward + 1)
    receipt = side.learner.submit(other)
    assert receipt.reason == "duplicate"
    assert hand_in(side, segments[1]).reason == ""
    assert torch.equal(gather(side.service)[0].reward, segments[0].reward)
    assert side.service.counters()["fault/duplicate_segments"] == 1


@pytest.mark.parametrize("change", [{"policy_version": 1}, {"epoch": 1}, {"first": 512}])
def test_a_segment_of_another_version_epoch_or_round_is_stale(side, segments, change):
    receipt = side.learner.submit(replace(segments[0], **change))
    assert receipt.reason == "stale"
    assert side.service.counters()["lag/stale_segments"] == 1
    assert side.service.gather(0.0) is None
    assert hand_in(side, segments[0]).reason == ""


def test_a_segment_of_the_wrong_width_is_refused_by_the_fields_name(side, segments):
    wrong = replace(segments[0], state=segments[0].state[..., :-1].contiguous())
    with pytest.raises(InvalidFieldError, match=r"^state: shape"):
        side.learner.submit(wrong)
    assert hand_in(side, segments[0]).reason == ""


@pytest.mark.parametrize("name", ["state", "action", "log_prob", "reward", "penalty"])
def test_a_segment_with_what_is_no_number_is_refused_by_place(side, segments, name):
    value = getattr(segments[0], name).clone()
    value.view(-1)[-1] = math.nan
    with pytest.raises(InvalidFieldError, match=rf"^{name}: {name}\[.*nan, need finite"):
        side.learner.submit(replace(segments[0], **{name: value}))
    assert side.service.gather(0.0) is None


def test_once_finished_it_sends_workers_home(side, segments):
    assert not side.learner.assign("w0", 0, 0.0).stop
    side.service.finish()
    assert side.learner.assign("a", 0, 5.0).stop
    assert side.learner.submit(segments[0]).stop


def test_swapped_addresses_say_which_service_answers(side, model):
    if isinstance(side.learner, LearnerClient):
        with serving(model) as (_, address):
            swapped = LearnerClient(address)
            words = r"here answers moma_core\.pb\.Dynamics, not .*Learner/Describe; .*swapped"
            with pytest.raises(ValueError, match=words):
                swapped.describe()
            swapped.close()
