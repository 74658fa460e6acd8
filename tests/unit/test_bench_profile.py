"""Where a round's time goes: what torch.profiler noted of each process, and what it adds up to."""

import threading
import time

import pytest
import torch
from torch import nn

from benchmarks.speed import page, profile, trace, traced
from benchmarks.speed.trace import BACKWARD, LOSSES, OPTIMISER, UPDATE, Span, Trace

ACTORS, CRITIC, MODEL = "forward Actors", "forward Critic", "forward Ensemble"


def learner():
    """Updates from 0 to 1, 3 to 5 and 7 to 9, the first one slower than its rows."""
    spans = []
    for begin, end in ((0, 1), (3, 5), (7, 9)):
        spans.append(Span(kind=UPDATE, begin=begin, end=end))
        if begin:
            spans += [
                Span(kind=CRITIC, begin=begin, end=begin + 0.1),  # values of all rows
                Span(kind=ACTORS, begin=begin + 0.3, end=begin + 0.5, recorded=True),
                Span(kind=CRITIC, begin=begin + 0.6, end=begin + 0.7, recorded=True),
                Span(kind=BACKWARD, begin=begin + 0.8, end=begin + 1.0),
                Span(kind=BACKWARD, begin=begin + 1.1, end=begin + 1.4),
                Span(kind=OPTIMISER, begin=begin + 1.5, end=begin + 1.6),
            ]
    return Trace(role="learner", spans=tuple(spans), operators=((3, 5), (7, 9)))


def server():
    """Calls of 0.5 s in both rollout phases, and one that began before the first of them.

    Other operators run for 0.125 s before the two whole calls.
    """
    begins = (0.75, 1.5, 5.5)
    return Trace(
        role="model_server",
        spans=tuple(Span(kind=MODEL, begin=begin, end=begin + 0.5) for begin in begins),
        operators=((1.375, 1.9), (5.375, 5.9)),
    )


def worker():
    """Its calls overlap the server's by 0.25 s."""
    spans = [Span(kind=ACTORS, begin=begin, end=begin + 0.5) for begin in (1.75, 5.75)]
    return Trace(role="rollout_workers", spans=tuple(spans), operators=())


def test_phases_passes_and_the_rest_add_up():
    found = profile.profile("unit", "tiny", [learner(), server(), worker()], 1)
    assert found.rounds == 2
    assert found.update == pytest.approx(
        {CRITIC: 0.2, ACTORS: 0.2, LOSSES: 0.2, BACKWARD: 0.6, OPTIMISER: 0.1, "other": 0.7}
    )
    assert (found.rollout, found.round) == pytest.approx((2.0, 4.0))
    # 1 to 1.25 of the early call, then 1.5 to 2.25; in the other round 5.5 to 6.25.
    assert found.rollout_forward == pytest.approx((0.25 + 0.75 + 0.75) / 2)
    assert found.rollout_operators == pytest.approx(found.rollout_forward + 0.125)
    assert found.share == pytest.approx((0.2 + 0.2 + 0.2 + 0.6 + found.rollout_forward) / 4)


def test_each_process_has_its_forward_passes_and_its_other_operators():
    found = profile.profile("unit", "tiny", [learner(), server(), worker()], 1)
    by_role = {busy.role: (busy.forward, busy.operators) for busy in found.busy}
    assert by_role["learner"] == (0, 0)  # its operators lie in the updates
    assert by_role["model_server"] == pytest.approx(((0.25 + 0.5 + 0.5) / 2, 0.125))
    assert by_role["rollout_workers"] == pytest.approx((0.5, 0))


def test_one_process_alone_has_its_rollout_phase_split_too():
    spans = sorted((*learner().spans, *server().spans[1:]), key=lambda span: span.begin)
    alone = Trace(role="all", spans=tuple(spans), operators=())
    found = profile.profile("unit", "tiny", [alone], 1)
    assert found.rollout_alone == pytest.approx({MODEL: 0.5, "other": 1.5})


def test_a_run_that_is_too_short_is_refused():
    with pytest.raises(ValueError, match="no round is left"):
        profile.profile("unit", "tiny", [learner()], 3)


def test_every_line_of_a_profile_has_its_words():
    text = page.text([profile.profile("unit", "tiny", [learner(), server(), worker()], 1)])
    assert "profile of unit, tiny: means over 2 rounds" in text
    assert "backward: losses and networks" in text
    assert "passes run for 0.52 of the wall time" in text
    (plain,) = page.plain([profile.profile("unit", "tiny", [learner()], 1)])
    assert plain["forward_or_backward_share"] == pytest.approx(1.2 / 4)


class Net(nn.Module):
    """A network with layers of its own, which are no networks beside it."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))

    def forward(self, x):
        return self.layers(x)


class Broken(nn.Module):
    """A network whose call fails."""

    def forward(self, x):
        raise ValueError(x)


@pytest.fixture(scope="module")
def noted(tmp_path_factory):
    """What was read of a process with two threads, an update in one of them."""
    directory, net = tmp_path_factory.mktemp("noted") / "traces", Net()
    optimiser = torch.optim.Adam(net.parameters())

    def imagine():
        with torch.inference_mode():
            net(torch.ones(8, 4))

    with traced.noting(directory / "learner-7.json"):
        thread = threading.Thread(target=imagine)
        thread.start()
        thread.join()
        with pytest.raises(ValueError, match="1"):
            Broken()(1)
        with torch.profiler.record_function("update"):
            net(torch.ones(8, 4)).mean().backward()
            optimiser.step()
    net(torch.ones(8, 4))
    (only,) = trace.read(directory)
    return only


def test_networks_backward_passes_and_steps_are_noted_in_every_thread(noted):
    assert noted.role == "learner"
    kinds = [span.kind for span in noted.spans]
    assert [kind for kind in kinds if kind != BACKWARD] == [
        "forward Net", "forward Broken", UPDATE, "forward Net", OPTIMISER,
    ]  # fmt: skip
    assert [s.recorded for s in noted.spans if s.kind == "forward Net"] == [False, True]
    assert kinds.count(BACKWARD) >= 3
    update = next(span for span in noted.spans if span.kind == UPDATE)
    inside = [span for span in noted.spans if span.begin > update.begin]
    assert max(span.end for span in inside) <= update.end


def test_operators_are_noted_as_one_stretch_where_they_lie_in_each_other(noted):
    ends = [end for _, end in noted.operators]
    begins = [begin for begin, _ in noted.operators]
    assert all(end < begin for end, begin in zip(ends, begins[1:], strict=False))
    assert len(begins) > 1


def test_times_are_those_of_the_clock_that_processes_share(tmp_path):
    before = time.time()
    with traced.noting(tmp_path / "x-1.json"):
        Net()(torch.ones(8, 4))
    after = time.time()
    (only,) = trace.read(tmp_path)
    assert before - 0.01 < only.spans[0].begin < only.spans[0].end < after + 0.01
