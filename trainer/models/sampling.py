"""How tokens are drawn and counted: the settings, what comes out, and the draw itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.reasoning.thinking import CLOSE

if TYPE_CHECKING:
    from trainer.models.prefixes import Prefix

COLDEST = 1e-6  # temperature below which logits over it leave float32; the draw is greedy long before


class Measured(StrEnum):
    """Whose log-prob and entropy are reported: the policy at the temperature (before top-p), or at temperature 1."""

    TEMPERED = "tempered"
    RAW = "raw"


class Ended(StrEnum):
    """Why a trace ended."""

    STOP = "stop"  # a stop id; it is the last token
    TEXT = "text"  # a stop text; the token that completes it is the last
    LENGTH = "length"  # max_new_tokens
    BUDGET = "budget"  # the answer's own cap
    CONTEXT = "context"  # the model reads no further


class ThinkingEnded(StrEnum):
    """How the thinking of a trace ended under a budget."""

    CLOSED = "closed"  # by the model
    NUDGED = "nudged"  # by the model, within the grace window
    FORCED = "forced"  # by the cap
    OPEN = "open"  # not at all: the trace ended first
    BEFORE = "before"  # the prompt had ended it
    STOPPED = "stopped"  # by the model's end of text, which was taken back: the mark was written instead


@dataclass(frozen=True, slots=True)
class BudgetRule:
    """Thinking and answer counted apart, in tokens; None is no cap. The tokens of the mark itself count in neither.

    Thinking lasts until `close` is written. In the last `grace` share of the cap the next token of `forced` gains a
    bias that grows to `bias` logits; at the cap `forced` is written for the model. The first `continuations` times
    the model closes by itself, the mark is taken back and `wait` written instead (budget forcing, s1). With
    `close_at_stop` a stop id within the thinking is such a close too, and after the last of them `forced` is written.
    """

    thinking: int | None = None
    answer: int | None = None
    grace: float = 0.05
    bias: float = 10.0
    close: str = CLOSE
    forced: str = CLOSE
    continuations: int = 0
    wait: str = "Wait"
    close_at_stop: bool = False
    thinking_over: bool = False  # the prompt already stands in the answer
    thinking_used: int = 0  # tokens of thinking that the prompt already holds
    answer_used: int = 0
    owed: tuple[int, ...] = ()  # tokens of a mark or a wait that the prompt has only begun

    def __post_init__(self) -> None:
        if (self.thinking is not None and self.thinking < 0) or (self.answer is not None and self.answer < 1):
            raise ValueError(f"a thinking budget is at least 0 tokens, an answer budget at least 1; got {self}")


@dataclass(frozen=True, slots=True)
class Sampling:
    """Temperature 0 takes the most probable token. `stop_ids` None means the model's own end of text."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 256
    stop_ids: tuple[int, ...] | None = None
    stop_texts: tuple[str, ...] = ()
    budget: BudgetRule | None = None
    measured: Measured = Measured.TEMPERED

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.max_new_tokens < 1:
            raise ValueError(f"temperature at least 0, top_p in (0, 1], max_new_tokens at least 1; got {self}")


@dataclass(frozen=True, slots=True, eq=False)
class Generated:
    """One trace's new tokens, the token that stopped it included.

    `logprobs` and `entropy` [tokens] in nats, of the policy without the budget's bias; where `forced` [tokens] the
    budget wrote the token, not the policy. thinking_tokens + answer_tokens + the close mark's = tokens
    (thinking_tokens is negative where the prompt had begun the mark). `owed` are tokens the budget had still to write.
    `drawn` counts the tokens that were taken back too.
    """

    ids: NDArray[np.int64]
    logprobs: NDArray[np.float32]
    entropy: NDArray[np.float32]
    forced: NDArray[np.bool_]
    ended: Ended
    seed: int
    thinking_tokens: int = 0
    answer_tokens: int = 0
    continued: int = 0
    thinking_ended: ThinkingEnded | None = None
    prefix: Prefix | None = None
    owed: tuple[int, ...] = ()
    drawn: int = 0


@dataclass(frozen=True, slots=True)
class Delta:
    """New tokens of one trace; the last `dropped` tokens told before are taken back first. `ended`: with these."""

    prompt: int
    trace: int
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    dropped: int = 0
    entropy: tuple[float, ...] = ()
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Drawn:
    """The next token of every row, its log-prob and the entropy, all [rows]."""

    ids: Tensor
    logprobs: Tensor
    entropy: Tensor


class Draws:
    """Uniform numbers of every row from a generator of its own: a row's numbers depend on its seed alone."""

    BLOCK = 64

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self._generators = [np.random.Generator(np.random.Philox(seed % 2**64)) for seed in seeds]
        self._device = device
        self._step = 0
        self._block = torch.empty(0)

    def next(self) -> Tensor:
        """One number in [0, 1) a row [rows, 1]."""
        place = self._step % self.BLOCK
        if place == 0:
            block = np.stack([generator.random(self.BLOCK) for generator in self._generators])
            self._block = torch.from_numpy(block).to(self._device, torch.float32 if self._mps else torch.float64)
        self._step += 1
        return self._block[:, place : place + 1]

    @property
    def _mps(self) -> bool:
        return self._device.type == "mps"

    def drop(self, row: int) -> None:
        """Let a row go: the last row takes its place."""
        last = self._generators.pop()
        if row < len(self._generators):
            self._generators[row] = last
            self._block[row] = self._block[-1].clone()
        self._block = self._block[:-1]


def draw(
    logits: Tensor,
    uniform: Tensor | None,
    sampling: Sampling,
    biased: Sequence[tuple[int, int, float]] = (),
    forced: Sequence[tuple[int, int]] = (),
) -> Drawn:
    """One token a row of `logits` [rows, vocabulary] by `uniform` [rows, 1] (None: the most probable).

    `biased` are (row, token, logits more) for the draw alone, `forced` (row, token) are taken without a draw.
    """
    logits = logits.float()
    warmth = max(sampling.temperature, COLDEST) if sampling.temperature else 1.0
    tempered = logits if warmth == 1.0 else logits / warmth
    policy = tempered if sampling.measured is Measured.TEMPERED else logits
    shares = policy.softmax(-1)
    # The log of the sum of exponentials, from its largest term.
    total = policy.amax(-1, keepdim=True) - shares.amax(-1, keepdim=True).log()
    entropy = total[:, 0] - torch.linalg.vecdot(shares, policy)
    if uniform is None:
        ids = _largest(_with_bias(logits, biased) if biased else logits)
    else:
        if biased:
            shares = (_with_bias(logits, biased) / warmth).softmax(-1)
        elif policy is not tempered:
            shares = tempered.softmax(-1)
        ids = _invert(_nucleus(shares, sampling.top_p), uniform)
    for row, token in forced:
        ids[row, 0] = token
    return Drawn(ids[:, 0], (policy.gather(1, ids) - total)[:, 0], entropy)


def _largest(logits: Tensor) -> Tensor:
    """The place of the largest of each row [rows, 1]; the first of equals."""
    if logits.device.type != "cpu":
        return logits.argmax(-1, keepdim=True)
    return torch.from_numpy(logits.numpy().argmax(-1, keepdims=True))  # ten times as fast on a large vocabulary


def _with_bias(logits: Tensor, biased: Sequence[tuple[int, int, float]]) -> Tensor:
    out = logits.clone()
    for row, token, more in biased:
        out[row, token] += more
    return out


def _nucleus(shares: Tensor, top_p: float) -> Tensor:
    """The most probable tokens that together reach `top_p`, the rest zero."""
    if top_p >= 1.0:
        return shares
    ordered, order = shares.sort(dim=-1, descending=True, stable=True)
    ordered = ordered.masked_fill(ordered.cumsum(-1) - ordered >= top_p, 0.0)
    return torch.zeros_like(shares).scatter_(-1, order, ordered)


def _invert(shares: Tensor, uniform: Tensor) -> Tensor:
    """The token [rows, 1] at which the sum of the shares passes `uniform` of their total."""
    rising = shares.cumsum(-1, dtype=uniform.dtype)
    chosen = torch.searchsorted(rising, uniform * rising[:, -1:], right=True)
    last = shares.shape[-1] - 1
    return chosen.clamp_max_(last)
