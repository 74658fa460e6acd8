"""KL(policy || other) of every kind of distribution: torch's own, and what samples say."""

import pytest
import torch
from torch import distributions as slow

from moma_core.nets.distributions import Categorical, Gaussian, Mixed
from tests.builders import CHOICES, MIXED, SPEC, uniform

AGENTS = 2


def gaussian(seed, rows=6, spec=SPEC):
    random = torch.Generator().manual_seed(seed)
    mean, log_std = torch.randn(2, rows, AGENTS, spec.action_width, generator=random)
    return Gaussian(mean=mean, log_std=0.5 * log_std - 0.5, mask=spec.action_mask)


def categorical(seed, rows=6, spec=CHOICES):
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, AGENTS, spec.action_width, generator=random)
    return Categorical(logits=logits, mask=spec.action_mask)


def mixed(seed, rows=6):
    return Mixed(
        gaussian=gaussian(seed, rows, MIXED),
        categorical=categorical(seed + 50, rows, MIXED),
        chooses=MIXED.chooses,
    )


def torchs(one, other, agent):
    """Torch's KL of one agent, over its own dimensions."""
    own = one.mask[agent]
    if isinstance(one, Categorical):
        pair = [slow.Categorical(logits=d.logits[:, agent, own]) for d in (one, other)]
        return slow.kl_divergence(*pair)
    at = (slice(None), agent, own)
    pair = [slow.Normal(d.mean[at], d.log_std[at].exp()) for d in (one, other)]
    return slow.kl_divergence(*pair).sum(-1)


@pytest.mark.parametrize("make", [gaussian, categorical])
def test_it_is_what_torch_says_of_each_agents_own_dimensions(make):
    one, other = make(1), make(2)
    for agent in range(AGENTS):
        expected = torchs(one, other, agent)
        torch.testing.assert_close(one.kl(other)[:, agent], expected, rtol=1e-4, atol=1e-5)
        # Negative control: the other way round it is another number.
        assert not torch.allclose(other.kl(one)[:, agent], expected, atol=1e-2)


def test_of_a_mixed_team_it_is_each_agents_own():
    one, other = mixed(1), mixed(2)
    found = one.kl(other)
    chosen, number = one.categorical.kl(other.categorical), one.gaussian.kl(other.gaussian)
    assert torch.equal(found[:, 0], chosen[:, 0])
    assert torch.equal(found[:, 1], number[:, 1])
    assert not torch.equal(found[:, 0], number[:, 0])
    torch.testing.assert_close(found[:, 1], torchs(one.gaussian, other.gaussian, 1))


@pytest.mark.parametrize("make", [gaussian, categorical, mixed])
def test_it_is_the_mean_log_ratio_of_what_is_drawn(make):
    count = 40_000
    one, other = make(1, 1), make(2, 1)
    numbers = uniform(count, AGENTS, one.mean.shape[-1])
    drawn = one.sample(one.noise(numbers))
    ratio = one.log_prob(drawn) - other.log_prob(drawn)
    error = 4 * ratio.std(0) / count**0.5
    assert ((ratio.mean(0) - one.kl(other)[0]).abs() <= error).all()
    # Negative control: draws of the other one would say something else.
    elsewhere = other.sample(one.noise(numbers))
    ratio = one.log_prob(elsewhere) - other.log_prob(elsewhere)
    assert ((ratio.mean(0) - one.kl(other)[0]).abs() > error).all()


@pytest.mark.parametrize("make", [gaussian, categorical, mixed])
def test_it_is_nothing_of_itself_and_more_of_anything_else(make):
    one = make(1)
    assert one.kl(make(1)).abs().max() < 1e-6
    assert (one.kl(make(2)) > 0).all()


def test_padding_adds_nothing_and_takes_no_gradient():
    one, other = gaussian(1), gaussian(2)
    before = one.kl(other)
    one.mean[:, 1, 1] += 7
    assert torch.equal(one.kl(other), before)
    one.mean[:, 1, 0] += 7
    assert not torch.equal(one.kl(other), before)
    logits = torch.randn(6, AGENTS, 3, requires_grad=True)
    padded = Categorical(logits=logits, mask=CHOICES.action_mask)
    padded.kl(categorical(2)).sum().backward()
    assert logits.grad.isfinite().all()
    assert not logits.grad[:, ~CHOICES.action_mask].any()
    assert logits.grad[:, CHOICES.action_mask].abs().min() > 0
