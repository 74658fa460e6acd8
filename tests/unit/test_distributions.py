"""Both distributions against torch.distributions, over each agent's own dimensions only."""

import math

import pytest
import torch
from torch import distributions as slow

from moma_core.config import ActorConfig
from moma_core.nets.distributions import Categorical, Gaussian
from moma_core.nets.policy import Actors
from tests.builders import CHOICES, SPEC, make_starts, uniform

WIDE, NARROW = (slice(None), 0), (slice(None), 1, slice(0, 2))
"""An agent's own dimensions: three choices against two."""


def normal(count, *shape, seed=0):
    random = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=random) for _ in range(count)]


def gaussian():
    action, mean, log_std, noise = normal(4, 5, 2, 2)
    return Gaussian(mean=mean, log_std=log_std, mask=SPEC.action_mask), action, noise


def categorical(rows=5, scale=1.0):
    (logits,) = normal(1, rows, 2, 3)
    return Categorical(logits=logits * scale, mask=CHOICES.action_mask)


def reference(given):
    """Torch's own distribution of each agent, over its own choices."""
    return [slow.Categorical(logits=given.logits[own]) for own in (WIDE, NARROW)]


def test_a_gaussian_is_what_torch_says_over_each_agents_own_dimensions():
    given, action, _ = gaussian()
    for agent, width in enumerate((2, 1)):
        own = (slice(None), agent, slice(0, width))
        truth = slow.Normal(given.mean[own], given.log_std[own].exp())
        torch.testing.assert_close(
            given.log_prob(action)[:, agent], truth.log_prob(action[own]).sum(-1)
        )
        torch.testing.assert_close(given.entropy()[:, agent], truth.entropy().sum(-1))


def test_a_gaussians_draws_are_bit_for_bit_these_operations():
    # Runs of continuous tasks must repeat those that were made before there were other ones.
    given, action, noise = gaussian()
    plain = (given.mean + given.log_std.exp() * noise) * SPEC.action_mask
    assert torch.equal(given.sample(noise), plain)
    assert not given.sample(noise)[:, 1, 1].any()
    scaled = (action - given.mean) * torch.exp(-given.log_std)
    density = -0.5 * scaled.square() - given.log_std - 0.5 * math.log(2 * math.pi)
    assert torch.equal(given.log_prob(action), (density * SPEC.action_mask).sum(-1))


def test_padding_changes_neither_log_prob_nor_entropy_of_a_gaussian():
    given, action, _ = gaussian()
    before = given.log_prob(action), given.entropy()
    for tensor in (action, given.mean, given.log_std):
        tensor[:, 1, 1] += 3
    assert torch.equal(given.log_prob(action), before[0])
    assert torch.equal(given.entropy(), before[1])
    unmasked = Gaussian(mean=given.mean, log_std=given.log_std, mask=torch.ones(2, 2).bool())
    assert not torch.equal(unmasked.entropy(), before[1])


def test_gaussian_draws_have_the_mean_and_the_standard_deviation_asked_for():
    noise = Gaussian.noise(uniform(50_000, 1, 1))
    mean, log_std = torch.full_like(noise, 2.0), torch.full_like(noise, -1.0)
    given = Gaussian(mean=mean, log_std=log_std, mask=torch.ones(1, 1).bool())
    drawn = given.sample(noise)
    assert abs(drawn.mean() - 2) < 0.01
    assert abs(drawn.std() - torch.tensor(-1.0).exp()) < 0.01
    assert torch.equal(given.mode(), given.mean)


def test_a_categorical_is_what_torch_says_over_each_agents_own_choices():
    given = categorical()
    action = given.sample(Categorical.noise(uniform(5, 2, 3)))
    for agent, truth in enumerate(reference(given)):
        torch.testing.assert_close(
            given.log_prob(action)[:, agent], truth.log_prob(action[:, agent].argmax(-1))
        )
        torch.testing.assert_close(given.entropy()[:, agent], truth.entropy())
        width = truth.probs.shape[-1]
        torch.testing.assert_close(given.mean[:, agent, :width], truth.probs)
        assert torch.equal(given.mode()[:, agent].argmax(-1), truth.probs.argmax(-1))
    assert torch.equal(given.mode().sum(-1), torch.ones(5, 2))


@pytest.mark.parametrize("what", ["log_prob", "entropy"])
def test_gradients_equal_those_of_torch_and_are_zero_in_the_padding(what):
    (logits,) = normal(1, 5, 2, 3)
    ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
    given = Categorical(logits=ours, mask=CHOICES.action_mask)
    action = given.mode()
    value = given.entropy() if what == "entropy" else given.log_prob(action)
    value.sum().backward()
    truths = reference(Categorical(logits=theirs, mask=CHOICES.action_mask))
    for agent, truth in enumerate(truths):
        chosen = action[:, agent].argmax(-1)
        (truth.entropy() if what == "entropy" else truth.log_prob(chosen)).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    assert not ours.grad[:, 1, 2].any()
    assert ours.grad[:, 1, :2].abs().min() > 0


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_padded_choices_have_probability_0_and_nothing_is_nan(scale):
    given = categorical(rows=2000, scale=scale)
    given.logits[:, 1, 2] = 1e6  # what a network may say of a choice that its agent lacks
    drawn = given.sample(Categorical.noise(uniform(2000, 2, 3)))
    assert (given.mean[:, 1, 2] == 0).all()
    assert not drawn[:, 1, 2].any()
    assert not given.mode()[:, 1, 2].any()
    assert torch.isfinite(given.entropy()).all()
    assert torch.isfinite(given.log_prob(drawn)).all()
    # Negative control: without the mask it is that choice which is taken.
    unmasked = Categorical(logits=given.logits, mask=torch.ones(2, 3).bool())
    assert unmasked.mode()[:, 1, 2].all()


def test_draws_come_as_often_as_their_probabilities_say():
    count = 40_000
    logits = torch.tensor([[1.0, 0.0, -2.0], [0.5, -0.5, 0.0]]).expand(count, 2, 3)
    given = Categorical(logits=logits, mask=CHOICES.action_mask)
    drawn = given.sample(Categorical.noise(uniform(count, 2, 3)))
    assert CHOICES.one_hot(drawn).all()
    error = 4 * (given.mean[0] * (1 - given.mean[0]) / count).sqrt()
    assert ((drawn.mean(0) - given.mean[0]).abs() <= error).all()
    # Both agents draw for themselves.
    joint = drawn[:, 0].T @ drawn[:, 1] / count
    torch.testing.assert_close(joint, torch.outer(*given.mean[0]), atol=0.01, rtol=0)


@pytest.mark.parametrize("kind", [Gaussian, Categorical])
def test_noise_is_the_quantile_of_its_number_and_finite_at_both_ends(kind):
    ends = torch.tensor([[[2.0**-53, 0.5, 1 - 2.0**-53]]], dtype=torch.float64)
    found = kind.noise(ends)
    assert torch.isfinite(found).all()
    if kind is Gaussian:
        quantile = torch.special.ndtr(found.double())
    else:
        quantile = torch.exp(-torch.exp(-found.double()))
    torch.testing.assert_close(quantile, ends, atol=1e-6, rtol=0)


@pytest.mark.parametrize("memory", ["none", "frames", "attention", "gru"])
def test_discrete_actors_begin_near_uniform_and_have_no_spread_to_learn(memory):
    config = ActorConfig(
        width=8, depth=1, frames=3, memory=memory, memory_width=6, state_dependent_std=True
    )
    actors = Actors(CHOICES, config, seed=1)
    assert not any("std" in name for name, _ in actors.named_parameters())
    history = actors.remembered(make_starts(6, config.history, task=CHOICES).history)
    given = actors(torch.randn(6, 2, 3), history)
    assert isinstance(given, Categorical)
    uniform = torch.tensor([[1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0]])
    torch.testing.assert_close(given.mean, uniform.expand(6, 2, 3), atol=0.05, rtol=0)
    given.entropy().sum().backward()
    assert all(p.grad is not None for p in actors.parameters())
