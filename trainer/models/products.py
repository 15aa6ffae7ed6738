"""Linear layers and norms for training on a processor: the same float32 numbers but for rounding, in half the time.

The products of linear layers, forward and backward, go through oneDNN. On processors that the plain library does not
know well (AMD's with AVX-512) its products take more than twice the time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = 32  # batches as wide as a multiple of it fill their products: no copies, few shapes (see `rounded`)


class Product(nn.Linear):
    """A linear layer whose products are oneDNN's on a processor, in float32 and outside of autocast."""

    def forward(self, x: Tensor) -> Tensor:
        """x W' + b."""
        if not fits(x) or torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        flat = x.reshape(-1, x.shape[-1])
        more = rounded(len(flat)) - len(flat)
        if more:
            flat = F.pad(flat, (0, 0, 0, more))
        learns = torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad)
        out = (_Multiplied.apply if learns else product)(flat, self.weight, self.bias)
        return (out[:-more] if more else out).view(*x.shape[:-1], -1)


class Norm(nn.Module):
    """The RMS norm of Llama and its like: x / sqrt(mean x^2 + epsilon) times a weight, in float32 inside.

    A layer of transformers' becomes one by its class alone, and keeps its weight and its epsilon.
    """

    weight: nn.Parameter
    variance_epsilon: float

    def forward(self, x: Tensor) -> Tensor:
        """Normed states [..., hidden]."""
        if x.device.type == "cpu" and x.dtype is self.weight.dtype and x.dtype in (torch.float32, torch.float64):
            return _Normed.apply(x, self.weight, self.variance_epsilon)
        wide = x.float()
        scaled = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.variance_epsilon)
        return self.weight * scaled.to(x.dtype)


NORMS = ("LlamaRMSNorm", "MistralRMSNorm", "Qwen2RMSNorm", "Qwen3RMSNorm")  # of one formula


def multiply_fast(model: nn.Module) -> None:
    """Make every plain linear layer of a model a `Product`, and every norm of the known formula a `Norm`."""
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = Product
        elif type(module).__name__ in NORMS:
            module.__class__ = Norm


def rounded(rows: int) -> int:
    """Rows that a product is made of: oneDNN compiles for every new count, which takes 1 to 3 ms and a megabyte."""
    if rows == 1:
        return 1
    step = 16 if rows <= 128 else 32 if rows <= 1024 else 64 if rows <= 4096 else 256
    return -(-rows // step) * step


def fits(x: Tensor) -> bool:
    """Whether oneDNN is there and multiplies this kind of numbers."""
    return x.device.type == "cpu" and x.dtype is torch.float32 and torch.backends.mkldnn.is_available()


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W' + b [..., out] of x [..., width] and W [out, width] of any strides, without a gradient."""
    if not fits(x):
        return F.linear(x, weight, bias)
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class _Multiplied(torch.autograd.Function):
    """x W' + b of rows [rows, width], with its gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, weight = ctx.saved_tensors
        for_x, for_weight, for_bias = ctx.needs_input_grad
        to_x = product(slope, weight.t()) if for_x else None
        to_weight = product(slope.t(), x.t()) if for_weight else None
        return to_x, to_weight, slope.sum(0) if for_bias else None


class _Normed(torch.autograd.Function):
    """x / sqrt(mean x^2 + epsilon) times a weight; with y the normed x, r its scale and g = slope * weight,
    the gradient by x is r (g - y mean(g y))."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:  # noqa: ANN401
        rows = x.reshape(-1, x.shape[-1])
        scale = rows.square().mean(-1, keepdim=True).add_(epsilon).rsqrt_()  # a norm's sum is less exact
        normed = rows * scale
        ctx.save_for_backward(normed, scale, weight)
        return (normed * weight).view(x.shape)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        normed, scale, weight = ctx.saved_tensors
        rows = slope.reshape(-1, slope.shape[-1])
        products = rows * normed
        shares = torch.mv(products, weight)[:, None].div_(-rows.shape[1])
        to_x = torch.addcmul(rows * weight, normed, shares).mul_(scale).view(slope.shape)
        return to_x, products.sum(0) if ctx.needs_input_grad[1] else None, None
