"""Which weights of a body are trained: LoRA matrices, its last layers."""

from __future__ import annotations

from typing import Any

from torch import nn


def add_lora(model: Any, rank: int) -> None:  # noqa: ANN401 - any HF model with a body
    """LoRA matrices of this rank on every linear layer of the body; alpha is twice the rank, no dropout."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear")
    name = model.base_model_prefix
    setattr(model, name, get_peft_model(getattr(model, name), config))


def train_last_layers(body: nn.Module, count: int) -> None:
    """The last `count` blocks and the norm behind them learn. Raises ValueError for a body without a stack."""
    layers = layers_of(body)
    for layer in layers[max(0, len(layers) - count) :]:
        layer.requires_grad_(True)
    for name, module in body.named_children():
        if "norm" in name or name == "ln_f":
            module.requires_grad_(True)


def layers_of(body: nn.Module) -> nn.ModuleList:
    """The stack of blocks: the longest list of modules directly in the body."""
    stacks = [module for module in body.children() if isinstance(module, nn.ModuleList)]
    if not stacks:
        raise ValueError(f"{type(body).__name__} has no stack of layers; train all weights or use LoRA")
    return max(stacks, key=len)
