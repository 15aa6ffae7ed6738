"""Weights, gradients and moments spread over the processes (FSDP 2), as `accelerate launch --use_fsdp` asks for.

Checkpoints and models are written whole, so that they do not depend on how many processes there were.

Two processes over gloo are held to one by a test; on several GPUs it runs the same calls over nccl.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
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

    A layer at a time goes to the device, so that the whole need not fit there. Parameters become others: take them for
    the optimiser afterwards.
    """
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


def whole_state(optimiser: torch.optim.Optimizer, *, keep: bool = True) -> dict[str, Any]:
    """The optimiser's state with every tensor in one piece; see `whole_weights` for `keep`."""
    kept = optimiser.state_dict()
    state = {
        index: {name: _gathered(value, keep) for name, value in part.items()} for index, part in kept["state"].items()
    }
    return {"state": state, "param_groups": kept["param_groups"]}


def whole_weights(weights: Iterable[tuple[str, Tensor]], *, keep: bool = True) -> dict[str, Tensor]:
    """Weights by name, each in one piece. All processes must ask; one that does not `keep` them holds one at a time.

    What was spread is kept in the memory of the processor.
    """
    return {name: _gathered(weight, keep) for name, weight in weights}


def _gathered(value: Any, keep: bool) -> Any:  # noqa: ANN401
    if not isinstance(value, DTensor):
        return value
    found: Tensor = whole(value.detach())
    return found.cpu() if keep else found.new_empty(0)


def reading(model: nn.Module) -> AbstractContextManager[object]:
    """For passes without gradients: what a spread model gathers within them must serve those with gradients too."""
    return torch.no_grad() if parts_of(model) else torch.inference_mode()


class Whole:
    """A copy of a spread model in one piece on every process; it takes memory only while it is entered.

    All processes must enter it together; within, each uses it as it likes.
    """

    def __init__(self, copy: nn.Module, spread: nn.Module) -> None:
        """`copy` was made of the model before it was spread, and lies on the device; it is let go after first use."""
        self._copy, self._spread = copy, spread
        self._entered = 0

    def __enter__(self) -> None:
        """Gather the weights of now, one at a time; entered again, they stay as they are."""
        self._entered += 1
        if self._entered > 1:
            return
        for part in parts_of(self._spread):
            part.reshard()
        names = dict(self._spread.named_parameters())
        with torch.no_grad():
            for name, weight in self._copy.named_parameters():
                weight.untyped_storage().resize_(weight.numel() * weight.element_size())
                weight.copy_(whole(names[name].detach()))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the memory back."""
        self._entered -= 1
        if not self._entered:
            for weight in self._copy.parameters():
                weight.untyped_storage().resize_(0)


def put_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put whole weights back by name."""
    if not parts_of(model):
        model.load_state_dict(weights, strict=False)
        return
    for part in parts_of(model):  # a pass without a backward one leaves the outermost part gathered
        part.reshard()
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
