"""Where a round's time goes: spans of calls, and what they add up to."""

import threading
import types

import pytest
import torch

from benchmarks.speed import page, spots, trace
from benchmarks.speed.profile import profile
from benchmarks.speed.trace import Recorder, Span, Spot, Trace


def span(kind, begin, end, own=None, used=0.0, thread=0.0):
    """A call that used `used` processor seconds while it ran, from second `begin` on."""
    return Span(
        kind=kind,
        begin=begin,
        end=end,
        own=end - begin if own is None else own,
        used_begin=begin / 2,
        used_end=begin / 2 + used,
        thread=thread,
    )


def learner():
    """Updates from 0 to 1, 3 to 5 and 7 to 9, the first one slower than its rows."""
    spans = [span(spots.UPDATE, begin, end) for begin, end in ((0, 1), (3, 5), (7, 9))]
    for begin in (3, 7):
        spans += [
            span(spots.ROWS, begin, begin + 0.5, own=0.3),
            span(spots.CRITIC, begin + 0.1, begin + 0.3),
            span(spots.BACKWARD, begin + 1, begin + 1.7),
        ]
    return Trace(role="learner", threads=2, spans=tuple(spans))


def server():
    """Calls of 0.5 s in both rollout phases, and one that began before the first of them.

    Predictions begin 0.125 s before the two whole ones.
    """
    spans = [span(spots.MODEL, b, b + 0.5, used=0.25, thread=0.2) for b in (0.75, 1.5, 5.5)]
    spans += [span(spots.PREDICTING, b - 0.125, b + 0.5, own=0.125) for b in (1.5, 5.5)]
    return Trace(role="model_server", threads=1, spans=tuple(spans))


def worker():
    """Its calls overlap the server's by 0.25 s."""
    spans = [span(spots.ACTORS, begin, begin + 0.5, used=0.25) for begin in (1.75, 5.75)]
    return Trace(role="rollout_workers", threads=1, spans=tuple(spans))


def test_phases_passes_and_the_rest_add_up():
    found = profile("unit", "tiny", [learner(), server(), worker()], 1)
    assert found.rounds == 2
    assert found.update == pytest.approx(
        {spots.CRITIC: 0.2, spots.ROWS: 0.3, spots.BACKWARD: 0.7, "other": 0.8}
    )
    assert (found.rollout, found.round) == pytest.approx((2.0, 4.0))
    # 1 to 1.25 of the early call, then 1.5 to 2.25; in the other round 5.5 to 6.25.
    assert found.rollout_forward == pytest.approx((0.25 + 0.75 + 0.75) / 2)
    assert found.share == pytest.approx((0.2 + 0.7 + found.rollout_forward) / 4)
    assert found.rollout_predicted == pytest.approx(found.rollout_forward + 0.125)
    assert found.share_predicted == pytest.approx(found.share + 0.125 / 4)


def test_processor_time_is_split_into_forward_passes_and_the_rest():
    found = profile("unit", "tiny", [learner(), server(), worker()], 1)
    by_role = {busy.role: busy for busy in found.busy}
    assert by_role["model_server"].forward == pytest.approx(0.2)  # two whole calls, two rounds
    assert by_role["rollout_workers"].forward == 0.0
    assert all(busy.other > 0 for busy in found.busy)


def test_one_process_alone_has_its_rollout_phase_split_too():
    alone = Trace(role="all", threads=1, spans=learner().spans + server().spans)
    found = profile("unit", "tiny", [alone], 1)
    assert found.rollout_alone == pytest.approx(
        {spots.MODEL: 0.5, spots.PREDICTING: 0.125, "other": 1.375}
    )


def test_a_run_that_is_too_short_is_refused():
    with pytest.raises(ValueError, match="no round is left"):
        profile("unit", "tiny", [learner()], 3)


def test_every_line_of_a_profile_has_its_words():
    text = page.text([profile("unit", "tiny", [learner(), server(), worker()], 1)])
    assert "profile of unit, tiny: means over 2 rounds" in text
    assert "backward: the networks" in text
    assert "passes run for 0.44 of the wall time, predictions counted whole for 0.47" in text
    (plain,) = page.plain([profile("unit", "tiny", [learner()], 1)])
    assert plain["forward_or_backward_share"] == pytest.approx(0.9 / 4)


def machine_under_test():
    """A namespace with an outer function that calls an inner one by name."""
    place = types.SimpleNamespace()
    place.inner = lambda: sum(range(20_000))
    place.outer = lambda: place.inner() + place.inner()
    return place


def test_calls_are_noted_with_their_own_time_and_forgotten_afterwards():
    place, recorder = machine_under_test(), Recorder()
    before = dict(vars(place))
    watched = [Spot(owner=place, name=name, kind=name) for name in ("inner", "outer")]
    with recorder.watching(watched):
        threads = [threading.Thread(target=place.outer) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert vars(place) == before
    assert sorted(s.kind for s in recorder.spans) == ["inner"] * 4 + ["outer"] * 2
    inner = sum(s.end - s.begin for s in recorder.spans if s.kind == "inner")
    outer = [s for s in recorder.spans if s.kind == "outer"]
    assert sum(s.own for s in outer) == pytest.approx(
        sum(s.end - s.begin for s in outer) - inner, abs=1e-6
    )
    assert all(0 < s.thread <= s.used_end - s.used_begin + 1e-3 for s in recorder.spans)


def test_terms_of_the_loss_count_while_gradients_are_recorded():
    place, recorder = machine_under_test(), Recorder()
    with recorder.watching([Spot(owner=place, name="inner", kind="losses", learning=True)]):
        place.inner()
        with torch.no_grad():
            place.inner()
    assert len(recorder.spans) == 1


def test_a_trace_comes_back_from_its_file(tmp_path):
    trace.write(server(), tmp_path / "traces" / "server.json")
    assert trace.read(tmp_path / "traces") == [server()]


def test_every_spot_is_there_to_be_noted():
    with Recorder().watching(spots.spots()):
        pass
    kinds = {spot.kind for spot in spots.spots()}
    assert kinds >= {*spots.FORWARD, spots.LOSSES, spots.BACKWARD, spots.ROWS, spots.OPTIMISER}
    assert kinds - {spots.UPDATE, spots.ASKING} <= page.WORDS.keys()
