"""Rollouts that go on where the horizon cut them, and true starts that threads draw at once."""

import math
import threading
import time
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from learner import build, checkpoint
from learner.checkpoint import Counters
from learner.starts import CarriedStarts, Starts, TrueStarts, drawing, rollout_seeds
from moma_core import seeds, tasks
from moma_core.config import RolloutConfig
from moma_core.nets.policy import Actors
from moma_core.types import History, StartStates
from rollout_workers.rollout import Identity, rollout
from tests.builders import (
    FRAME,
    SPEC,
    FakeDynamics,
    as_history,
    believing,
    make_config,
    make_ppo,
    make_starts,
    make_trajectory,
)

ROWS, HORIZON, FRAMES = 5, 3, 4
CONFIG = make_config(rollout=RolloutConfig(rows=2 * ROWS, horizon=HORIZON, carry=True))
CONFIG = replace(CONFIG, actor=replace(CONFIG.actor, frames=FRAMES))
TAPE = torch.randn(2 * HORIZON, ROWS, 2, 2, generator=torch.Generator().manual_seed(0))


class Certain(FakeDynamics):
    """The small system without its draws."""

    def predict(self, query):
        return super().predict(replace(query, seed=torch.zeros_like(query.seed)))


class Fresh:
    """Start states that a reader can tell: 100 and the seed's last digit, -1 in the memory."""

    def __init__(self):
        self.counts = []

    def draw(self, seed):
        count = len(seed)
        self.counts.append(count)
        state = 100.0 + (seed % 10)[:, None].expand(count, SPEC.state_width)
        return StartStates(
            state=state,
            history=as_history(torch.full((count, 2, FRAMES, FRAME), -1.0)),
            age=torch.zeros(count, dtype=torch.int64),
            seed=seed,
        )


class Noise:
    """In place of a distribution: the noise of given steps instead of drawn noise."""

    def __init__(self, steps):
        self._steps = steps

    def noise(self, uniform):
        return self._steps.expand(uniform.shape)


def imagine(starts, begin, end, *, system=None):
    """A segment with the tape's noise of steps `begin` to `end`."""
    actors = Actors(SPEC, CONFIG.actor, seed=4)
    actors.standardise(torch.full((2, 3), 0.1), torch.full((2, 3), 1.5))
    with torch.no_grad():
        actors.head.weight.mul_(100)  # so that what they see and remember shows in what they do
    actors.distribution = Noise(TAPE[begin:end])
    config = replace(CONFIG, rollout=replace(CONFIG.rollout, horizon=end - begin))
    who = Identity(policy_version=0, epoch=0, worker="w", incarnation=0, first=0)
    system = system or Certain(terminal_above=math.inf)
    return rollout(actors, system, starts, *believing(config, math.inf), who)


def carried(fresh=None):
    return CarriedStarts(fresh or Fresh(), SPEC, CONFIG.rollout, FRAMES, 0)


FIRST, SECOND = range(ROWS), range(ROWS, 2 * ROWS)
"""The two halves of a round, which two workers make."""


def segment(**fields):
    return make_trajectory(CONFIG, rows=ROWS, **fields)


def told(rollouts):
    """What `Fresh` says of some rollouts' starts."""
    return 100.0 + rollout_seeds(0, rollouts) % 10


def differing(one, other, rows=None):
    """Names of tensors in which the second half of one differs from the other."""
    names = ("state", "action", "log_prob", "reward", "terminated", "valid")
    rows = torch.arange(ROWS) if rows is None else rows
    return [
        name
        for name in names
        if not torch.equal(getattr(one, name)[HORIZON:][:, rows], getattr(other, name)[:, rows])
    ]


def test_two_segments_of_h_are_one_of_2h():
    start = make_starts(ROWS, FRAMES)
    long = imagine(start, 0, 2 * HORIZON)
    starts = carried()
    starts.take([imagine(start, 0, HORIZON)])
    second = imagine(starts.draw(FIRST), HORIZON, 2 * HORIZON)
    assert differing(long, second) == []
    assert second.truncated[-1].all()
    # Negative controls: without its memory it acts otherwise, and so it does elsewhere.
    remembered = starts.draw(FIRST)
    forgot = replace(remembered, history=History.none(ROWS, 2, FRAMES, FRAME))
    assert "action" in differing(long, imagine(forgot, HORIZON, 2 * HORIZON))
    moved = replace(remembered, state=remembered.state + 0.01)
    assert "action" in differing(long, imagine(moved, HORIZON, 2 * HORIZON))


def test_rows_that_ended_begin_anew_and_the_others_go_on():
    start = make_starts(ROWS, FRAMES)
    tops = imagine(start, 0, 2 * HORIZON).state[1 : HORIZON + 1, :, 0].amax(0)
    system = Certain(terminal_above=float(tops.median()))
    first = imagine(start, 0, HORIZON, system=system)
    ended = ~first.truncated[-1]
    assert 0 < ended.sum() < ROWS
    fresh = Fresh()
    starts = carried(fresh)
    starts.take([first])
    drawn = starts.draw(FIRST)
    assert fresh.counts == [int(ended.sum())]
    assert torch.equal(drawn.state[ended, 0], told(FIRST)[ended])
    assert (drawn.history.frames[ended] == -1).all()
    long = imagine(start, 0, 2 * HORIZON, system=system)
    second = imagine(drawn, HORIZON, 2 * HORIZON, system=system)
    assert differing(long, second, (~ended).nonzero().flatten()) == []


def test_at_first_all_rows_are_fresh():
    fresh = Fresh()
    starts = carried(fresh)
    assert isinstance(fresh, Starts)
    assert torch.equal(starts.draw(SECOND).state[:, 0], told(SECOND))
    assert fresh.counts == [ROWS]


def test_a_segment_in_which_all_ended_before_the_horizon_leaves_nothing_to_go_on_with():
    starts = carried(fresh := Fresh())
    starts.take([segment()])
    starts.draw(FIRST)
    assert fresh.counts == []
    starts.take([segment(steps=HORIZON - 1)])
    starts.draw(FIRST)
    assert fresh.counts == [ROWS]


def test_a_rollout_is_as_long_as_an_episode_at_most():
    # Segments of 3 steps, episodes of 8: after 3 and 6 steps it goes on, after 9 it does not.
    starts, counts = carried(fresh := Fresh()), []
    age = torch.zeros(ROWS, dtype=torch.int64)
    for round_ in range(6):
        starts.take([segment(first=2 * ROWS * round_, age=age)])
        age = starts.draw(FIRST).age
        counts.append(sum(fresh.counts))
    assert SPEC.episode_limit == 8
    assert counts == [0, 0, ROWS, ROWS, ROWS, 2 * ROWS]


def test_rollouts_go_on_each_for_itself_and_one_that_is_missing_stays_as_it_was():
    starts = carried()
    first, second = (segment(seed=k, first=k * ROWS) for k in (0, 1))
    starts.take([second, first])
    for half, made in ((FIRST, first), (SECOND, second)):
        assert torch.equal(starts.draw(half).state, made.state[-1])
    # However the next round is cut.
    across = starts.draw(range(2 * ROWS + 3, 4 * ROWS - 1)).state
    assert torch.equal(across, torch.cat([first.state[-1], second.state[-1]])[3:-1])
    # The next round closed without its second half.
    third = segment(seed=2, first=2 * ROWS, age=starts.draw(FIRST).age)
    starts.take([third])
    assert torch.equal(starts.draw(FIRST).state, third.state[-1])
    assert torch.equal(starts.draw(SECOND).state, second.state[-1])
    assert starts.age.tolist() == [2 * HORIZON] * ROWS + [HORIZON] * ROWS


def test_drawing_changes_nothing_so_that_a_segment_can_be_handed_out_again():
    starts = carried()
    starts.take([segment()])
    drawn = starts.draw(FIRST)
    drawn.state.add_(1)
    drawn.history.frames.add_(1)
    again = starts.draw(FIRST)
    assert torch.equal(again.state + 1, drawn.state)
    assert torch.equal(again.history.frames + 1, drawn.history.frames)


def test_what_is_carried_is_part_of_a_checkpoint(tmp_path):
    ppo = make_ppo(CONFIG)
    starts, found = carried(), carried()
    starts.take([segment()])
    counters = Counters(version=0, transitions=0, resumes=0, seconds=0.0)
    checkpoint.save(tmp_path, ppo.state() | starts.kept(), counters)
    assert build.restore(ppo, found, tmp_path) == replace(counters, resumes=1)
    for name, value in starts.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name
    wider = CarriedStarts(Fresh(), SPEC, replace(CONFIG.rollout, rows=ROWS + 1), FRAMES, 0)
    with pytest.raises(
        ValueError, match=r"other settings: carried\.state is \[10, 5, torch\.float32\]"
    ):
        build.restore(ppo, wider, tmp_path)


def test_a_checkpoint_without_them_cannot_be_gone_on_with(tmp_path):
    ppo = make_ppo(CONFIG)
    counters = Counters(version=0, transitions=0, resumes=0, seconds=0.0)
    checkpoint.save(tmp_path, ppo.state(), counters)
    with pytest.raises(ValueError, match=r"carried\.state is nothing"):
        build.restore(ppo, carried(), tmp_path)


def test_a_rollout_has_a_start_of_its_own_however_the_round_is_cut():
    draw = drawing(Fresh(), 0)
    whole = draw(range(2 * ROWS)).state[:, 0]
    assert torch.equal(whole, told(range(2 * ROWS)))
    assert torch.equal(torch.cat([draw(part).state[:, 0] for part in (FIRST, SECOND)]), whole)
    assert len(whole.unique()) > 1


class Slow:
    """One true system: what it returns is what it was last reset to, a moment later."""

    def __init__(self):
        self._seed = 0

    def reset(self, seed):
        self._seed = seed
        time.sleep(2e-4)
        return torch.full((1, SPEC.state_width), float(self._seed % 100_003))

    def step(self, action): ...


def drawn_at_once(starts):
    """Four threads draw at the same time, each with its own seed."""
    found, threads = {}, []
    barrier = threading.Barrier(4)

    def draw(seed):
        barrier.wait()
        found[seed] = starts.draw(seeds.rows(seed, 20)).state

    for seed in range(4):
        threads.append(threading.Thread(target=draw, args=(seed,)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return [found[seed] for seed in range(4)]


def test_true_starts_that_threads_draw_at_once_are_those_drawn_one_after_the_other():
    starts = TrueStarts(Slow(), SPEC, FRAMES)
    serial = [starts.draw(seeds.rows(seed, 20)).state for seed in range(4)]
    assert all(torch.equal(a, b) for a, b in zip(serial, drawn_at_once(starts), strict=True))
    # Negative control: without turns one thread reads what another one reset.
    starts._one_at_a_time = nullcontext()
    assert not all(torch.equal(a, b) for a, b in zip(serial, drawn_at_once(starts), strict=True))


def test_true_starts_are_the_true_systems_and_remember_nothing():
    task = tasks.get("hopper-3x1")
    starts = TrueStarts(task.environment(1), task.spec, 3)
    drawn = starts.draw(torch.arange(4))
    frame = task.spec.observation_width + task.spec.action_width
    assert drawn.history.frames.shape == (4, 3, 3, frame)
    assert not drawn.history.exists.any()
    alone = task.environment(1)
    for row in range(4):
        assert torch.equal(drawn.state[row], alone.reset(seeds.derive(row))[0])
    assert torch.equal(starts.draw(torch.arange(1, 3)).state, drawn.state[1:3])
    assert not torch.equal(starts.draw(torch.arange(4, 8)).state, drawn.state)
