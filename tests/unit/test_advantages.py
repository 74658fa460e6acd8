"""GAE against a slow recursion, one rollout at a time."""

import pytest
import torch

from learner.algorithms.moma_ppo.advantages import gae


def slow_gae(reward, value, terminated, truncated, discount, lam):
    """Schulman et al. 2016, equation 16, for one rollout as plain Python numbers."""

    def advantage(t):
        after = 0.0 if terminated[t] else value[t + 1]
        delta = reward[t] + discount * after - value[t]
        if terminated[t] or truncated[t] or t + 1 == len(reward):
            return delta
        return delta + discount * lam * advantage(t + 1)

    return [advantage(t) for t in range(len(reward))]


def noise(steps, rows, seed=0):
    random = torch.Generator().manual_seed(seed)
    reward = torch.randn(steps, rows, generator=random)
    value = torch.randn(steps + 1, rows, generator=random)
    end = torch.rand(steps, rows, generator=random)
    return reward, value, end < 0.2, (end >= 0.2) & (end < 0.4)


@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0])
def test_gae_equals_the_slow_recursion_with_random_ends(lam):
    reward, value, terminated, truncated = noise(9, 40)
    assert terminated.any()
    assert truncated.any()
    fast = gae(reward, value, terminated, truncated, 0.9, lam)
    for row in range(40):
        columns = (x[:, row].tolist() for x in (reward, value, terminated, truncated))
        slow = slow_gae(*columns, 0.9, lam)
        torch.testing.assert_close(fast[:, row], torch.tensor(slow), rtol=1e-5, atol=1e-5)


def one_step(*, terminated, truncated):
    flags = (torch.tensor([[terminated]]), torch.tensor([[truncated]]))
    return gae(torch.tensor([[1.0]]), torch.tensor([[2.0], [10.0]]), *flags, 0.5, 0.9).item()


def test_truncation_bootstraps_and_termination_does_not():
    assert one_step(terminated=False, truncated=True) == pytest.approx(1 + 0.5 * 10 - 2)
    assert one_step(terminated=True, truncated=False) == pytest.approx(1 - 2)


@pytest.mark.parametrize("kind", ["terminated", "truncated"])
def test_nothing_flows_back_across_an_end(kind):
    reward, value, *_ = noise(6, 3)
    flags = {name: torch.zeros(6, 3, dtype=torch.bool) for name in ("terminated", "truncated")}
    open_before = gae(reward, value, *flags.values(), 0.9, 0.95)
    flags[kind][2] = True
    before = gae(reward, value, *flags.values(), 0.9, 0.95)
    changed = reward.clone()
    changed[3:] += 100.0
    after = gae(changed, value, *flags.values(), 0.9, 0.95)
    assert torch.equal(before[:3], after[:3])
    # Negative control: without the end, the later rewards would have been seen.
    never = torch.zeros(6, 3, dtype=torch.bool)
    assert not torch.allclose(gae(changed, value, never, never, 0.9, 0.95)[:3], open_before[:3])
