"""Log-probabilities and entropy of chosen tokens from hidden states, in chunks: B x T x V never stands in memory.

The plain way makes all logits, their log-softmax, and gradients of both. Here a chunk of positions at a time is brought
through the output head, and again in the backward pass, where the gradient of its logits is written over them. What
stays is as large as the hidden states or the head, never positions times vocabulary. Positions that all fit into one
chunk keep their logits for the backward pass: that is one chunk's memory, and saves making them twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from trainer.models.products import product

CHUNK_NUMBERS = 2**23
"""Logits in one chunk where the caller names no size: 32 MB in float32."""


@dataclass(frozen=True, slots=True)
class Head:
    """A model's output head: weight [V, D], bias [V] or None."""

    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True, slots=True)
class LogProbs:
    """Log-probability of each chosen token and the entropy of the distribution it was chosen from, in nats."""

    logprobs: Tensor
    entropy: Tensor


def head_of(model: nn.Module) -> Head:
    """The output head of a causal language model, for logits = hidden @ weight.T + bias.

    Raises ValueError for a model whose logits are more than that (caps, scales): they would be silently wrong.
    """
    layer = cast(Any, model).get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if not isinstance(layer, nn.Linear):
        raise ValueError(f"{type(model).__name__}: its output head is {type(layer).__name__}, a linear layer is needed")
    config = getattr(model, "config", None)
    for name in ("final_logit_softcapping", "logit_scale", "logits_scaling"):
        value = getattr(config, name, None)
        if value not in (None, 1, 1.0):
            raise ValueError(
                f"{type(model).__name__}: its logits are changed by {name}={value}, which is not supported"
            )
    return Head(layer.weight, layer.bias)


def token_logprobs(
    hidden: Tensor,
    head: Head,
    chosen: Tensor,
    *,
    temperature: float = 1.0,
    chunk: int | None = None,
    entropy_gradient: bool = False,
) -> LogProbs:
    """Log p(chosen) and entropy [N] under softmax((hidden @ W.T + b) / temperature), in float32 or wider.

    `hidden` [N, D], `chosen` [N]. `chunk` positions pass the head at a time. The entropy carries a gradient only when
    asked to: it costs a little more. Raises ValueError for shapes that do not fit or a temperature not above 0.
    """
    if hidden.dim() != 2 or chosen.shape != hidden.shape[:1] or hidden.shape[1] != head.weight.shape[1]:
        raise ValueError(
            f"hidden {tuple(hidden.shape)}, chosen {tuple(chosen.shape)}, head {tuple(head.weight.shape)}: "
            "[N, D], [N] and [V, D] are needed"
        )
    if not temperature > 0:
        raise ValueError(f"a temperature of {temperature}: it must be above 0")
    rows = chunk or max(1, CHUNK_NUMBERS // head.weight.shape[0])
    logprobs, entropy = _ChunkedLogProbs.apply(
        hidden, head.weight, head.bias, chosen, float(temperature), rows, entropy_gradient
    )
    return LogProbs(logprobs, entropy)


def sequence_logprobs(
    hidden: Tensor,
    head: Head,
    ids: Tensor,
    mask: Tensor,
    *,
    temperature: float = 1.0,
    chunk: int | None = None,
    entropy_gradient: bool = False,
) -> LogProbs:
    """Log p(ids[:, t] | ids[:, :t]) and entropy [B, T] where the mask is set, 0 elsewhere.

    `hidden` [B, T, D] are the body's last states (after its last norm), `ids` and `mask` [B, T]. Only positions before
    a masked token pass the head. The first token of a row has nothing before it: a mask there raises ValueError.
    """
    if bool(mask[:, 0].any()):
        raise ValueError("the mask is set on a row's first token, which nothing predicts")
    wanted = mask[:, 1:].bool()
    picked = token_logprobs(
        hidden[:, :-1][wanted],
        head,
        ids[:, 1:][wanted],
        temperature=temperature,
        chunk=chunk,
        entropy_gradient=entropy_gradient,
    )

    def spread(values: Tensor) -> Tensor:
        whole = torch.zeros(ids.shape, dtype=values.dtype, device=values.device)
        place = torch.zeros_like(mask, dtype=torch.bool)
        place[:, 1:] = wanted
        return whole.masked_scatter(place, values)

    return LogProbs(spread(picked.logprobs), spread(picked.entropy))


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None, temperature: float) -> Tensor:
    """One chunk's logits [n, V] in float32 or wider, in memory of their own."""
    logits = product(hidden, weight, bias)
    wide = logits if logits.dtype in (torch.float32, torch.float64) else logits.float()
    return wide if temperature == 1.0 else wide.div_(temperature)


class _ChunkedLogProbs(torch.autograd.Function):
    """Forward keeps hidden states, log-normalisers and entropies; backward makes each chunk's logits once more.

    Unless there is only one chunk: then its log-probabilities are kept.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's context has no public type
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        chosen: Tensor,
        temperature: float,
        rows: int,
        entropy_gradient: bool,
    ) -> tuple[Tensor, Tensor]:
        wide = hidden.dtype if hidden.dtype == torch.float64 else torch.float32
        logprobs = torch.empty(len(hidden), dtype=wide, device=hidden.device)
        normalisers, entropy = torch.empty_like(logprobs), torch.empty_like(logprobs)
        kept = None
        for at in range(0, len(hidden), rows):
            here = slice(at, at + rows)
            logits = _logits(hidden[here], weight, bias, temperature)
            picked = logits.gather(1, chosen[here, None]).squeeze(1)
            highest = logits.amax(1, keepdim=True)
            logits -= highest
            chances = logits.exp()
            total = chances.sum(1)
            shifted = total.log()
            expected = chances.mul_(logits).sum(1) / total
            entropy[here] = shifted - expected
            normalisers[here] = shifted + highest.squeeze(1)
            logprobs[here] = picked - normalisers[here]
            if len(hidden) <= rows:
                kept = logits.sub_(shifted[:, None])
        ctx.save_for_backward(hidden, weight, bias, chosen, normalisers, entropy, kept)
        ctx.temperature, ctx.rows, ctx.entropy_gradient = temperature, rows, entropy_gradient
        if not entropy_gradient:
            ctx.mark_non_differentiable(entropy)
        return logprobs, entropy

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_logprobs: Tensor, of_entropy: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        hidden, weight, bias, chosen, normalisers, entropy, kept = ctx.saved_tensors
        for_hidden, for_weight, for_bias = (ctx.needs_input_grad[i] for i in range(3))
        to_hidden = torch.empty_like(hidden) if for_hidden else None
        to_weight: Tensor | None = None
        to_bias = torch.zeros_like(bias, dtype=normalisers.dtype) if for_bias else None
        for at in range(0, len(hidden), ctx.rows):
            here = slice(at, at + ctx.rows)
            if kept is None:
                log_chances = _logits(hidden[here], weight, bias, ctx.temperature).sub_(normalisers[here, None])
            else:
                log_chances = kept.clone()
            slopes = _slopes(
                log_chances,
                chosen[here],
                of_logprobs[here],
                of_entropy[here] if ctx.entropy_gradient else None,
                entropy[here],
            )
            if ctx.temperature != 1.0:
                slopes /= ctx.temperature
            narrow = slopes.to(hidden.dtype)
            if to_hidden is not None:
                to_hidden[here] = product(narrow, weight.t())
            if for_weight:
                part = product(narrow.T, hidden[here].T)
                to_weight = part.to(normalisers.dtype) if to_weight is None else to_weight.add_(part)
            if to_bias is not None:
                to_bias += slopes.sum(0)
        return (
            to_hidden,
            to_weight.to(weight.dtype) if to_weight is not None else torch.zeros_like(weight) if for_weight else None,
            None if to_bias is None else to_bias.to(bias.dtype),
            *(None,) * 4,
        )


def _slopes(
    log_chances: Tensor, chosen: Tensor, of_logprobs: Tensor, of_entropy: Tensor | None, entropy: Tensor
) -> Tensor:
    """The loss's gradient by scaled logits [n, V], written over the log-probabilities [n, V].

    d log p_c / dz = 1[c] - p and dH / dz = -p (log p + H).
    """
    if of_entropy is None:
        slopes = log_chances.exp_().mul_(-of_logprobs[:, None])
    else:
        chances = log_chances.exp()
        factors = log_chances.add_(entropy[:, None]).mul_(-of_entropy[:, None]).sub_(of_logprobs[:, None])
        slopes = factors.mul_(chances)
    return slopes.scatter_add_(1, chosen[:, None], of_logprobs[:, None])
