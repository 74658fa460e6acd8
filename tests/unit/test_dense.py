"""The fused layer against the formula in float64, forward and backward, and the plain way."""

import pytest
import torch

from moma_core.nets import kernels as module
from moma_core.nets.kernels import dense, fused, native_bf16

ACTIVATIONS = ["none", "relu", "silu", "tanh"]
SHAPES = [(1, 1, 1), (7, 3, 5), (64, 33, 20)]


def parts(shape, dtype=torch.float32):
    rows, inputs, outputs = shape
    random = torch.Generator().manual_seed(rows)
    x, weight, bias = (
        torch.randn(*size, generator=random).to(dtype)
        for size in ((rows, inputs), (inputs, outputs), (1, outputs))
    )
    return x, weight, bias


def formula(x, weight, bias, activation):
    """The layer as it is written down, in float64."""
    z = x.double() @ weight.double() + bias.double()
    return {
        "none": lambda: z,
        "relu": lambda: z * (z > 0),
        "silu": lambda: z / (1 + torch.exp(-z)),
        "tanh": lambda: torch.tanh(z),
    }[activation]()


def gradients(layer, values, activation):
    values = [value.clone().requires_grad_() for value in values]
    y = layer(*values, activation)
    weights = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).view_as(y)
    return torch.autograd.grad((y.double() * weights).sum(), values)


@pytest.fixture(params=["fused", "plain"])
def way(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(module, "_available", lambda: False)
    elif not fused(torch.zeros(1, 1)):
        pytest.skip("torch was built without oneDNN")
    return request.param


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_is_the_formula_forward_and_backward(way, shape, activation):
    assert fused(torch.zeros(1, 1)) == (way == "fused")
    values = parts(shape)
    slow = formula(*values, activation)
    for y in (
        dense(*values, activation),
        dense(values[0], values[1].clone().requires_grad_(), values[2], activation),
    ):
        torch.testing.assert_close(y.double(), slow, rtol=1e-5, atol=1e-5)
    got = gradients(dense, values, activation)
    expected = gradients(formula, [value.double() for value in values], activation)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_in_bf16_it_is_near_the_formula(activation):
    values = parts((32, 16, 8), torch.bfloat16)
    y = dense(*values, activation)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.double(), formula(*values, activation), rtol=2e-2, atol=2e-2)
    got = gradients(dense, values, activation)
    expected = gradients(formula, [value.double() for value in values], activation)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=5e-2, atol=0.3)


def test_no_rows_give_no_rows():
    x, weight, bias = parts((0, 3, 5))
    assert dense(x, weight, bias, "relu").shape == (0, 5)


def test_views_are_taken_as_they_lie():
    x, weight, bias = parts((6, 4, 3))
    wide = torch.zeros(6, 9)
    wide[:, 2:6] = x
    assert torch.equal(dense(wide[:, 2:6], weight, bias), dense(x, weight, bias))


def test_bf16_is_fused_only_where_the_processor_has_it(monkeypatch):
    x = torch.zeros(1, 1, dtype=torch.bfloat16)
    assert fused(x) == (native_bf16() and fused(x.float()))
    monkeypatch.setattr(module, "native_bf16", lambda: False)
    assert not fused(x)


def test_float64_takes_the_plain_way():
    values = [value.double() for value in parts((5, 4, 3))]
    assert not fused(values[0])
    assert dense(*values, "silu").dtype == torch.float64


def test_products_of_fp32_are_fp32_whatever_kernel_torch_was_sent_to():
    random = torch.Generator().manual_seed(0)
    x, y = torch.randn(300, 257, generator=random), torch.randn(257, 130, generator=random)
    exact = x.double() @ y.double()
    for got in (x @ y, torch.bmm(x[None], y[None])[0], (y.t() @ x.t()).t()):
        assert (got - exact).abs().max() < 1e-4
    # Negative control: rounding the factors to bf16 is a hundred times as far off.
    assert (x.bfloat16().double() @ y.bfloat16().double() - exact).abs().max() > 1e-2


def test_auto_is_bf16_where_that_is_native(monkeypatch):
    assert (module.hidden("fp32"), module.hidden("bf16")) == (torch.float32, torch.bfloat16)
    for native in (False, True):
        monkeypatch.setattr(module, "native_bf16", lambda n=native: n)
        assert module.hidden("auto") == [torch.float32, torch.bfloat16][native]
