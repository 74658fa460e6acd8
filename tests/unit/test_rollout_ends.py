"""Where a rollout ends: at its episode's limit by its age, and at the edge of the log."""

import math
from dataclasses import replace

import pytest
import torch

from learner.starts import CarriedStarts
from moma_core.checks import check_trajectory
from moma_core.config import PessimismConfig, RolloutConfig
from moma_core.nets.policy import Actors
from rollout_workers.rollout import Identity, rollout
from tests.builders import SPEC, FakeDynamics, believing, make_config, make_starts

LIMIT, ROWS, HORIZON = SPEC.episode_limit, 16, 5


def config(edge="cut", horizon=HORIZON, **fields):
    return make_config(
        rollout=RolloutConfig(rows=ROWS, horizon=horizon, **fields),
        pessimism=PessimismConfig(edge=edge),
    )


def imagine(settings, dynamics, starts=None, cut=math.inf, sequence=0):
    actors = Actors(SPEC, settings.actor, seed=4)
    who = Identity(policy_version=0, epoch=0, worker="w", incarnation=0, first=sequence * ROWS)
    starts = starts or make_starts(ROWS, settings.actor.history)
    made = rollout(actors, dynamics, starts, *believing(settings, cut), who)
    check_trajectory(made, SPEC, settings.rollout, settings.actor.history)
    return made


def aged(settings, ages):
    return replace(make_starts(ROWS, settings.actor.history), age=ages)


def test_a_rollout_is_truncated_at_its_episodes_limit_by_the_age_it_began_with():
    settings, ages = config(), torch.arange(ROWS) % LIMIT
    system = FakeDynamics(terminal_above=math.inf)
    made = imagine(settings, system, aged(settings, ages))
    assert made.valid.sum(0).tolist() == [min(HORIZON, LIMIT - age) for age in ages.tolist()]
    assert torch.equal(made.age, ages)
    last = made.valid.sum(0) - 1
    assert made.truncated[last, torch.arange(ROWS)].all()
    assert not made.unsure.any()
    assert made.metrics["rollout/cut_fraction"] == made.metrics["rollout/outside_fraction"] == 0
    # Negative control: those that began are as long as the horizon.
    young = imagine(settings, FakeDynamics(terminal_above=math.inf))
    assert young.valid.all()


def test_the_model_is_told_the_age_of_every_row_at_every_step():
    settings, ages = config(), torch.arange(ROWS) % LIMIT
    system = FakeDynamics(terminal_above=math.inf)
    made = imagine(settings, system, aged(settings, ages))
    going = ages
    for step, told in enumerate(system.ages):
        # Rollouts that ended are left out once they are many, so that some may be asked for still.
        assert set((going[made.valid[step]] + step).tolist()) <= set(told.tolist())
        assert told.min() >= step
        assert told.max() < LIMIT
    assert torch.equal(system.ages[0], ages)
    assert len(system.ages) == HORIZON


class Fresh:
    """Starts one step after an episode's beginning."""

    def draw(self, seed):
        return make_starts(len(seed), make_config().actor.history, int(seed[0]), age=1)


def test_carried_rollouts_keep_their_age_and_end_at_the_limit_of_their_episode():
    settings = config(horizon=3, carry=True)

    starts = CarriedStarts(Fresh(), SPEC, settings.rollout, settings.actor.history, 0)
    ages, lengths = [], []
    for sequence in range(5):
        drawn = starts.draw(range(sequence * ROWS, (sequence + 1) * ROWS))
        system = FakeDynamics(terminal_above=math.inf)
        made = imagine(settings, system, drawn, sequence=sequence)
        starts.take([made])
        ages.append(set(drawn.age.tolist()))
        lengths.append(set(made.valid.sum(0).tolist()))
    # Episodes begin at 1 step of age: 3 steps, 3 steps, the last one, and anew.
    assert LIMIT == 8
    assert ages == [{1}, {4}, {7}, {1}, {4}]
    assert lengths == [{3}, {3}, {1}, {3}, {3}]


def test_a_rollout_whose_last_step_is_unsure_is_not_carried_on():
    settings = config(carry=True, horizon=1)
    starts = CarriedStarts(Fresh(), SPEC, settings.rollout, settings.actor.history, 0)
    system = FakeDynamics(terminal_above=math.inf, edge=1.0)
    made = imagine(settings, system)
    starts.take([made])
    left = made.unsure[-1]
    assert 0 < left.sum() < ROWS
    assert (starts.age < 0).equal(left)
    # Negative control: that the horizon truncated them is true of all of them.
    assert made.truncated[-1].all()


def leaving(made, edge):
    """The steps of every rollout that leave the log, by feature; the reward goes with the first."""
    reached = torch.cat([made.state[1:], made.state[1:, :, :1]], dim=2)
    return (reached.abs() > edge) & made.valid[..., None]


@pytest.mark.parametrize("edge", ["cut", "clamp"])
def test_rollouts_end_where_they_leave_the_log_or_go_on_clamped(edge):
    system = FakeDynamics(terminal_above=math.inf, edge=1.0)
    made = imagine(config(edge), system)
    left = leaving(made, 1.0)
    gone = left.any(2)
    assert 0 < gone.any(0).sum() < ROWS
    if edge == "cut":
        assert torch.equal(made.unsure, gone)
        assert (gone.sum(0) <= 1).all()
        assert torch.equal(made.truncated, gone | made.truncated & ~made.unsure)
    else:
        assert not made.unsure.any()
        assert made.valid.all()
    # Every rollout counts once, whatever it left by and however often.
    assert made.metrics["rollout/outside_fraction"] == gone.any(0).float().mean()
    for feature, name in enumerate((*SPEC.state_names, "reward")):
        share = float(left[:, :, feature].any(0).float().mean())
        assert made.metrics.get(f"rollout/outside/{name}", 0.0) == pytest.approx(share)
    assert made.metrics["rollout/cut_fraction"] == 0


def test_a_cut_inside_the_log_is_told_apart_from_leaving_it():
    system = FakeDynamics(terminal_above=math.inf, edge=1.0)
    made = imagine(config(), system, cut=0.7)
    gone = leaving(made, 1.0).any(2)
    cut = made.unsure & ~gone
    assert cut.any()
    assert gone.any()
    assert made.metrics["rollout/cut_fraction"] == cut.sum() / ROWS
    assert made.metrics["rollout/outside_fraction"] == gone.any(0).float().mean()


def test_doubt_at_the_horizon_is_doubt():
    # One step is all there is: rollouts that are cut there are truncated like the others, and
    # only what they are worth differs.
    made = imagine(config(horizon=1), FakeDynamics(terminal_above=math.inf), cut=0.7)
    assert made.truncated.all()
    assert 0 < made.unsure.sum() < ROWS
    assert made.metrics["rollout/cut_fraction"] == made.unsure.sum() / ROWS


def test_a_terminal_beyond_the_edge_stays_a_terminal():
    made = imagine(config(), FakeDynamics(terminal_above=-math.inf, edge=0.0))
    assert made.terminated.all()
    assert not made.unsure.any()
    assert not made.truncated.any()
    assert made.metrics["rollout/outside_fraction"] == 0


def test_of_many_features_that_are_left_the_largest_shares_are_told(monkeypatch):
    monkeypatch.setattr("rollout_workers.rollout._MOST", 2)
    made = imagine(config(), FakeDynamics(terminal_above=math.inf, edge=1.0))
    left = leaving(made, 1.0).any(0).float().mean(0)
    told = {k: v for k, v in made.metrics.items() if k.startswith("rollout/outside/")}
    assert sorted(told.values()) == pytest.approx(sorted(left.tolist())[-2:])
