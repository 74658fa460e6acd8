"""The ensemble's doubt against its definition, written out slowly."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_server.world_model import uncertainty

sizes = st.integers(1, 5)


def means(members, rows, width, seed):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(members, rows, width, generator=random)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 8), sizes, sizes, st.integers(0, 1000))
def test_gram_disagreement_is_the_frobenius_norm_of_the_covariance(members, rows, width, seed):
    mean = means(members, rows, width, seed)
    fast = uncertainty.disagreement(mean)
    for row in range(rows):
        covariance = torch.cov(mean[:, row].double().T, correction=1).reshape(width, width)
        expected = covariance.square().sum().sqrt().float()
        torch.testing.assert_close(fast[row], expected, rtol=1e-4, atol=1e-6)


def test_disagreement_by_hand_and_zero_where_members_agree():
    # Two members 2 apart in one output: variance 2. A row on which both agree: 0.
    mean = torch.tensor([[[0.0, 5.0], [3.0, 3.0]], [[2.0, 5.0], [3.0, 3.0]]])
    torch.testing.assert_close(uncertainty.disagreement(mean), torch.tensor([2.0, 0.0]))


def test_disagreement_ignores_a_shift_that_all_members_share():
    mean = means(4, 3, 3, 0)
    shifted = uncertainty.disagreement(mean + 2.0)
    torch.testing.assert_close(shifted, uncertainty.disagreement(mean), rtol=1e-4, atol=1e-5)


def test_aleatoric_is_the_largest_members_norm_of_variances():
    log_variance = means(3, 4, 2, 1)
    for row in range(4):
        norms = [
            math.sqrt(sum(math.exp(v) ** 2 for v in log_variance[member, row].tolist()))
            for member in range(3)
        ]
        assert math.isclose(
            uncertainty.aleatoric(log_variance)[row].item(), max(norms), rel_tol=1e-5
        )


def test_reward_disagreement_is_the_unbiased_variance_of_the_last_output():
    mean = means(5, 3, 4, 2)
    rewards = mean[..., -1].double()
    slow = ((rewards - rewards.mean(0)) ** 2).sum(0) / 4
    torch.testing.assert_close(uncertainty.reward_disagreement(mean), slow.float())
    changed = mean.clone()
    changed[..., :-1] += torch.randn(5, 3, 3)
    same = uncertainty.reward_disagreement(changed)
    assert torch.equal(same, uncertainty.reward_disagreement(mean))
