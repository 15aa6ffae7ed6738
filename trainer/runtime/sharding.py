"""Weights, gradients and moments spread over the processes (FSDP 2), as `accelerate launch --use_fsdp` asks for.

Checkpoints and models are written whole, so that they do not depend on how many processes there were.

Two processes over gloo are held to one by a test; on several GPUs it runs the same calls over nccl.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


def is_asked() -> bool:
    """Whether the launcher asked for a model spread over the processes."""
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return several and os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def shard(model: nn.Module, layers: Iterable[nn.Module], device: torch.device) -> None:
    """Spread the weights of a model, layer by layer; gradients are summed over processes, not averaged.

    Parameters become others: take them for the optimiser afterwards.
    """
    model.to(device)
    mesh = init_device_mesh(device.type, (int(os.environ["WORLD_SIZE"]),))
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for part in parts_of(model):
        part.set_gradient_divide_factor(1.0)
        part.set_force_sum_reduction_for_comms(True)


def parts_of(model: nn.Module) -> list[FSDPModule]:
    """The parts that a model was spread by; none in one that is whole."""
    return [module for module in model.modules() if isinstance(module, FSDPModule)]


def sum_gradients_now(model: nn.Module, now: bool) -> None:
    """Whether the next backward pass sums the gradients over processes; earlier ones add up where they are."""
    for part in parts_of(model):
        part.set_requires_gradient_sync(now, recurse=False)


def whole(value: Any) -> Any:  # noqa: ANN401 - a tensor, or what stands beside tensors in a state
    """A tensor in one piece. All processes must ask for the same ones in the same order."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def whole_state(optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimiser's state with every tensor in one piece."""
    kept = optimiser.state_dict()
    state = {index: {name: whole(value) for name, value in part.items()} for index, part in kept["state"].items()}
    return {"state": state, "param_groups": kept["param_groups"]}


def put_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put whole weights back by name."""
    if not parts_of(model):
        model.load_state_dict(weights, strict=False)
        return
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name in weights:
                weight.copy_(_spread(weights[name], weight))


def spread_state(optimiser: torch.optim.Optimizer) -> None:
    """Spread moments that were loaded whole as their weights are spread."""
    for weight, state in optimiser.state.items():
        for name, value in state.items():
            if isinstance(weight, DTensor) and isinstance(value, Tensor) and value.shape == weight.shape:
                state[name] = _spread(value, weight)


def _spread(value: Tensor, like: Tensor) -> Tensor:
    if not isinstance(like, DTensor) or isinstance(value, DTensor):
        return value.to(like.device)
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
