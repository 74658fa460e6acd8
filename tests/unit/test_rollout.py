"""Imagined segments against a plain loop over rows and steps."""

import math
from dataclasses import replace

import pytest
import torch

from moma_core import seeds
from moma_core.checks import check_query, check_trajectory
from moma_core.config import PessimismConfig, RolloutConfig
from moma_core.nets import draws
from moma_core.nets.policy import Actors
from moma_core.ports import InvalidFieldError, ModelChangedError
from rollout_workers import rollout as module
from rollout_workers.rollout import Identity, rollout
from tests.builders import SPEC, FakeDynamics, believing, make_config, make_query, make_starts

ROWS, HORIZON, CUT = 24, 6, 0.8
CONFIG = make_config(
    rollout=RolloutConfig(rows=ROWS, horizon=HORIZON),
    pessimism=PessimismConfig(disagreement=0.3, aleatoric=0.2, reward_disagreement=0.1, clamp=0.5),
)
WHO = Identity(policy_version=3, epoch=1, worker="w", incarnation=2, first=7)


def imagine(dynamics, *, config=CONFIG, seed=11, cut=CUT, starts=None):
    actors = Actors(SPEC, config.actor, seed=4)
    actors.standardise(torch.full((2, 3), 0.1), torch.full((2, 3), 1.5))
    starts = replace(starts or make_starts(ROWS, config.actor.history), seed=seeds.rows(seed, ROWS))
    return actors, rollout(actors, dynamics, starts, *believing(config, cut), WHO)


def drawn(step):
    """The draws of every row at a step, as `member_per` step has them."""
    return seeds.along(seeds.rows(11, ROWS), torch.full((ROWS,), step), draws._MEMBERS)


def slow_marks(segment, row):
    """Redoes one row from its actions, by the fake's rules and the definition of an end."""
    state, marks = segment.state[0, row], []
    for step in range(len(segment.reward)):
        action = SPEC.clamp(segment.action[step, row])
        seed = drawn(step)[row : row + 1]
        answer = FakeDynamics().predict(
            make_query(state=state[None], action=action[None], seed=seed)
        )
        terminated = bool(answer.terminated)
        doubted = bool(answer.disagreement > CUT) or step == HORIZON - 1
        doubts = ((0.3, answer.disagreement), (0.2, answer.aleatoric),
                  (0.1, answer.reward_disagreement))  # fmt: skip
        penalty = sum(weight * min(doubt.item(), 0.5) for weight, doubt in doubts)
        marks.append((terminated, doubted and not terminated, answer.reward.item() - penalty))
        state = answer.next_state[0]
        if terminated or doubted:
            break
    return marks


def test_marks_and_rewards_equal_a_plain_loop_over_rows():
    _, segment = imagine(FakeDynamics())
    kinds = set()
    for row in range(ROWS):
        marks = slow_marks(segment, row)
        length = len(marks)
        valid = [True] * length + [False] * (len(segment.valid) - length)
        assert segment.valid[:, row].tolist() == valid
        got = zip(
            segment.terminated[:length, row].tolist(), segment.truncated[:length, row].tolist(),
            strict=True,
        )  # fmt: skip
        assert list(got) == [mark[:2] for mark in marks]
        rewards = segment.reward[:length, row].tolist()
        assert rewards == pytest.approx([mark[2] for mark in marks], abs=1e-5)
        kinds.add((*marks[-1][:2], length == HORIZON))
    # The segment holds every kind of end: terminal, cut early, horizon.
    assert {(True, False, False), (False, True, False), (False, True, True)} <= kinds


def test_no_step_has_both_flags_and_none_has_any_after_its_end():
    _, segment = imagine(FakeDynamics())
    assert not (segment.terminated & segment.truncated).any()
    ended = segment.terminated | segment.truncated
    assert torch.equal(ended.sum(0), torch.ones(ROWS, dtype=torch.long))
    assert not (ended & ~segment.valid).any()


def test_a_terminal_at_the_cut_and_at_the_horizon_stays_terminal():
    always = FakeDynamics(terminal_above=-math.inf)
    _, segment = imagine(always, cut=-1.0)
    assert segment.terminated.all()
    assert not segment.truncated.any()
    assert len(segment.reward) == 1
    assert segment.state.shape[0] == 2


def test_without_doubt_and_terminals_every_row_is_truncated_at_the_horizon():
    _, segment = imagine(FakeDynamics(terminal_above=math.inf), cut=math.inf)
    assert segment.valid.all()
    assert segment.truncated[-1].all()
    assert not segment.truncated[:-1].any()
    assert segment.metrics["rollout/length"] == HORIZON
    assert segment.metrics["rollout/cut_fraction"] == 0


def test_reward_is_what_the_model_said_less_the_penalty():
    _, segment = imagine(FakeDynamics())
    free = replace(CONFIG, pessimism=PessimismConfig(disagreement=0.0))
    _, unpunished = imagine(FakeDynamics(), config=free)
    assert segment.penalty[segment.valid].min() > 0
    torch.testing.assert_close(segment.reward + segment.penalty, unpunished.reward)


def test_the_segment_says_whose_it_is_and_passes_the_learners_check():
    _, segment = imagine(FakeDynamics())
    assert (segment.policy_version, segment.epoch, segment.worker) == (3, 1, "w")
    assert (segment.incarnation, segment.rollouts) == (2, range(7, 7 + ROWS))
    check_trajectory(segment, SPEC, CONFIG.rollout, CONFIG.actor.history)


def test_the_model_is_asked_with_actions_in_bounds_and_the_segment_keeps_the_sample():
    dynamics = FakeDynamics(terminal_above=math.inf)
    wide = replace(CONFIG, actor=replace(CONFIG.actor, log_std=2.0, log_std_max=2.0))
    _, segment = imagine(dynamics, config=wide, cut=math.inf)
    executed = torch.stack(dynamics.actions)
    assert torch.equal(executed, SPEC.clamp(executed))
    assert torch.equal(executed, SPEC.clamp(segment.action))
    assert not torch.equal(executed, segment.action)
    assert not segment.action[..., ~SPEC.action_mask].any()


def equal(one, other):
    names = ("state", "action", "log_prob", "reward", "terminated", "truncated", "valid")
    return all(
        getattr(one, n).shape == getattr(other, n).shape
        and torch.equal(getattr(one, n), getattr(other, n))
        for n in names
    )


def test_one_seed_gives_one_segment_and_another_seed_another():
    assert equal(imagine(FakeDynamics())[1], imagine(FakeDynamics())[1])
    assert not equal(imagine(FakeDynamics())[1], imagine(FakeDynamics(), seed=12)[1])


@pytest.mark.parametrize(("per", "same"), [("rollout", True), ("step", False)])
def test_members_are_drawn_per_rollout_or_per_step(per, same):
    config = replace(CONFIG, rollout=replace(CONFIG.rollout, member_per=per))
    dynamics = FakeDynamics(terminal_above=math.inf)
    imagine(dynamics, config=config, cut=math.inf)
    first, *later = dynamics.seeds
    assert later
    assert len(first.unique()) == ROWS
    assert all(torch.equal(first, step) == same for step in later)
    assert len({int(seeds.choose(step[:1], 1000)) for step in dynamics.seeds}) == (
        1 if same else len(dynamics.seeds)
    )


def on_valid(segment):
    """What the learner reads of a segment, without what comes after a rollout's end."""
    names = ("action", "log_prob", "reward", "penalty", "terminated", "truncated")
    parts = {name: getattr(segment, name)[segment.valid] for name in names}
    return parts | {"valid": segment.valid, "after": segment.state[1:][segment.valid]}


def alike(one, other):
    return all(
        torch.allclose(value.float(), other[name].float(), atol=1e-5) for name, value in one.items()
    )


def test_rollouts_that_ended_are_left_out_and_nothing_else_changes(monkeypatch):
    dynamics = FakeDynamics()
    _, compacted = imagine(dynamics)
    asked = [len(seed) for seed in dynamics.seeds]
    going = [ROWS, *compacted.valid.sum(1)[1:].tolist()]
    assert asked[-1] < ROWS
    # Left out once a quarter of those asked for has ended, not one by one.
    assert all(
        alive <= rows < alive / 0.75 or rows == alive
        for alive, rows in zip(going, asked, strict=True)
    )
    assert asked == sorted(asked, reverse=True)
    monkeypatch.setattr(module, "_COMPACT", 0.0)
    whole = FakeDynamics()
    _, carried = imagine(whole)
    assert {len(seed) for seed in whole.seeds} == {ROWS}
    assert alike(on_valid(compacted), on_valid(carried))
    assert compacted.metrics == pytest.approx(carried.metrics, abs=1e-5)


class Doubtful(FakeDynamics):
    """Row 0 is doubted beyond any number at the second step."""

    def predict(self, query):
        answer = super().predict(query)
        if len(self.seeds) == 2:
            answer.disagreement[0] = math.nan
        return answer


def test_doubt_that_is_no_number_ends_its_row_and_spoils_nothing_else():
    starts = make_starts(ROWS, CONFIG.actor.history)
    starts.state[0] = 0.0
    _, segment = imagine(Doubtful(terminal_above=math.inf), cut=1e9, starts=starts)
    assert segment.truncated[1, 0]
    assert segment.valid[:, 0].tolist() == [True, True, False, False, False, False]
    check_trajectory(segment, SPEC, CONFIG.rollout, CONFIG.actor.history)


class Renewed(FakeDynamics):
    """Another model answers from the third step on."""

    def predict(self, query):
        answer = super().predict(query)
        return replace(answer, model="1" * 64) if len(self.seeds) == 3 else answer


def test_a_rollout_ends_where_another_model_answers():
    with pytest.raises(ModelChangedError, match="0000 became 1111"):
        imagine(Renewed(terminal_above=math.inf), cut=math.inf)


class Checked(FakeDynamics):
    """The small system behind the check that every port makes."""

    def predict(self, query):
        check_query(SPEC, query)
        return super().predict(query)


def test_rows_that_have_ended_are_asked_along_with_an_age_of_an_episode():
    starts = make_starts(ROWS, CONFIG.actor.history)
    starts.age[::6] = SPEC.episode_limit - 1  # few enough not to be left out at once
    _, segment = imagine(Checked(terminal_above=math.inf), cut=math.inf, starts=starts)
    assert segment.valid.sum(0).tolist()[:7] == [1, *[HORIZON] * 5, 1]
    late = replace(starts, age=starts.age + 1)
    with pytest.raises(InvalidFieldError, match="age"):  # the check is one
        imagine(LateDynamics(late.age), cut=math.inf, starts=starts)


class LateDynamics(Checked):
    """The same, told ages that no episode has."""

    def __init__(self, age):
        super().__init__(terminal_above=math.inf)
        self._age = age

    def predict(self, query):
        return super().predict(replace(query, age=self._age))
