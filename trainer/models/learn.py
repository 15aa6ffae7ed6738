"""One optimiser step of any objective: passes whose gradients add up to the batch's, however it is cut into passes."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from trainer.data import AnyRow, Sized, split_by_length, split_by_tokens
from trainer.runtime import sharding
from trainer.runtime.distributed import Processes
from trainer.runtime.memory import is_out_of_memory, release

MICRO_TOKENS = 1024  # padded tokens in one pass on a processor: activations stay in its caches, little is padded


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward pass: what is differentiated, the part of it that is told as loss, and how many labels were hit.

    `figures` are sums that an objective tells besides.
    """

    whole: Tensor
    loss: Tensor
    hits: int
    figures: Mapping[str, float] = field(default_factory=dict)


Taught = TypeVar("Taught", bound=Sized, contravariant=True)


class Objective(Protocol[Taught]):
    """What a batch of rows teaches a model."""

    def totals(self, rows: Sequence[Taught]) -> tuple[float, ...]:
        """What the loss of a whole batch is divided by; the first is the count of labels (or tokens) learned."""
        ...

    def passed(self, rows: Sequence[Taught], totals: Sequence[float]) -> Pass:
        """The share of these rows in the loss of a batch with these totals: shares add up to the mean."""
        ...


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """Weights trained at one rate; `name` is the metric that tells it."""

    name: str
    weights: tuple[nn.Parameter, ...]
    rate: float
    weight_decay: float = 0.0


class LearnSpec(Protocol):
    """What a recipe's dataclass says of an optimiser step."""

    @property
    def batch_size(self) -> int: ...
    @property
    def micro_batch(self) -> int: ...
    @property
    def max_grad_norm(self) -> float: ...


@dataclass(frozen=True, slots=True)
class StepReport:
    """One optimiser step: mean loss over labels in nats, gradient norm before the cut, share of labels hit, seconds.

    `updated` is False when loss or gradient was not finite and the weights were left alone. `figures` are the sums of
    this process's passes.
    """

    loss: float
    grad_norm: float
    accuracy: float
    tokens: int
    seconds: float
    updated: bool
    figures: Mapping[str, float] = field(default_factory=dict)


class Passes(Protocol[AnyRow]):
    """How a batch is cut into passes."""

    def __call__(self, rows: Sequence[AnyRow], most: int, budget: int | None, /) -> list[list[AnyRow]]:
        """At most `most` rows in each; about `budget` tokens if given."""
        ...


def padded_passes(rows: Sequence[AnyRow], most: int, budget: int | None) -> list[list[AnyRow]]:
    """A batch into passes of at most `most` rows, or of `budget` padded tokens; longest first, so little is padded."""
    if budget is None:
        return split_by_length(rows, most)
    return [[rows[i] for i in group] for group in split_by_tokens([row.length for row in rows], budget)]


class Learner(Generic[AnyRow]):
    """AdamW over `groups`. `micro_batch` is the most rows of one pass; it only ever shrinks, when memory runs out."""

    def __init__(
        self,
        model: nn.Module,
        objective: Objective[AnyRow],
        groups: Sequence[ParameterGroup],
        accelerator: Accelerator,
        spec: LearnSpec,
        *,
        check: Callable[[], None],
        told: Callable[[int, int], None],
        passes: Passes[AnyRow] = padded_passes,
    ) -> None:
        """`check` is called before every pass and may raise; `told(rows, was)` when the micro-batch was halved.

        `passes(rows, most, budget)` cuts a batch into passes of at most `most` rows, of `budget` tokens if given.
        """
        self.model = model.to(accelerator.device).train()
        self.objective = objective
        self.accelerator = accelerator
        self.spec = spec
        self.processes = Processes(accelerator)
        self._sharded = bool(sharding.parts_of(model))
        self.micro_batch = spec.micro_batch or spec.batch_size
        self._check, self._told, self._passes = check, told, passes
        self._figures: dict[str, float] = {}
        self.optimiser = torch.optim.AdamW(
            [
                {"params": list(g.weights), "lr": g.rate, "rate": g.rate, "weight_decay": g.weight_decay}
                for g in groups
                if g.weights
            ],
            fused=True,
        )

    def learn(self, rows: Sequence[AnyRow], scale: float = 1.0) -> StepReport:
        """One step on these rows at `scale` of the full rates. Raises MemoryError when not even one row fits."""
        began = time.perf_counter()
        for group in self.optimiser.param_groups:
            group["lr"] = group["rate"] * scale
        mine = self.processes.part_of(rows)
        totals = self.processes.sum(self.objective.totals(mine))
        while (summed := self._over_processes(self._try_gradients(mine, totals, rows[0]))) is None:
            self._halve(len(rows))
        loss, hits = summed
        weights = [weight for _, weight in trained(self.model)]
        if not self._sharded:
            self.processes.add_gradients(weights)
        norm = float(sharding.whole(torch.nn.utils.clip_grad_norm_(weights, self.spec.max_grad_norm or math.inf)))
        updated = math.isfinite(loss) and math.isfinite(norm)
        if updated:
            self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        tokens = sum(row.length for row in rows)
        seconds = time.perf_counter() - began
        return StepReport(loss, norm, hits / totals[0], tokens, seconds, updated, self._figures)

    def _try_gradients(
        self, rows: Sequence[AnyRow], totals: Sequence[float], spare: AnyRow
    ) -> tuple[float, float] | None:
        """Add up this process's gradient: its share of the mean loss, labels hit. None when memory ran out."""
        try:
            return self._gradients(rows, totals, spare)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or self._sharded:  # spread over processes, a pass cannot end in one alone
                raise
            return None

    def _over_processes(self, mine: tuple[float, float] | None) -> tuple[float, float] | None:
        """Loss and hits of all processes; None when memory ran out in any of them."""
        failed, loss, hits = self.processes.sum((float(mine is None), *(mine or (0.0, 0.0))))
        return None if failed else (loss, hits)

    def _gradients(self, rows: Sequence[AnyRow], totals: Sequence[float], spare: AnyRow) -> tuple[float, float]:
        """Processes that share a model's weights pass as often as each other: where rows run out, over `spare`."""
        self.optimiser.zero_grad(set_to_none=True)
        total, hits = 0.0, 0
        figures: defaultdict[str, float] = defaultdict(float)
        passes = self._micro_batches(rows)
        turns = self.processes.most(len(passes)) if self._sharded else len(passes)
        for turn in range(turns):
            self._check()
            sharding.sum_gradients_now(self.model, turn + 1 == turns)
            counts = turn < len(passes)
            with self.accelerator.autocast():
                done = self.objective.passed(passes[turn] if counts else [spare], totals)
            self.accelerator.backward(done.whole if counts else done.whole * 0.0)
            total += float(done.loss.detach()) * counts
            hits += done.hits * counts
            for name, value in done.figures.items() if counts else ():
                figures[name] += value
        self._figures = figures
        return total, hits

    def _micro_batches(self, rows: Sequence[AnyRow]) -> list[list[AnyRow]]:
        free = self.accelerator.device.type == "cpu" and not self.spec.micro_batch and self.micro_batch >= len(rows)
        return self._passes(rows, self.micro_batch, MICRO_TOKENS if free else None)

    def _halve(self, rows: int) -> None:
        was = min(self.micro_batch, -(-rows // self.processes.count))
        if was == 1:
            raise MemoryError(
                "memory ran out with one row at a time; lower max_length, train fewer weights (LoRA, last layers), "
                "or turn on gradient checkpointing"
            )
        release()
        self.micro_batch = was // 2
        self._told(was // 2, was)


def trained(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Names and weights that are trained, each once."""
    return ((name, weight) for name, weight in model.named_parameters() if weight.requires_grad)


def schedule(step: int, total: int, warmup: float, decay: float) -> float:
    """Share of the full rate: rises over the first `warmup` of the steps, falls over the last `decay` of them."""
    rising, falling = warmup * total, decay * total
    rise = (step + 1) / rising if step + 1 < rising else 1.0
    fall = (total - step) / (falling + 1) if total - step < falling + 1 else 1.0
    return min(rise, fall)
