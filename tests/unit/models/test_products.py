"""Linear layers through oneDNN: the numbers and gradients of float64, in every shape, and when they stand aside."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from trainer.models.products import Norm, Product, multiply_fast, product, rounded


def made(bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    layer = nn.Linear(24, 40, bias=bias)
    multiply_fast(layer)
    return layer


@pytest.mark.parametrize("shape", [(24,), (7, 24), (2, 5, 24)])
@pytest.mark.parametrize("bias", [True, False])
def test_the_product_and_its_gradients_are_those_of_float64(shape: tuple[int, ...], bias: bool) -> None:
    layer = made(bias)
    assert isinstance(layer, Product)
    x = torch.randn(shape, requires_grad=True)
    slope = torch.randn(*shape[:-1], 40)
    layer(x).backward(slope)

    wide = nn.Linear(24, 40, bias=bias).double()
    wide.load_state_dict({name: value.double() for name, value in layer.state_dict().items()})
    there = x.detach().double().requires_grad_()
    wide(there).backward(slope.double())
    torch.testing.assert_close(layer(x).double(), wide(there), atol=1e-5, rtol=1e-5)
    assert x.grad is not None
    torch.testing.assert_close(x.grad.double(), there.grad, atol=1e-5, rtol=1e-5)
    for ours, theirs in zip(layer.parameters(), wide.parameters(), strict=True):
        assert ours.grad is not None
        torch.testing.assert_close(ours.grad.double(), theirs.grad, atol=1e-5, rtol=1e-5)


def test_only_what_is_asked_for_gets_a_gradient() -> None:
    layer = made()
    layer.weight.requires_grad_(False)
    x = torch.randn(3, 24, requires_grad=True)
    layer(x).sum().backward()
    assert layer.weight.grad is None
    assert layer.bias.grad is not None
    assert x.grad is not None


def test_a_slope_of_any_strides_gives_the_same_gradient() -> None:
    layer = made()
    x, slope = torch.randn(6, 24), torch.randn(40, 6)
    layer(x).backward(slope.t())
    whole = layer.weight.grad
    layer.zero_grad()
    layer(x).backward(slope.t().contiguous())
    torch.testing.assert_close(layer.weight.grad, whole)
    torch.testing.assert_close(product(x, torch.randn(24, 9).t() * 0 + 1), x.sum(1, keepdim=True).expand(6, 9))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_kinds_of_numbers_take_the_plain_way(dtype: torch.dtype) -> None:
    layer = made().to(dtype)
    x = torch.randn(3, 24, dtype=dtype)
    assert torch.equal(layer(x), F.linear(x, layer.weight, layer.bias))
    assert torch.equal(product(x, layer.weight, layer.bias), F.linear(x, layer.weight, layer.bias))


def test_autocast_is_obeyed() -> None:
    layer, x = made(), torch.randn(3, 24)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype is torch.bfloat16


def test_layers_of_another_class_and_copies_stay_what_they_are() -> None:
    class Own(nn.Linear):
        pass

    model = nn.Sequential(nn.Linear(4, 4), Own(4, 4))
    multiply_fast(model)
    assert [type(layer) for layer in model] == [Product, Own]
    twin = copy.deepcopy(model)
    first, second = next(iter(model)), next(iter(twin))
    assert isinstance(first, Product)
    assert isinstance(second, Product)
    with torch.no_grad():
        first.weight.zero_()
    assert bool(second(torch.ones(1, 4)).abs().sum() > 0)


def test_products_have_few_shapes_and_waste_little() -> None:
    assert rounded(1) == 1
    assert len({rounded(rows) for rows in range(1, 4097)}) <= 90
    assert all(rows <= rounded(rows) <= max(16, rows * 1.25 + 16) for rows in range(2, 5000))


@pytest.mark.parametrize("rows", [1, 2, 16, 33, 130])
def test_rows_that_fill_up_a_product_add_nothing(rows: int) -> None:
    layer = made()
    x = torch.randn(rows, 24, requires_grad=True)
    layer(x).square().sum().backward()
    got = [layer.weight.grad, layer.bias.grad, x.grad]
    assert all(value is not None for value in got)
    there = x.detach().double().requires_grad_()
    weight, bias = (value.detach().double().requires_grad_() for value in (layer.weight, layer.bias))
    F.linear(there, weight, bias).square().sum().backward()
    for ours, theirs in zip(got, (weight.grad, bias.grad, there.grad), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-4, check_dtype=False)


@pytest.mark.parametrize("shape", [(24,), (7, 24), (2, 5, 24)])
def test_the_norm_and_its_gradients_are_those_of_transformers_in_float64(shape: tuple[int, ...]) -> None:
    theirs = LlamaRMSNorm(24, eps=1e-5)
    torch.nn.init.normal_(theirs.weight)
    ours, wide = copy.deepcopy(theirs), copy.deepcopy(theirs).double()
    multiply_fast(ours)
    assert isinstance(ours, Norm)
    x, slope = torch.randn(shape, requires_grad=True), torch.randn(shape)
    ours(x).backward(slope)
    there = x.detach().double().requires_grad_()
    variance = there.square().mean(-1, keepdim=True)
    (there / (variance + 1e-5).sqrt() * wide.weight).backward(slope.double())
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(x.grad, there.grad, atol=1e-5, rtol=1e-5, check_dtype=False)
    torch.testing.assert_close(ours.weight.grad, wide.weight.grad, atol=1e-5, rtol=1e-5, check_dtype=False)
    narrow = x.detach().bfloat16()
    assert torch.equal(ours.bfloat16()(narrow), theirs.bfloat16()(narrow))
