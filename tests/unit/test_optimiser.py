"""Many parameters as one vector: views of it, and the steps of each by itself."""

import copy

import pytest
import torch
from torch import nn

from learner.algorithms.base import Skipped
from learner.algorithms.optimiser import flatten, limit


def networks():
    torch.manual_seed(0)
    mine = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))
    return mine, copy.deepcopy(mine)


def test_a_step_on_the_vector_is_a_step_on_every_parameter():
    mine, theirs = networks()
    whole = flatten(mine.parameters())
    assert whole.numel() == sum(p.numel() for p in theirs.parameters())
    ours, other = (torch.optim.Adam(p, lr=0.01) for p in ([whole], [*theirs.parameters()]))
    for step in range(5):
        x = torch.randn(8, 4)
        whole.grad.zero_()
        mine(x).square().sum().backward()
        other.zero_grad()
        theirs(x).square().sum().backward()
        had = limit(whole.grad, 0.5)
        expected = nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        torch.testing.assert_close(had, expected)
        ours.step()
        other.step()
        for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-6)
        assert step == 4 or not torch.equal(whole.grad, torch.zeros_like(whole))


def test_parameters_stay_views_through_loading():
    mine, theirs = networks()
    whole = flatten(mine.parameters())
    mine.load_state_dict({name: p + 1 for name, p in theirs.state_dict().items()})
    assert torch.equal(whole, torch.cat([(p + 1).flatten() for p in theirs.parameters()]))


@pytest.mark.parametrize(("norm", "scale"), [(10.0, 1.0), (2.5, 0.5)])
def test_a_gradient_within_the_limit_is_left_as_it_is(norm, scale):
    gradient = torch.tensor([3.0, 4.0])
    assert limit(gradient, norm) == 5
    torch.testing.assert_close(gradient, torch.tensor([3.0, 4.0]) * scale)


def test_a_norm_that_is_no_number_is_told():
    assert not torch.isfinite(limit(torch.tensor([1.0, float("inf")]), 1.0))


@pytest.mark.reliability(5, "nan_everywhere")
def test_a_run_whose_steps_are_skipped_says_so_and_ends_after_twenty_rounds(caplog):
    skipped = Skipped()
    for version in range(19):
        skipped.note({"losses/skipped_steps": 2.0}, version)
    assert caplog.text.count("2 steps of round") == 19
    skipped.note({"losses/skipped_steps": 0.0}, 19)  # negative control: one good round
    for version in range(20, 39):
        skipped.note({"losses/skipped_steps": 1.0}, version)
    with pytest.raises(ValueError, match="1 steps of round 39 were skipped: no finite gradient"):
        skipped.note({"losses/skipped_steps": 1.0}, 39)
