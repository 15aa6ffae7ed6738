"""Advantages as tensors: groups of scalar rewards, returns, GAE for a value head, whitening over masked tokens.

Shapes: B traces, T tokens of their responses, padded on the right; `mask` [B, T] is 1 on the response's tokens.
Advantages from step scores are made by `trainer.reasoning.credit`, which needs no torch; `padded` brings them here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from trainer.reasoning.credit import TINY, GroupScale


@dataclass(frozen=True, slots=True)
class Gae:
    """Advantages and the returns that the value head should learn, both [B, T] and 0 outside the mask."""

    advantages: Tensor
    returns: Tensor


def padded(rows: Sequence[ArrayLike], length: int | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
    """Rows of numbers [T_i] as one tensor [B, length], zeros on the right. Raises ValueError for a longer row."""
    tensors = [torch.as_tensor(row, dtype=dtype) for row in rows]
    longest = max((len(t) for t in tensors), default=0)
    if length is not None and longest > length:
        raise ValueError(f"a row of {longest} numbers does not fit into {length}")
    result = torch.zeros(len(tensors), longest if length is None else length, dtype=dtype)
    for i, row in enumerate(tensors):
        result[i, : len(row)] = row
    return result


def group_advantages(rewards: Tensor, groups: Tensor, scale: GroupScale = GroupScale.GROUP) -> Tensor:
    """GRPO's advantage of each trace [B]: its reward less its group's mean, over the std of group or batch + 1e-4.

    `groups` [B] names each trace's problem. The std is that of a sample (n - 1). A NaN reward could not be decided: it
    gets 0 and does not count. A group of one gets 0.
    """
    known = ~torch.isnan(rewards)
    _, index = torch.unique(groups, return_inverse=True)
    size = int(index.max()) + 1 if len(index) else 0
    values = torch.where(known, rewards, torch.zeros_like(rewards))

    def summed(of: Tensor) -> Tensor:
        return torch.zeros(size, dtype=rewards.dtype, device=rewards.device).index_add(0, index, of)

    count = summed(known.to(rewards.dtype))
    centred = torch.where(known, values - (summed(values) / count.clamp(min=1))[index], torch.zeros_like(values))
    if scale is GroupScale.NONE:
        return centred
    if scale is GroupScale.BATCH:
        batch = rewards[known]
        return centred / ((batch.std() if len(batch) > 1 else 0.0) + TINY)
    spread = (summed(centred.square()) / (count - 1).clamp(min=1)).sqrt()
    return centred / (spread[index] + TINY)


def discounted_returns(rewards: Tensor, mask: Tensor, gamma: float = 1.0) -> Tensor:
    """G_t = r_t + gamma * G_{t+1} over the masked tokens [B, T]; 0 outside."""
    paid = rewards * mask
    if gamma == 1.0:
        return paid.flip(1).cumsum(1).flip(1) * mask
    result, after = torch.zeros_like(paid), torch.zeros_like(paid[:, 0])
    for t in range(paid.shape[1] - 1, -1, -1):
        after = paid[:, t] + gamma * after
        result[:, t] = after
    return result * mask


def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float = 1.0, lam: float = 0.95) -> Gae:
    """Generalised advantage estimates by token (Schulman et al. 2015): A_t = sum_l (gamma lam)^l delta_{t+l}.

    delta_t = r_t + gamma V_{t+1} - V_t, with V = 0 after a response's last token. `values` [B, T] are detached.
    """
    inside = mask.to(rewards.dtype)
    paid, value = rewards * inside, values.detach().to(rewards.dtype) * inside
    result = torch.zeros_like(paid)
    after, carried = torch.zeros_like(paid[:, 0]), torch.zeros_like(paid[:, 0])
    for t in range(paid.shape[1] - 1, -1, -1):
        carried = (paid[:, t] + gamma * after - value[:, t] + gamma * lam * carried) * inside[:, t]
        after = value[:, t]
        result[:, t] = carried
    return Gae(result, (result + value) * inside)


def moments(values: Tensor, mask: Tensor) -> Tensor:
    """Count, sum and sum of squares of the masked values [3] in float64; those of several processes add up."""
    inside, wide = mask.double(), values.double()
    return torch.stack([inside.sum(), (wide * inside).sum(), (wide.square() * inside).sum()])


def whiten(values: Tensor, mask: Tensor, stats: Tensor | None = None, *, centre: bool = True) -> Tensor:
    """Masked values with mean 0 (unless not centred) and sample variance 1; 0 outside the mask.

    `stats` are the `moments` of the whole batch where these values are only a part of it.
    """
    count, total, squares = (moments(values, mask) if stats is None else stats).to(values.device).unbind()
    mean = total / count.clamp(min=1)
    variance = (squares - count * mean.square()).clamp(min=0) / (count - 1).clamp(min=1)
    result = (values.double() - (mean if centre else 0.0)) * torch.rsqrt(variance + 1e-8)
    return (result * mask).to(values.dtype)
