"""The learner's port in-process: work handed out, segments checked, everyone told when to stop."""

import math
import time
from contextvars import copy_context
from dataclasses import replace
from threading import Thread

import pytest
import torch

from learner.service import LearnerService
from learner.starts import drawing
from moma_core.config import RolloutConfig
from moma_core.datasets import StartSampler
from moma_core.ports import CALLER, BusyError, InvalidFieldError, Learner, UnavailableError
from tests.builders import (
    DIGEST,
    SPEC,
    make_config,
    make_ppo,
    make_trajectory,
    model_card,
    run_card,
    same_history,
)

CONFIG = make_config(rollout=RolloutConfig(rows=12, horizon=4))
HALF = 6
"""Rollouts that each of two workers makes."""


class Clock:
    """Seconds that only the test moves."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def snapshot():
    return make_ppo(CONFIG).snapshot()


@pytest.fixture
def service(dataset, clock, snapshot):
    """A service whose first round is open."""
    made = make_service(dataset, clock)
    made.publish(snapshot)
    return made


def make_service(dataset, clock, seed=9):
    starts = StartSampler(dataset, CONFIG.actor.history, 1.0)
    made = LearnerService(run_card(CONFIG), drawing(starts, seed), clock=clock)
    for worker in "ab":
        made.assign(worker, 0, 0.0)  # both have been heard of: a round is cut for two
    return made


def segment(half=0, **fields):
    return make_trajectory(CONFIG, **{"rows": HALF, "first": half * HALF, **fields})


def handed(service, half=0, **fields):
    """A segment that begins where its worker was told to; both halves of the round are leased."""
    given = [service.assign(worker, 0, 0.0) for worker in "ab"]
    assert [one.first for one in given] == [0, HALF]
    starts = given[half].starts
    begun = {"history": starts.history, "age": starts.age, "worker": "ab"[half]}
    made = segment(half, **{**begun, **fields})
    made.state[0] = starts.state
    return made


def test_it_is_a_learner_and_describes_the_run(service):
    assert isinstance(service, Learner)
    assert service.describe() == run_card(CONFIG)


def test_before_the_first_policy_there_is_nothing_to_make(dataset, clock):
    service = make_service(dataset, clock)
    assignment = service.assign("w", 0, 0.0)
    assert (assignment.first, assignment.starts, assignment.stop) == (-1, None, False)
    with pytest.raises(UnavailableError, match="no policy has been published yet"):
        service.fetch_policy()


def test_an_assignment_holds_all_that_a_segment_needs(service):
    assignment = service.assign("a", 0, 0.0)
    assert (assignment.policy_version, assignment.epoch, assignment.first) == (0, 0, 0)
    assert assignment.starts.state.shape == (6, 5)
    assert assignment.starts.history.frames.shape == (6, 2, 2, 5)
    assert not assignment.stop


def test_a_segment_has_the_same_seed_and_starts_whoever_asks(dataset, clock, service, snapshot):
    first = service.assign("a", 0, 0.0)
    clock.now = CONFIG.rollout.lease_s
    again = service.assign("b", 3, 0.0)
    fresh = make_service(dataset, clock)
    fresh.publish(snapshot)
    third = fresh.assign("a", 0, 0.0)
    for other in (again, third):
        assert other.first == first.first
        assert torch.equal(other.starts.seed, first.starts.seed)
        assert torch.equal(other.starts.state, first.starts.state)
        assert same_history(other.starts.history, first.starts.history)
    assert service.counters()["fault/reissued_segments"] == 1


def test_rollouts_and_runs_have_seeds_of_their_own(dataset, clock, service, snapshot):
    first, second = (service.assign(worker, 0, 0.0) for worker in "ab")
    assert (first.first, second.first) == (0, HALF)
    assert len(torch.cat([first.starts.seed, second.starts.seed]).unique()) == 2 * HALF
    assert not torch.equal(first.starts.state, second.starts.state)
    elsewhere = make_service(dataset, clock, seed=10)
    elsewhere.publish(snapshot)
    assert not torch.equal(elsewhere.assign("a", 0, 0.0).starts.seed, first.starts.seed)


def test_with_all_leased_a_worker_is_sent_away_without_work(service):
    for worker in "ab":
        service.assign(worker, 0, 0.0)
    assignment = service.assign("c", 0, 0.0)
    assert (assignment.first, assignment.starts, assignment.stop) == (-1, None, False)


def waiting(call):
    """Runs a call that waits in a thread; returns the thread and where its answer will be."""
    answers = []
    thread = Thread(target=lambda: answers.append(call()), daemon=True)
    thread.start()
    return thread, answers


def test_a_waiting_worker_is_woken_by_the_next_round(service, snapshot):
    for worker in "ab":
        service.assign(worker, 0, 0.0)
    thread, answers = waiting(lambda: service.assign("c", 0, 60.0))
    service.publish(replace(snapshot, version=1))
    thread.join(10)
    assert answers[0].first == 2 * HALF
    assert answers[0].policy_version == 1


def test_a_waiting_worker_is_told_to_stop(service):
    for worker in "ab":
        service.assign(worker, 0, 0.0)
    made = handed(service)
    thread, answers = waiting(lambda: service.assign("c", 0, 60.0))
    service.finish()
    thread.join(10)
    assert answers[0].stop
    assert answers[0].starts is None
    assert service.assign("a", 0, 0.0).stop
    assert service.submit(made).stop


def test_the_policy_that_is_fetched_is_the_published_one(service, snapshot):
    fetched = service.fetch_policy()
    assert fetched.version == 0
    assert all(torch.equal(fetched.parameters[k], v) for k, v in snapshot.parameters.items())


def test_segments_are_taken_counted_and_gathered_in_order(service):
    assert service.gather(0.0) is None
    first, second = handed(service), handed(service, 1)
    receipt = service.submit(second)
    assert (receipt.reason, receipt.version) == ("", 0)
    again = service.submit(second)
    assert again.reason == "duplicate"
    stale = service.submit(segment(policy_version=5))
    assert stale.reason == "stale"
    assert service.gather(0.0) is None
    assert "a (6 since 0 s)" in service.waiting_for()
    service.submit(first)
    assert [t.first for t in service.gather(0.0)] == [0, HALF]
    counters = service.counters()
    assert counters["lag/stale_segments"] == 1
    assert counters["fault/duplicate_segments"] == 1


BAD = [
    ("reward", lambda x: x.index_fill(1, torch.tensor([2]), math.nan), r"reward\[0, 2\] is nan"),
    ("reward", lambda x: x * math.inf, "need finite"),
    ("state", lambda x: x * math.nan, "need finite"),
    ("log_prob", lambda x: x - math.inf, "need finite"),
    ("penalty", lambda x: x.log() * 0 + math.nan, "need finite"),
    ("action", lambda x: x[:, :3], "shape"),
    ("history", lambda x: replace(x, frames=x.frames[:, :1]), "shape"),
    (
        "history",
        lambda x: replace(x, exists=x.exists.new_tensor([True, False]).expand(6, 2)),
        "missing",
    ),
    ("history", lambda _: None, "is missing"),
    ("valid", lambda x: x & False, "no step is valid"),
    ("age", lambda x: x - 1, r"age\[0\] is -1, need 0 to 7"),
    ("age", lambda x: x + SPEC.episode_limit, r"age\[0\] is 8, need 0 to 7"),
    ("age", lambda x: x.float(), "dtype"),
    ("age", lambda x: x[1:], "shape"),
    ("unsure", lambda x: ~x, "is not truncated"),
]


@pytest.mark.parametrize(("field", "spoil", "words"), BAD)
def test_a_bad_segment_is_refused_by_field_and_fills_no_place(service, field, spoil, words):
    good = handed(service)
    bad = {**vars(good), field: spoil(getattr(good, field))}
    spoiled = object.__new__(type(good))  # as from the wire: nobody checked the shapes
    vars(spoiled).update(bad)
    with pytest.raises(InvalidFieldError, match=rf"^{field}\S*: .*{words}"):
        service.submit(spoiled)
    assert service.submit(good).reason == ""


def test_a_rollout_that_outlives_its_episode_is_refused(service):
    begun = torch.full((6,), SPEC.episode_limit - 3)
    made = handed(service)
    with pytest.raises(InvalidFieldError, match="valid: a rollout goes on after its episode's 8"):
        service.submit(segment(age=begun))
    # Negative control: one step younger it ends with its episode.
    with pytest.raises(InvalidFieldError, match="age: the rollouts do not begin where they were"):
        service.submit(replace(made, age=begun - 1))


def test_unsure_ends_are_truncated_ones(service):
    made = handed(service)
    assert service.submit(replace(made, unsure=made.truncated)).reason == ""


def test_too_many_steps_are_refused(service):
    with pytest.raises(InvalidFieldError, match="reward: 5 steps, need 1 to 4"):
        service.submit(segment(steps=5))


def test_workers_are_alive_while_they_are_heard_of_and_restarts_are_counted(service, clock):
    service.assign("a", 0, 0.0)
    service.assign("b", 0, 0.0)
    assert service.counters()["charts/workers_alive"] == 2
    clock.now = 29.0
    service.assign("b", 2, 0.0)
    clock.now = 31.0
    counters = service.counters()
    assert counters["charts/workers_alive"] == 1
    assert counters["fault/worker_restarts"] == 2


def test_who_is_busy_for_long_still_has_a_share_of_the_next_piece(dataset, clock, snapshot):
    for lease_s, rollouts in ((100.0, 6), (5.0, 12)):
        clock.now = 0.0
        starts = StartSampler(dataset, CONFIG.actor.history, 0.5)
        slow = replace(CONFIG, rollout=replace(CONFIG.rollout, lease_s=lease_s, lag=1))
        service = LearnerService(run_card(slow), drawing(starts, 9), clock=clock)
        for worker in "ab":
            service.assign(worker, 0, 0.0)
        service.publish(snapshot)
        service.assign("a", 0, 0.0)
        clock.now = 31.0  # nobody has heard of it since
        assert len(service.assign("b", 0, 0.0).starts.seed) == rollouts


def test_of_each_worker_its_version_its_rate_and_what_it_is_at_are_known(service, clock):
    given = service.assign("a", 0, 0.0).starts
    clock.now = 2.0
    made = segment(worker="a", history=given.history, age=given.age)
    made.state[0] = given.state
    service.submit(made)
    clock.now = 3.0
    a, b = service.roles()
    assert (a.name, a.version, a.rate, a.seen_s) == ("a", "0", int(made.valid.sum()) / 2, 1.0)
    assert (a.doing, b.doing, b.version) == ("", "waits for work since 3 s", "")
    service.assign("a", 0, 0.0)
    clock.now = 7.0
    assert service.roles()[0].doing == "imagines since 4 s"
    clock.now = 60.0
    assert [role.doing for role in service.roles()] == ["imagines since 57 s", "gone"]


def test_a_learner_that_ends_waits_for_those_who_work_to_hear_of_it(service, clock):
    made = handed_to(service, "a")
    clock.now = 20.0  # b has not been heard of for long; a works
    service.finish()
    assert not service._roster.all_told(clock.now)
    assert service.submit(made).stop
    assert service._roster.all_told(clock.now)
    service.farewell(60.0)


MODEL = replace(model_card(), low=(-3.0,) * 6, high=(3.0,) * 6)
"""A model whose answers lie between -3 and 3."""


@pytest.fixture
def strict(dataset, clock, snapshot):
    """A service that knows its model."""
    starts = StartSampler(dataset, CONFIG.actor.history, 1.0)
    made = LearnerService(run_card(CONFIG), drawing(starts, 9), model=MODEL, clock=clock)
    for worker in "ab":
        made.assign(worker, 0, 0.0)
    made.publish(snapshot)
    return made


def honest(service):
    """A segment as the model would have answered it."""
    made = handed(service, model=DIGEST)
    state = made.state.clone()
    state[1:] = state[1:].clamp(-2.9, 2.9)
    return replace(made, state=state, reward=made.reward.clamp(-2.9, 2.9))


def at(tensor, place, value):
    """A copy with one number changed."""
    copy = tensor.clone()
    copy[place] = value
    return copy


FORGED = {
    f"{name} {value:g}": (name, lambda x, v=value: at(x, (2, 1) + (0,) * (x.dim() - 2), v))
    for name in ("state", "reward")
    for value in (3.1, -3.1, 10.0, -1e3, 1e6, -1e6, 1e30, -1e30, 3e38, -3e38)
} | {
    "another start": ("state", lambda x: at(x, (0, 0, 0), 0.123)),
    "all starts": ("state", lambda x: at(x, 0, 0.0)),
    "a start in the model's range": ("state", lambda x: at(x, 0, 1.0)),
    "another age": ("age", lambda x: at(x, 0, 3)),
    "another past": ("history", lambda x: replace(x, frames=x.frames + 1)),
    "an invented past": ("history", lambda x: replace(x, exists=x.exists | True)),
    "another worker": ("worker", lambda _: "b"),
    "a stranger": ("worker", lambda _: "stranger"),
    "another incarnation": ("incarnation", lambda _: 1),
    "part of a piece": ("first", lambda _: 1),
    "rollouts of another": ("first", lambda _: HALF),
    "another model": ("model", lambda _: "f" * 64),
    "no model": ("model", lambda _: ""),
    "a reward for its penalty": ("penalty", lambda x: x - 1.0),
    **{
        f"metric {name}": ("metrics", lambda _, n=name: {n: 1.0})
        for name in (
            "eval/score", "eval/return", "final/score", "fault/resumes", "charts/SPS", "lag/max",
            "losses/policy", "rollout/else", "rollout/outside/nothing", "perf/update_s", "",
            "\x1b[2J", "rollout/return ", "estimate/return", "model_server/rows", "charts/round",
            "x" * 500,
        )
    },
}  # fmt: skip
"""What a well-formed segment may be that nobody handed out or no model answered."""


def test_there_are_many_ways_to_forge_a_segment():
    assert len(FORGED) >= 50


@pytest.mark.reliability(17, "validation_matrix")
@pytest.mark.parametrize("which", FORGED)
def test_a_forged_segment_is_refused_and_an_honest_one_taken(strict, which):
    """A well-formed segment that nobody handed out, or no model answered.

    Symptom: `fault/refused_segments` rises, and a worker's log says which field was refused.
    Cause: A worker of another run or version, or somebody who makes segments up.
    What we do: It is refused by field and never trained on.
    What you do: Find out who sends it: its name is in the learner's log; beyond loopback,
    replace the run's tokens.
    """
    good = honest(strict)
    name, forge = FORGED[which]
    with pytest.raises(InvalidFieldError):
        strict.submit(replace(good, **{name: forge(getattr(good, name))}))
    assert strict.counters()["charts/workers_alive"] == 2
    assert strict.gather(0.0) is None
    # Negative control: the same segment unchanged.
    assert strict.submit(good).reason == ""


@pytest.mark.reliability(21, "overload")
def test_who_only_asks_under_ever_new_names_does_not_stop_those_who_deliver(
    dataset, clock, snapshot
):
    """Somebody asks for work and never delivers.

    Symptom: Rounds take somewhat longer; `fault/reissued_segments` rises.
    Cause: A client that only asks, or workers that die before they deliver.
    What we do: Those who have delivered come first; a newcomer is tried once a round, ever more
    seldom.
    What you do: End the client; beyond loopback, replace the run's tokens.
    """
    service = make_service(dataset, clock)
    service.publish(snapshot)
    for half in (0, 1):
        clock.now += 1.0
        service.submit(handed_to(service, "ab"[half]))
    names = iter(range(10**6))
    for version in range(1, 41):
        service.publish(replace(snapshot, version=version))
        while service.gather(0.0) is None:
            for _ in range(20):
                clock.now += 0.05
                for _ in range(5):
                    service.assign(f"bogus{next(names)}", 0, 0.0)
            for worker in "ab":  # a second for a piece
                if (made := handed_to(service, worker)) is not None:
                    service.submit(made)
    assert clock.now < 1.3 * 42  # alone it is a second a round
    assert service.counters()["charts/workers_alive"] == 2


def handed_to(service, worker):
    """The segment that a worker would make of what it is handed out now; None: nothing."""
    given = service.assign(worker, 0, 0.0)
    if given.starts is None:
        return None
    rows, starts = len(given.starts.age), given.starts
    made = make_trajectory(
        CONFIG, rows=rows, first=given.first, worker=worker, history=starts.history,
        age=starts.age, policy_version=given.policy_version,
    )  # fmt: skip
    made.state[0] = starts.state
    return made


def test_calls_that_wait_have_room_of_their_own(service):
    for worker in "ab":
        service.assign(worker, 0, 0.0)
    token = CALLER.set("ipv4:127.0.0.1:7")
    try:
        calls = [waiting_as(service, f"x{number}") for number in range(16)]
        until_waiting(service, 16)
        with pytest.raises(BusyError, match="16 calls wait for rollouts already"):
            service.assign("x16", 0, 60.0)
        assert service.assign("x16", 0, 0.0).first == -1  # who does not wait needs no room
    finally:
        CALLER.reset(token)
    service.finish()
    for thread, answers in calls:
        thread.join(10)
        assert answers[0].stop


def waiting_as(service, name):
    """A call that waits over the connection of whoever starts it."""
    context = copy_context()
    return waiting(lambda: context.run(service.assign, name, 0, 60.0))


def until_waiting(service, count):
    end = time.monotonic() + 10
    while len(service._waiting.waiting()) < count:
        assert time.monotonic() < end
        time.sleep(0.01)
