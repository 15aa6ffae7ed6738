"""The policy as it is taught: a causal language model whose loss reads only the tokens that are learned.

Logits are made a chunk of positions at a time and turned into gradients at once, so positions x vocabulary never stands
in memory. Several short rows may lie on one line: each has its own positions and sees itself alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainer.models.learn import Pass
from trainer.models.products import WIDTHS, multiply_fast, product
from trainer.prompts import Demonstration, PromptSettings, packed
from trainer.rl.logprobs import CHUNK_NUMBERS, head_of

SETTINGS_KEY = "steplens"


@dataclass(frozen=True, slots=True)
class TextBatch:
    """Lines of right-padded ids [lines, width].

    `places` [learned] are the flat positions whose next token is learned, `targets` [learned] those tokens.
    `positions` [lines, width] and `mask` [lines, 1, width, width] (True = seen) only where rows share a line.
    """

    ids: Tensor
    places: Tensor
    targets: Tensor
    positions: Tensor | None = None
    mask: Tensor | None = None


@dataclass(frozen=True, slots=True)
class TokenLoss:
    """Sum of the cross-entropy over the learned tokens in nats, and how many of them were the most likely."""

    loss: Tensor
    hits: int


class Language(nn.Module):
    """A Hugging Face causal language model without dropout.

    Padding is on the right and the body is causal, so no mask is needed: a real token never sees padding.
    """

    def __init__(self, model: Any, settings: PromptSettings) -> None:  # noqa: ANN401 - any HF causal language model
        """Raises ValueError for a model whose logits are more than a linear layer's."""
        super().__init__()
        self.model = model
        self.settings = settings
        head_of(model)
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
            if isinstance(getattr(module, "attention_dropout", None), float):
                module.attention_dropout = 0.0
        multiply_fast(model)
        model.config.use_cache = False
        setattr(model.config, SETTINGS_KEY, settings.as_dict())

    @property
    def body(self) -> Any:  # noqa: ANN401 - any HF body
        """The causal body."""
        return getattr(self.model, self.model.base_model_prefix)

    @property
    def blocks(self) -> nn.Module:
        """The module that holds the stack of blocks: the body, under its adapters."""
        body = self.body
        return body.get_base_model() if hasattr(body, "get_base_model") else body

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return head_of(self.model).weight.device

    def states(self, batch: TextBatch) -> Tensor:
        """Last hidden states [lines, width, hidden]."""
        shared = {}
        if batch.mask is not None:
            shared = {"position_ids": batch.positions, "attention_mask": self._as_read(batch.mask)}
        return self.body(input_ids=batch.ids, use_cache=False, **shared).last_hidden_state

    def _as_read(self, mask: Tensor) -> Tensor:
        """A mask as this model's attention takes it: true and false, or what is added to the scores."""
        if self.model.config._attn_implementation != "eager":
            return mask
        return torch.zeros(mask.shape, device=mask.device).masked_fill_(~mask, torch.finfo(torch.float32).min)

    def forward(self, batch: TextBatch) -> TokenLoss:
        """The loss of a batch's learned tokens."""
        states = self.states(batch).flatten(0, 1).index_select(0, batch.places)
        head = head_of(self.model)
        loss, hits = _ChunkedLoss.apply(states, head.weight, head.bias, batch.targets, torch.is_grad_enabled())
        return TokenLoss(loss, int(hits))

    def save(self, folder: Path) -> None:
        """A plain Hugging Face folder for AutoModelForCausalLM; a LoRA adapter is merged and kept beside."""
        body = self.body
        if hasattr(body, "merge_and_unload"):
            body.save_pretrained(str(folder / "adapter"))
            setattr(self.model, self.model.base_model_prefix, body.merge_and_unload())
        self.model.save_pretrained(str(folder))


class _ChunkedLoss(torch.autograd.Function):
    """Summed cross-entropy of softmax(states @ weight.T + bias) against targets, and hits.

    The gradient of a chunk's logits is softmax - onehot; its products with the states and the head are taken while the
    chunk stands, and the backward pass only scales them.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        states: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        learn: bool,
    ) -> tuple[Tensor, Tensor]:
        needs = [learn and bool(need) for need in ctx.needs_input_grad[:3]]
        exact = torch.float64 if states.dtype is torch.float64 else torch.float32
        by_states = torch.empty_like(states) if needs[0] else None
        by_weight = torch.zeros_like(weight, dtype=exact) if needs[1] else None
        by_bias = torch.zeros_like(bias, dtype=exact) if bias is not None and needs[2] else None
        loss = torch.zeros((), dtype=exact, device=states.device)
        hits = torch.zeros((), dtype=torch.int64, device=states.device)
        size = max(1, CHUNK_NUMBERS // weight.shape[0])
        for start in range(0, len(states), size):
            part, target = states[start : start + size], targets[start : start + size]
            logits = product(part, weight, bias).to(loss.dtype)
            hits += (logits.argmax(-1) == target).sum()
            chosen = logits.gather(-1, target[:, None])
            total = logits.logsumexp(-1, keepdim=True)
            loss += (total - chosen).sum()
            if not any(needs):
                continue
            slope = logits.sub_(total).exp_()
            slope.scatter_add_(-1, target[:, None], torch.full_like(chosen, -1.0))
            if by_states is not None:
                by_states[start : start + size] = product(slope.to(weight.dtype), weight.t())
            if by_weight is not None:
                by_weight += product(slope.to(part.dtype).T, part.T)
            if by_bias is not None:
                by_bias += slope.sum(0)
        ctx.save_for_backward(*(part for part in (by_states, by_weight, by_bias) if part is not None))
        ctx.kept = [part is not None for part in (by_states, by_weight, by_bias)]
        ctx.dtypes = (states.dtype, weight.dtype, None if bias is None else bias.dtype)
        ctx.mark_non_differentiable(hits)
        return loss, hits

    @staticmethod
    def backward(ctx: Any, slope: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        saved = iter(ctx.saved_tensors)
        parts = [next(saved) if kept else None for kept in ctx.kept]
        return (*(None if p is None else (p * slope).to(d) for p, d in zip(parts, ctx.dtypes, strict=True)), None, None)


class DemonstrationObjective:
    """Mean cross-entropy over the learned tokens of a batch, however the batch is cut and laid out."""

    def __init__(self, language: Language, *, packing: bool) -> None:
        self._language = language
        self._packing = packing

    def totals(self, rows: Sequence[Demonstration]) -> tuple[float, ...]:
        """Tokens learned."""
        return (sum(row.learned for row in rows),)

    def passed(self, rows: Sequence[Demonstration], totals: Sequence[float]) -> Pass:
        """These rows' share of the batch's loss."""
        found = self._language(collate(rows, self._language.device, packing=self._packing, widths=WIDTHS))
        loss = found.loss / totals[0]
        return Pass(loss, loss, found.hits)


def collate(
    rows: Sequence[Demonstration], device: torch.device | str = "cpu", *, packing: bool = False, widths: int = 1
) -> TextBatch:
    """Rows to a batch: a line each, or several on a line as wide as the longest, up to a multiple of `widths`."""
    width = -(-max(row.length for row in rows) // widths) * widths
    lines = packed([row.length for row in rows], width) if packing else [[index] for index in range(len(rows))]
    shape = (len(lines), width)
    ids, positions, owner = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.full(shape, -1, np.int32)
    places, targets = [], []
    for line, members in enumerate(lines):
        begin = 0
        for index in members:
            row = rows[index]
            end = begin + row.length
            ids[line, begin:end] = row.ids
            positions[line, begin:end] = np.arange(row.length)
            owner[line, begin:end] = index
            places.append(np.arange(max(row.prompt, 1) - 1, row.length - 1) + begin + line * width)
            targets.append(row.ids[max(row.prompt, 1) :])
            begin = end
    batch = TextBatch(_on(device, ids), _on(device, np.concatenate(places)), _on(device, np.concatenate(targets)))
    if len(lines) == len(rows):
        return batch
    return TextBatch(batch.ids, batch.places, batch.targets, _on(device, positions), _mask(_on(device, owner)))


def _mask(owner: Tensor) -> Tensor:
    """What each token sees [lines, 1, width, width]: the tokens before it of its own row; padding sees padding."""
    width = owner.shape[1]
    seen = owner[:, :, None] == owner[:, None, :]
    seen &= torch.ones(width, width, dtype=torch.bool, device=owner.device).tril()
    return seen[:, None]


def _on(device: torch.device | str, values: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(values).to(device)
