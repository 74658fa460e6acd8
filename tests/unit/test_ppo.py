"""A round's update: one version on, everything finite, the past rebuilt as it was."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch

from learner.algorithms.moma_ppo import batch, losses, ppo
from learner.algorithms.moma_ppo.critic import ValueScale
from learner.algorithms.moma_ppo.ppo import Support
from moma_core.config import ActorConfig
from moma_core.nets.policy import Actors
from moma_core.types import Trajectory
from tests.builders import SPEC, imagine, make_config, make_ppo

CONFIG = make_config()


def learner(config=CONFIG):
    return make_ppo(config, mean=0.1, std=1.5)


def segments(learned, config=CONFIG, count=2):
    return [imagine(learned.snapshot(), config, sequence=k) for k in range(count)]


def prepared(learned, trajectories, config=CONFIG):
    path = Trajectory.joined(trajectories)
    return batch.prepare(path, SPEC, learned.actors, learned.critic, learned.scale, config.ppo)


def parameters(learned):
    return learned._optimiser.parameters.detach().clone()


@pytest.mark.parametrize("ratio", ["agent", "joint"])
def test_an_update_raises_the_version_moves_the_parameters_and_stays_finite(ratio):
    config = replace(CONFIG, ppo=replace(CONFIG.ppo, ratio=ratio))
    learned = learner(config)
    before = parameters(learned)
    metrics = learned.update(segments(learned)).metrics
    assert learned.version == 1
    assert all(math.isfinite(value) for value in metrics.values()), metrics
    assert torch.isfinite(parameters(learned)).all()
    assert not torch.equal(parameters(learned), before)
    assert metrics["losses/skipped_steps"] == 0
    assert {"losses/entropy/wide", "losses/approx_kl/narrow", "losses/value"} <= set(metrics)


def test_a_snapshot_is_a_copy():
    learned = learner()
    snapshot = learned.snapshot()
    before = {name: value.clone() for name, value in snapshot.parameters.items()}
    learned.update(segments(learned))
    assert all(torch.equal(snapshot.parameters[name], value) for name, value in before.items())
    assert snapshot.version == 0
    assert not torch.equal(learned.snapshot().parameters["head.weight"], before["head.weight"])


MEMORIES = [
    ActorConfig(width=8, depth=1, memory="none"),
    ActorConfig(width=8, depth=1, frames=3),
    ActorConfig(width=8, depth=1, frames=3, memory="attention", state_dependent_std=True),
]


@pytest.mark.parametrize("actor", MEMORIES, ids=lambda a: a.memory)
def test_the_learner_sees_what_the_workers_actors_saw(actor):
    # Ratios before the first step are 1: windows, units and padding are rebuilt as they were.
    config = replace(CONFIG, actor=actor)
    learned = learner(config)
    with torch.no_grad():
        learned.actors.head.weight.mul_(100)
    rows = prepared(learned, segments(learned, config), config)
    with torch.no_grad():
        log_prob = learned.actors(rows.observed, rows.remembered).log_prob(rows.action)
    torch.testing.assert_close(log_prob, rows.log_prob, rtol=1e-4, atol=1e-4)
    # Negative control: forgetting shows.
    if actor.history:
        with torch.no_grad():
            kept = rows.remembered
            nothing = replace(kept, frames=0 * kept.frames, exists=~(kept.exists | True))
            forgetful = learned.actors(rows.observed, nothing)
        forgot = forgetful.log_prob(rows.action)
        assert (forgot - rows.log_prob).abs().max() > 1e-2


def test_a_batch_holds_valid_steps_only_with_normalised_advantages():
    learned = learner()
    made = segments(learned)
    rows = prepared(learned, made)
    valid = sum(int(t.valid.sum()) for t in made)
    assert valid < sum(t.valid.numel() for t in made)
    assert len(rows.returns) == valid
    assert rows.advantage.mean().item() == pytest.approx(0, abs=1e-5)
    assert rows.advantage.std(correction=0).item() == pytest.approx(1, abs=1e-4)


def by_state(rows):
    order = rows.state[:, 0].argsort()
    return {name: getattr(rows, name)[order] for name in ("state", "returns", "value", "action")}


def test_segments_of_unequal_length_do_not_touch_each_other():
    learned = learner()
    first, second = segments(learned)
    short = replace(
        second,
        **{
            n: getattr(second, n)[:2]
            for n in ("action", "log_prob", "reward", "penalty", "unsure", "valid")
        },
        state=second.state[:3],
        terminated=second.terminated[:2],
        truncated=second.truncated[:2] | (second.valid[:2] & torch.tensor([[False], [True]])),
    )
    short = replace(short, truncated=short.truncated & ~short.terminated)
    joint = by_state(prepared(learned, [first, short]))
    apart = [prepared(learned, [segment]) for segment in (first, short)]
    order = torch.cat([rows.state[:, 0] for rows in apart]).argsort()
    for name, value in joint.items():
        single = torch.cat([getattr(rows, name) for rows in apart])[order]
        torch.testing.assert_close(value, single, rtol=1e-5, atol=1e-5)


def test_updates_are_repeatable_bit_for_bit():
    first, second = learner(), learner()
    for learned in (first, second):
        learned.update(segments(learned))
    assert torch.equal(parameters(first), parameters(second))


@pytest.mark.parametrize(("kl_stop", "epochs"), [(1e-9, 1), (1e9, 2)])
def test_epochs_stop_where_the_policy_has_moved_too_far(kl_stop, epochs):
    config = replace(CONFIG, ppo=replace(CONFIG.ppo, kl_stop=kl_stop))
    learned = learner(config)
    assert learned.update(segments(learned)).metrics["losses/epochs"] == epochs


def spoiled_prepare(*args, field="advantage"):
    rows = batch.prepare(*args)
    getattr(rows, field)[0] = math.nan
    return rows


@pytest.mark.parametrize("field", ["advantage", "log_prob", "returns"])
def test_a_step_that_is_not_finite_is_skipped_and_counted(monkeypatch, field):
    learned = learner()
    monkeypatch.setattr(ppo, "prepare", partial(spoiled_prepare, field=field))
    before = parameters(learned)
    metrics = learned.update(segments(learned)).metrics
    skipped = round(metrics["losses/skipped_steps"], 3)
    assert 1 <= skipped <= metrics["losses/epochs"]  # one of several minibatches per epoch
    assert torch.isfinite(parameters(learned)).all()
    assert not torch.equal(parameters(learned), before)  # the other minibatches were learnt from
    assert learned.version == 1


def test_without_the_skip_one_bad_row_destroys_the_policy(monkeypatch):
    learned = learner()
    monkeypatch.setattr(ppo, "prepare", spoiled_prepare)
    made = segments(learned)
    monkeypatch.setattr(torch, "isfinite", lambda x: torch.ones_like(x, dtype=torch.bool))
    learned.update(made)
    assert parameters(learned).isnan().any()


@pytest.mark.parametrize("ratio", ["agent", "joint"])
def test_a_step_goes_down_the_sum_of_the_weighted_terms(ratio):
    chosen = replace(
        CONFIG.ppo, ratio=ratio, entropy=0.3, near=0.2, mean_bound=0.7, grad_norm=1e9, clip=0.01
    )
    config = replace(CONFIG, ppo=chosen)
    clone = Actors(SPEC, config.actor, seed=9)
    learned = make_ppo(config, mean=0.1, std=1.5, support=Support(clone=clone))
    with torch.no_grad():
        learned.actors.head.weight.mul_(300)  # some means lie beyond their bounds
    rows = prepared(learned, segments(learned, config), config)
    rows = replace(rows, log_prob=rows.log_prob + 0.1 * torch.randn_like(rows.log_prob))
    given = learned.actors(rows.observed, rows.remembered)
    ratios = losses.ratio(given.log_prob(rows.action), rows.log_prob, ratio)
    bound = losses.mean_bound_loss(given.mean, SPEC.action_bounds, SPEC.action_mask)
    near = given.kl(clone(rows.observed, rows.remembered))
    slow = (
        losses.policy_loss(ratios, rows.advantage, 0.01).sum()
        - 0.3 * given.entropy().mean(0).sum()
        + 0.2 * near.mean(0).sum()
        + 0.7 * bound
        + chosen.value_weight
        * losses.value_loss(learned.critic(rows.state, rows.age), rows.returns)
    )
    assert min(bound, near.mean()) > 0
    parameters = [*learned.actors.parameters(), *learned.critic.parameters()]
    expected = [part.clone() for part in torch.autograd.grad(slow, parameters)]
    learned._step(rows, len(rows.returns))
    for parameter, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-5)


def test_one_round_that_overflows_does_not_end_learning_for_good():
    learned = learner()
    good = segments(learned)
    huge = [replace(t, reward=torch.full_like(t.reward, 3e38)) for t in good]
    learned.update(huge)
    assert torch.isfinite(parameters(learned)).all()
    before = parameters(learned)
    metrics = learned.update(segments(learned)).metrics
    assert metrics["losses/skipped_steps"] == 0
    assert not torch.equal(parameters(learned), before)


def test_the_critics_own_scale_is_debiased_and_invertible():
    scale = ValueScale()
    x = torch.randn(500) * 3 + 7
    assert torch.equal(scale.normalise(x), x)
    scale.update(x)
    normal = scale.normalise(x)
    assert normal.mean().item() == pytest.approx(0, abs=1e-3)
    assert normal.std(correction=0).item() == pytest.approx(1, abs=1e-3)
    torch.testing.assert_close(scale.restore(normal), x, rtol=1e-4, atol=1e-4)
    scale.update(torch.full((10,), 7.0))
    assert scale.restore(torch.ones(1)).item() < 10
    constant = ValueScale()
    constant.update(torch.full((10,), 2.0))
    assert torch.isfinite(constant.normalise(torch.full((3,), 2.0))).all()


def test_the_joint_ratio_gives_one_policy_loss_and_agents_one_each():
    new, old = torch.zeros(4, 2), torch.zeros(4, 2)
    for kind, width in (("joint", 1), ("agent", 2)):
        ratios = losses.ratio(new, old, kind)
        assert losses.policy_loss(ratios, torch.ones(4), 0.2).shape == (width,)
