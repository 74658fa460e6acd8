"""A chain of layers against the formula and a batched product, in both of its precisions."""

import pytest
import torch

from moma_core.nets.kernels import activate, native_bf16
from moma_core.nets.stacked import StackedLinear, chain
from tests.unit.test_dense import ACTIVATIONS, formula

HIDDEN = [torch.float32, torch.bfloat16]
needs_bf16 = pytest.mark.skipif(not native_bf16(), reason="this processor has no bf16")


def networks():
    random = torch.Generator().manual_seed(0)
    return [StackedLinear(3, i, o, random) for i, o in ((4, 6), (6, 6), (6, 2))]


def batched(layers, x, activations):
    """All networks at once, as on a device that is no CPU."""
    for layer, activation in zip(layers, [*activations, "none"], strict=True):
        x = activate(torch.baddbmm(layer.bias, x, layer.weight), activation)
    return x


def test_a_chain_is_its_layers_one_after_the_other_for_every_network():
    layers, x = networks(), torch.randn(3, 5, 4)
    got, slow = chain(layers, x, ["silu", "relu"]), batched(layers, x, ["silu", "relu"])
    torch.testing.assert_close(got, slow, rtol=1e-5, atol=1e-6)
    weights = [layer.weight for layer in layers]
    one, other = (torch.autograd.grad(y.square().sum(), weights) for y in (got, slow))
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_networks_of_a_chain_do_not_touch_each_other():
    layers, x = networks(), torch.randn(3, 5, 4)
    before = chain(layers, x, ["relu", "relu"])
    x[1] += 1
    after = chain(layers, x, ["relu", "relu"])
    assert torch.equal(before[[0, 2]], after[[0, 2]])
    assert not torch.equal(before[1], after[1])


def test_a_chain_goes_through_each_layers_own_precision():
    layers, x = networks(), torch.randn(3, 5, 4)
    exact = chain(layers, x, ["silu", "silu"])
    layers[1].to(torch.bfloat16)
    lowered = chain(layers, x, ["silu", "silu"])
    assert lowered.dtype == torch.float32
    assert not torch.equal(lowered, exact)
    torch.testing.assert_close(lowered, exact, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("rows", [5, (1 << 17) // 6 + 1])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_chain_has_the_derivative_of_the_formula_for_few_rows_and_for_many(rows, activation):
    random = torch.Generator().manual_seed(rows)
    layers = [StackedLinear(2, i, o, random) for i, o in ((4, 6), (6, 3))]
    x = torch.randn(2, rows, 4, generator=random).requires_grad_()
    wanted = [x, *(p for layer in layers for p in (layer.weight, layer.bias))]

    def slow(x, *parameters):
        first = torch.stack(
            [formula(x[k], parameters[0][k], parameters[1][k], activation) for k in range(2)]
        )
        return torch.stack(
            [formula(first[k], parameters[2][k], parameters[3][k], "none") for k in range(2)]
        )

    got, exact = chain(layers, x, [activation]), slow(*(p.double() for p in wanted))
    torch.testing.assert_close(got.double(), exact, rtol=1e-4, atol=1e-5)
    one, other = (torch.autograd.grad(y.square().sum(), wanted) for y in (got, exact))
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def chained(hidden, rows=(1 << 17) // 16 + 1):
    """Outputs, gradients and the formula's, of networks large enough for the fused way."""
    random = torch.Generator().manual_seed(1)
    layers = [StackedLinear(2, i, o, random) for i, o in ((12, 16), (16, 16), (16, 1))]
    x = torch.randn(2, rows, 12, generator=random).requires_grad_()
    wanted = [x, *(p for layer in layers for p in (layer.weight, layer.bias))]
    y = chain(layers, x, ["relu", "tanh"], hidden)
    exact = batched(layers, x, ["relu", "tanh"])
    gradients = [torch.autograd.grad(out.square().mean(), wanted) for out in (y, exact)]
    return y.detach(), exact.detach(), *gradients


@needs_bf16
def test_a_chain_in_bf16_errs_by_its_rounding_and_its_weights_learn_in_fp32():
    y, exact, one, other = chained(torch.bfloat16)
    assert y.dtype == torch.float32
    error = (y - exact).abs().max() / exact.std()
    assert 1e-4 < error < 0.03
    # At a row of inputs a relu that is nearly 0 may be off instead of on; sums hardly see it.
    bounds = [0.1, *[0.03] * (len(one) - 1)]
    for got, right, bound in zip(one, other, bounds, strict=True):
        assert got.dtype == torch.float32
        assert (got - right).norm() < bound * right.norm()
    # What comes out of the last layer is not rounded: bf16 has 8 bits, these values have more.
    assert not torch.equal(y, y.bfloat16().float())


@needs_bf16
def test_negative_control_in_fp32_a_chain_errs_a_hundred_times_less():
    y, exact, one, other = chained(torch.float32)
    assert (y - exact).abs().max() / exact.std() < 1e-5
    assert all((a - b).norm() < 1e-4 * b.norm() for a, b in zip(one, other, strict=True))


def test_a_processor_without_bf16_computes_in_fp32_whatever_is_allowed(monkeypatch):
    low = chained(torch.bfloat16)[0]
    monkeypatch.setattr("moma_core.nets.stacked.native_bf16", lambda: False)
    assert torch.equal(chained(torch.bfloat16)[0], chained(torch.float32)[0])
    assert torch.equal(low, chained(torch.float32)[0]) != native_bf16()


def test_few_rows_and_rows_without_gradients_are_computed_in_fp32():
    layers, x = networks(), torch.randn(3, 5, 4)
    few = [chain(layers, x, ["relu", "relu"], hidden) for hidden in HIDDEN]
    assert torch.equal(*few)
    many = torch.randn(3, (1 << 17) // 6 + 1, 4)
    with torch.no_grad():
        assert torch.equal(*(chain(layers, many, ["relu", "relu"], hidden) for hidden in HIDDEN))
