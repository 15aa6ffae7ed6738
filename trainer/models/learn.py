"""One optimiser step of a PRM: micro-batches whose gradients add up to the batch's, whatever their size."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator

from trainer.contract.spec import PrmSpec
from trainer.data import TokenRow, split_by_length, split_by_tokens
from trainer.models.prm import Prm, collate_labelled, parameter_groups, spoken_of, step_loss, trained
from trainer.runtime.memory import is_out_of_memory, release

MICRO_TOKENS = 1024  # padded tokens in one pass on a processor: activations stay in its caches, little is padded


@dataclass(frozen=True, slots=True)
class StepReport:
    """One optimiser step: mean loss over labels in nats, gradient norm before the cut, share of labels hit, seconds.

    `updated` is False when loss or gradient was not finite and the weights were left alone.
    """

    loss: float
    grad_norm: float
    accuracy: float
    tokens: int
    seconds: float
    updated: bool


class Learner:
    """AdamW at two rates. `micro_batch` is the most rows of one pass; it only ever shrinks, when memory runs out."""

    def __init__(
        self,
        prm: Prm,
        accelerator: Accelerator,
        spec: PrmSpec,
        *,
        check: Callable[[], None],
        told: Callable[[int, int], None],
    ) -> None:
        """`check` is called before every pass and may raise; `told(rows, was)` when the micro-batch was halved."""
        self.prm = prm.to(accelerator.device).train()
        self.accelerator = accelerator
        self.spec = spec
        self.micro_batch = spec.micro_batch or spec.batch_size
        self._check, self._told = check, told
        groups = parameter_groups(
            prm, head_rate=spec.head_rate, body_rate=spec.body_rate, weight_decay=spec.weight_decay
        )
        self.optimiser = torch.optim.AdamW(groups, fused=True)

    def learn(self, rows: Sequence[TokenRow], scale: float = 1.0) -> StepReport:
        """One step on these rows at `scale` of the full rates. Raises MemoryError when not even one row fits."""
        began = time.perf_counter()
        for group in self.optimiser.param_groups:
            group["lr"] = group["rate"] * scale
        while (summed := self._try_gradients(rows)) is None:
            self._halve(len(rows))
        loss, hits, labels = summed
        weights = [weight for _, weight in trained(self.prm)]
        norm = float(torch.nn.utils.clip_grad_norm_(weights, self.spec.max_grad_norm or math.inf))
        updated = math.isfinite(loss) and math.isfinite(norm)
        if updated:
            self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        tokens = sum(row.length for row in rows)
        return StepReport(loss, norm, hits / labels, tokens, time.perf_counter() - began, updated)

    def _try_gradients(self, rows: Sequence[TokenRow]) -> tuple[float, int, int] | None:
        """Add up the gradient: mean loss, labels hit, labels. None when memory ran out."""
        try:
            return self._gradients(rows)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None

    def _gradients(self, rows: Sequence[TokenRow]) -> tuple[float, int, int]:
        self.optimiser.zero_grad(set_to_none=True)
        labels = sum(len(row.positions) for row in rows)
        words = sum(int(row.spoken.sum()) for row in rows) if self.spec.language_loss > 0 else 0
        total, hits = 0.0, 0
        for micro in self._micro_batches(rows):
            self._check()
            batch, targets = collate_labelled(micro, self.accelerator.device)
            with self.accelerator.autocast():
                logits, states = self.prm(batch)
                loss = step_loss(logits, targets) / labels
                whole = loss
                if words:
                    spoken = spoken_of(micro, batch)
                    whole = loss + self.spec.language_loss * self.prm.language_loss(batch, states, spoken) / words
            self.accelerator.backward(whole)
            total += float(loss.detach())
            hits += int((logits.detach().argmax(-1) == targets.argmax(-1)).sum())
        return total, hits, labels

    def _micro_batches(self, rows: Sequence[TokenRow]) -> list[list[TokenRow]]:
        if self.spec.micro_batch or self.accelerator.device.type != "cpu" or self.micro_batch < len(rows):
            return split_by_length(rows, self.micro_batch)
        return [[rows[i] for i in group] for group in split_by_tokens([row.length for row in rows], MICRO_TOKENS)]

    def _halve(self, rows: int) -> None:
        was = min(self.micro_batch, rows)
        if was == 1:
            raise MemoryError(
                "memory ran out with one row at a time; lower max_length, train fewer weights (LoRA, last layers), "
                "or turn on gradient checkpointing"
            )
        release()
        self.micro_batch = was // 2
        self._told(was // 2, was)


def schedule(step: int, total: int, warmup: float, decay: float) -> float:
    """Share of the full rate: rises over the first `warmup` of the steps, falls over the last `decay` of them."""
    rising, falling = warmup * total, decay * total
    rise = (step + 1) / rising if step + 1 < rising else 1.0
    fall = (total - step) / (falling + 1) if total - step < falling + 1 else 1.0
    return min(rise, fall)
