"""Several processes of one run: each learns from its part of a batch, and all of them stay equal.

Gradients are added up in each process and summed over processes once a step, so nothing is in flight when memory runs
out in one of them. The first process alone writes events, records, checkpoints and the model; it decides, all follow.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch import distributed as dist

from trainer.contract.run_folder import host_name
from trainer.data import AnyRow

BUCKET = 1 << 24  # values summed in one message

Value = TypeVar("Value")


class Processes:
    """The processes of a run; where there is one, every method is the identity."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._device = accelerator.device
        self.rank = int(accelerator.process_index)
        self.count = int(accelerator.num_processes)

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def part_of(self, rows: Sequence[AnyRow]) -> Sequence[AnyRow]:
        """This process's rows of a batch: dealt out by length, so that all have about as much to do."""
        if self.count == 1:
            return rows
        return sorted(rows, key=lambda row: -row.length)[self.rank :: self.count]

    def places(self, count: int) -> range:
        """This process's places of so many: every place belongs to one process."""
        return range(self.rank, count, self.count)

    def gathered(self, mine: Sequence[Value], count: int) -> list[Value]:
        """What all processes made at their `places`, in the order of the places."""
        if self.count == 1:
            return list(mine)
        parts: list[Sequence[Value]] = [()] * self.count
        dist.all_gather_object(parts, list(mine))
        return [parts[place % self.count][place // self.count] for place in range(count)]

    def pids_here(self) -> dict[int, int]:
        """Rank and pid of every process on this machine."""
        here = (host_name(), os.getpid())
        found = self.gathered([here], self.count)
        return {rank: pid for rank, (host, pid) in enumerate(found) if host == here[0]}

    def sum(self, values: Sequence[float]) -> tuple[float, ...]:
        """Each value summed over the processes, in float64."""
        if self.count == 1:
            return tuple(values)
        summed = torch.tensor(values, dtype=torch.float64, device=self._device)
        dist.all_reduce(summed)
        return tuple(summed.tolist())

    def most(self, count: int) -> int:
        """The largest of a count over the processes."""
        if self.count == 1:
            return count
        largest = torch.tensor(count, device=self._device)
        dist.all_reduce(largest, dist.ReduceOp.MAX)
        return int(largest)

    def agree(self, value: Value) -> Value:
        """What the first process says, in all of them."""
        if self.count == 1:
            return value
        told = [value]
        dist.broadcast_object_list(told, src=0, device=self._device)
        return told[0]

    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            dist.barrier()

    def add_gradients(self, weights: Sequence[nn.Parameter]) -> None:
        """Sum the gradients over the processes; a weight that no process used keeps none."""
        if self.count == 1:
            return
        used = self.sum([float(weight.grad is not None) for weight in weights])
        learned = [weight for weight, times in zip(weights, used, strict=True) if times]
        for weight in learned:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        for bucket in _buckets(weight.grad for weight in learned if weight.grad is not None):
            flat = torch.cat([gradient.flatten() for gradient in bucket])
            dist.all_reduce(flat)
            for gradient, part in zip(bucket, flat.split([g.numel() for g in bucket]), strict=True):
                gradient.copy_(part.view_as(gradient))


def _buckets(gradients: Iterable[Tensor]) -> list[list[Tensor]]:
    """Gradients of one type together, at most BUCKET values in a message unless one alone is larger."""
    out: list[list[Tensor]] = []
    size = 0
    for gradient in gradients:
        if out and out[-1][0].dtype is gradient.dtype and size + gradient.numel() <= BUCKET:
            out[-1].append(gradient)
            size += gradient.numel()
        else:
            out.append([gradient])
            size = gradient.numel()
    return out
