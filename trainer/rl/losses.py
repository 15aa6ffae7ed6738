"""Losses of policy and value head as pure functions of tensors.

Shapes: B traces, T tokens of their responses; `mask` [B, T] is 1 on the tokens that learn. A loss is a *sum* over a
micro-batch divided by a normaliser that the caller counts over everything that goes into one optimiser step (`Counts`),
so the losses of micro-batches add up to that of the batch, however it is cut. With several processes whose gradients
are averaged, count over all of them and multiply the loss by their number.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.contract.specs.rl import Algorithm, KlForm

FARTHEST = 20.0
"""Log-ratios beyond this are cut inside exponentials, so that one token cannot make a loss infinite."""


@dataclass(frozen=True, slots=True)
class Clip:
    """How far the probability ratio may move: 1 - low .. 1 + high, and a cap on it where the advantage is negative.

    For CISPO only `high` counts: its weight is min(ratio, 1 + high), taken as a constant.
    """

    low: float = 0.2
    high: float = 0.2
    cap: float | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """What one optimiser step learns from: traces, tokens inside the mask, and the longest response allowed."""

    traces: int
    tokens: int
    longest: int

    @classmethod
    def of(cls, mask: Tensor, longest: int) -> Counts:
        """The counts of a batch; those of its parts add up by `+`."""
        return cls(int(mask.shape[0]), int(mask.sum()), longest)

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.traces + other.traces, self.tokens + other.tokens, max(self.longest, other.longest))

    def normaliser(self, algorithm: Algorithm) -> float:
        """What the summed loss is divided by.

        grpo: traces (each is a mean over its tokens, so that tokens of long traces weigh less).
        dr_grpo: traces * longest. dapo, cispo, ppo: tokens of the whole batch. bnpo: tokens too, but each process
        divides by its own and their number is not multiplied back; on one process it is dapo.
        """
        if algorithm is Algorithm.GRPO:
            return float(max(self.traces, 1))
        if algorithm is Algorithm.DR_GRPO:
            return float(max(self.traces * self.longest, 1))
        return float(max(self.tokens, 1))


@dataclass(frozen=True, slots=True)
class PolicyLoss:
    """The loss to differentiate, and sums over tokens for the metrics (divide by the batch's tokens)."""

    loss: Tensor
    clipped_low: float
    clipped_high: float
    log_ratio: float
    tokens: int


def policy_loss(
    logprobs: Tensor,
    old: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    algorithm: Algorithm,
    counts: Counts,
    clip: Clip,
) -> PolicyLoss:
    """The clipped policy loss: -min(ratio * A, clip(ratio) * A); for CISPO -min(ratio, 1 + high) * A * logprob.

    `logprobs` [B, T] carry the gradient, `old` [B, T] are those of the policy that wrote the traces. `advantages` are
    [B, T], or [B] where a trace has one.
    Sources: PPO 2017, DeepSeekMath 2024, DAPO 2025, Dr. GRPO 2025, MiniMax-M1 2025 (CISPO).
    """
    scores = _inside((advantages if advantages.dim() == 2 else advantages.unsqueeze(1)).expand_as(logprobs), mask)
    chosen = _inside(logprobs, mask)
    log_ratio = (chosen - _inside(old.detach(), mask)).clamp(-FARTHEST, FARTHEST)
    ratio = log_ratio.exp()
    if algorithm is Algorithm.CISPO:
        by_token = -ratio.clamp(max=1 + clip.high).detach() * scores * chosen
    else:
        free = ratio if clip.cap is None else ratio.clamp(max=clip.cap)
        by_token = -torch.min(free * scores, ratio.clamp(1 - clip.low, 1 + clip.high) * scores)
    with torch.no_grad():
        low = ((ratio < 1 - clip.low) & (scores < 0)).sum()
        high = ((ratio > 1 + clip.high) & (scores > 0)).sum()
        drift = log_ratio.sum()
    loss = aggregate(by_token, mask, algorithm, counts)
    return PolicyLoss(loss, float(low), float(high), float(drift), int(mask.sum()))


def aggregate(by_token: Tensor, mask: Tensor, algorithm: Algorithm, counts: Counts) -> Tensor:
    """Token losses [B, T] as one number: this micro-batch's share of the mean that the algorithm takes."""
    summed = _inside(by_token, mask).sum(1)
    if algorithm is Algorithm.GRPO:
        summed = summed / mask.sum(1).clamp(min=1)
    return summed.sum() / counts.normaliser(algorithm)


def kl(logprobs: Tensor, reference: Tensor, form: KlForm) -> Tensor:
    """Estimates of KL(policy || reference) at tokens that the policy drew (Schulman 2020), of any shape.

    With d = log reference - log policy: k1 = -d (unbiased, may be negative), k2 = d^2 / 2 (biased, and its gradient is
    the KL's), k3 = exp(d) - d - 1 (unbiased, never negative).
    """
    distance = reference.detach() - logprobs
    if form is KlForm.K1:
        return -distance
    if form is KlForm.K2:
        return distance.square() / 2
    return distance.clamp(max=FARTHEST).exp() - distance - 1


def kl_by_token(logprobs: Tensor, old: Tensor, reference: Tensor, form: KlForm) -> Tensor:
    """A token loss [B, T] whose expected gradient, over tokens drawn by the old policy, is that of the KL divergence.

    The plain k1 has an expected gradient of 0 and k3 that of the other direction; times the differentiable ratio both
    are right, and k2 needs the ratio as a constant.
    """
    ratio = (logprobs - old.detach()).clamp(-FARTHEST, FARTHEST).exp()
    return kl(logprobs, reference, form) * (ratio.detach() if form is KlForm.K2 else ratio)


def kl_reward(logprobs: Tensor, reference: Tensor, form: KlForm, weight: float) -> Tensor:
    """What the distance takes off the reward of every token [B, T]: -weight * kl, without gradient."""
    return -weight * kl(logprobs.detach(), reference, form)


def value_loss(
    values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, *, counts: Counts, clip: float | None = 0.2
) -> Tensor:
    """PPO's value loss: half the mean of max((V - R)^2, (V_old + clip(V - V_old) - R)^2) over the batch's tokens."""
    target, told, before = _inside(returns.detach(), mask), _inside(values, mask), _inside(old_values.detach(), mask)
    errors = (told - target).square()
    if clip is not None:
        held = before + (told - before).clamp(-clip, clip)
        errors = torch.max(errors, (held - target).square())
    return 0.5 * errors.sum() / max(counts.tokens, 1)


def mean_entropy(entropy: Tensor, mask: Tensor, *, counts: Counts) -> Tensor:
    """This micro-batch's share of the mean entropy a token; subtract it, weighted, from the loss as a bonus."""
    return _inside(entropy, mask).sum() / max(counts.tokens, 1)


def _inside(values: Tensor, mask: Tensor) -> Tensor:
    """The values where the mask is set, else 0: padding that is no number must not spoil a gradient."""
    return torch.where(mask.bool(), values, torch.zeros_like(values))
