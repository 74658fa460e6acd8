"""Stable hashes, and row seeds that do not care who travels with them."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from moma_core import seeds

MASK = (1 << 64) - 1


def slow_mix(x):
    """SplitMix64: one step of the gamma, then the finaliser, in unbounded integers."""
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


@settings(max_examples=60, deadline=None)
@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_mix_equals_splitmix64_with_wraparound(x):
    got = seeds.mix(torch.tensor([x])).item()
    assert got & MASK == slow_mix(x & MASK)


def test_mix_gives_splitmix64s_published_first_outputs():
    # The first two outputs of the generator seeded with 0: mix(0) and mix(gamma).
    gamma = 0x9E3779B97F4A7C15 - (1 << 64)
    got = [value & MASK for value in seeds.mix(torch.tensor([0, gamma])).tolist()]
    assert got == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]


def test_derive_is_pinned():
    assert seeds.derive(0, "rollout", 3) == 4267115767503175426
    assert seeds.derive(7) == 3565994170645413931


def test_derive_gives_63_bits():
    assert all(0 <= seeds.derive(s, "x") < 1 << 63 for s in range(200))
    assert any(seeds.derive(s, "x") >= 1 << 62 for s in range(20))


def test_labels_are_kept_apart_by_type_order_and_boundary():
    streams = [
        seeds.derive(1, "1"), seeds.derive(1, 1), seeds.derive(1, "a", "b"),
        seeds.derive(1, "b", "a"), seeds.derive(1, "ab"), seeds.derive(1), seeds.derive(11),
        seeds.derive(1, ""), seeds.derive(1, "a", ""), seeds.derive(1, "a"),
    ]  # fmt: skip
    assert len(set(streams)) == len(streams)


def test_rows_are_distinct_and_a_row_does_not_depend_on_how_many_there_are():
    many = seeds.rows(99, 5000)
    assert torch.equal(seeds.rows(99, 10), many[:10])
    assert len(many.unique()) == 5000
    assert not torch.equal(seeds.rows(100, 10), many[:10])


def test_rows_take_the_largest_seed_that_derive_can_give():
    assert len(seeds.rows((1 << 63) - 1, 4).unique()) == 4


def test_choose_is_uniform_and_independent_of_neighbours_and_order():
    row_seed = seeds.rows(3, 20_000)
    chosen = seeds.choose(row_seed, 7)
    share = chosen.bincount(minlength=7) / 20_000
    assert chosen.min() >= 0
    assert chosen.max() == 6
    assert (share - 1 / 7).abs().max() < 0.012
    order = torch.randperm(20_000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(seeds.choose(row_seed[order], 7), chosen[order])
    assert torch.equal(seeds.choose(row_seed[5:6], 7), chosen[5:6])


def test_choose_is_not_correlated_from_step_to_step():
    row_seed = seeds.rows(3, 20_000)
    now, later = (seeds.choose(seeds.mix(row_seed + step), 4) for step in (0, 1))
    assert abs((now == later).float().mean() - 0.25) < 0.015


def test_generators_of_one_label_agree_and_of_two_differ():
    draws = [torch.randn(4, generator=seeds.generator(1, *label)) for label in
             (("a",), ("a",), ("b",))]  # fmt: skip
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_seeds_along_an_episode_differ_by_age_and_stream_and_repeat_themselves():
    row_seed, age = seeds.rows(3, 500), torch.arange(8)
    every = [
        seeds.along(row_seed, torch.full((500,), int(step)), stream)
        for step in age
        for stream in (1, 2)
    ]
    assert len(torch.cat(every).unique()) == 500 * 16
    again = seeds.along(row_seed[:3], torch.tensor([5, 5, 5]), 2)
    assert torch.equal(again, every[11][:3])


def test_uniform_numbers_are_uniform_and_never_1():
    drawn = seeds.uniform(seeds.rows(0, 100_000))
    assert drawn.dtype == torch.float32
    assert 0 <= drawn.min() < 1e-4
    assert 1 - 1e-4 < drawn.max() < 1
    share = torch.histc(drawn, 10, 0, 1) / 100_000
    torch.testing.assert_close(share, torch.full((10,), 0.1), atol=0.005, rtol=0)
