"""The terms of the update, by hand and against slow sums."""

import math

import pytest
import torch

from learner.algorithms.moma_ppo import losses

OLD = torch.tensor([[-1.0, -2.0], [-0.5, -0.7]])
NEW = torch.tensor([[-0.8, -2.5], [-0.5, -0.1]])


def test_agent_ratios_equal_the_slow_ones():
    got = losses.ratio(NEW, OLD, "agent")
    for row in range(2):
        for agent in range(2):
            slow = math.exp(NEW[row, agent]) / math.exp(OLD[row, agent])
            assert got[row, agent].item() == pytest.approx(slow, rel=1e-5)


def test_the_joint_ratio_is_the_product_of_the_agents():
    joint = losses.ratio(NEW, OLD, "joint")
    assert joint.shape == (2, 1)
    torch.testing.assert_close(joint[:, 0], losses.ratio(NEW, OLD, "agent").prod(-1))


@pytest.mark.parametrize("kind", ["agent", "joint"])
@pytest.mark.parametrize("gap", [1000.0, -1000.0])
def test_extreme_log_ratios_stay_finite_and_positive(kind, gap):
    new = torch.full((3, 2), gap)
    old = torch.zeros(3, 2)
    bare = (new - old).exp()  # negative control: without the clamp there is no finite logarithm
    assert not torch.isfinite(bare.log()).all()
    got = losses.ratio(new, old, kind)
    assert torch.isfinite(got).all()
    assert torch.isfinite(losses.approx_kl(got)).all()
    assert (got > 0).all()


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss"),
    [
        (1.5, 2.0, -2.4),  # gain is clipped at 1.2
        (0.5, 2.0, -1.0),  # a worse ratio is not clipped for a good action
        (1.5, -2.0, 3.0),  # nor a better one for a bad action
        (0.5, -2.0, 1.6),  # clipped at 0.8
        (1.1, 3.0, -3.3),  # inside of the interval nothing happens
    ],
)
def test_policy_loss_by_hand(ratio, advantage, loss):
    got = losses.policy_loss(torch.tensor([[ratio]]), torch.tensor([advantage]), 0.2)
    assert got.item() == pytest.approx(loss, rel=1e-5)


def test_policy_loss_is_a_mean_per_ratio_and_a_clipped_gain_has_no_gradient():
    ratios = torch.tensor([[1.5, 1.0], [1.0, 0.9]], requires_grad=True)
    loss = losses.policy_loss(ratios, torch.tensor([1.0, 1.0]), 0.2)
    torch.testing.assert_close(loss, torch.tensor([-1.1, -0.95]))
    loss.sum().backward()
    torch.testing.assert_close(ratios.grad, torch.tensor([[0.0, -0.5], [-0.5, -0.5]]))


def test_a_bad_row_makes_the_loss_no_number_though_the_clamp_hides_it_from_the_gradient():
    new, old = torch.zeros(3, 2), torch.zeros(3, 2)
    new[0, 1] = math.nan
    new.requires_grad_()
    loss = losses.policy_loss(losses.ratio(new, old, "agent"), torch.ones(3), 0.2)
    assert loss.isnan().tolist() == [False, True]
    loss.sum().backward()
    assert torch.isfinite(new.grad).all()


def test_approx_kl_is_never_negative_zero_at_one_and_right_for_gaussians():
    ratios = torch.linspace(0.01, 5, 500)[:, None]
    assert all(losses.approx_kl(r[None]).item() >= -1e-6 for r in ratios)
    assert losses.approx_kl(torch.ones(4, 1)).item() == 0
    # Behaviour N(0, 1), new N(0.3, 1): KL = 0.3^2 / 2.
    x = torch.randn(200_000, generator=torch.Generator().manual_seed(0))
    sampled = (0.3 * x - 0.3**2 / 2).exp()[:, None]
    assert losses.approx_kl(sampled).item() == pytest.approx(0.045, rel=0.03)


def test_clip_fraction_counts_rows_outside_of_the_interval():
    ratios = torch.tensor([[1.3, 1.0], [0.7, 1.1], [1.0, 1.0], [1.19, 0.9]])
    torch.testing.assert_close(losses.clip_fraction(ratios, 0.2), torch.tensor([0.5, 0.0]))


def test_mean_bound_loss_is_zero_inside_and_squared_outside():
    bounds = (torch.tensor([[-1.0, -2.0]]), torch.tensor([[1.0, 2.0]]))
    mask = torch.tensor([[True, True]])
    inside = torch.tensor([[[0.9, -2.0]], [[-1.0, 2.0]]])
    assert losses.mean_bound_loss(inside, bounds, mask).item() == 0
    outside = torch.tensor([[[1.5, -4.0]], [[0.0, 0.0]]])
    assert losses.mean_bound_loss(outside, bounds, mask).item() == pytest.approx((0.25 + 4.0) / 2)


def test_mean_bound_loss_leaves_padding_out():
    bounds = (torch.tensor([[-1.0, 0.0]]), torch.tensor([[1.0, 0.0]]))
    mean = torch.tensor([[[0.0, 7.0]]])
    assert losses.mean_bound_loss(mean, bounds, torch.tensor([[True, False]])).item() == 0
    assert losses.mean_bound_loss(mean, bounds, torch.tensor([[True, True]])).item() == 49


def test_value_loss_is_half_the_mean_square():
    got = losses.value_loss(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 2.0]))
    assert got.item() == pytest.approx(1.0)


def test_explained_variance_of_perfect_useless_and_constant_targets():
    target = torch.tensor([1.0, 2.0, 4.0])
    assert losses.explained_variance(target, target).item() == pytest.approx(1)
    assert losses.explained_variance(torch.zeros(3), target).item() == pytest.approx(0)
    assert losses.explained_variance(-target, target).item() == pytest.approx(-3)
    assert losses.explained_variance(target, torch.ones(3)).item() == 0
