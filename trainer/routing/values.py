"""What a router asks its models, and what they answer; whatever stands behind it. Torch-free."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec

from trainer.contract.generated import Spent
from trainer.contract.records import InputRow, TraceRecord
from trainer.reasoning.budget import Grant, allocate

if TYPE_CHECKING:
    from trainer.models.growing import Told

FAST, REASONING = "fast", "reasoning"
FIRST = {FAST: 0, REASONING: 1 << 12}
"""The number of a tier's first trace among those of its row in this run."""
Check = Callable[[], None]


class OutOfTime(Exception):
    """The latency budget is spent; raised by `timed`."""


@dataclass(frozen=True, slots=True)
class Question:
    """A row to be answered: its type of task, what stands before the problem, and how difficult it is, if known.

    `key` is what the ids of its records come of: the request's id, "" = the row's.
    """

    row: InputRow
    task: str = ""
    context: str = ""
    difficulty: float | None = None
    by: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Effort:
    """What a model may use for one problem, and how it draws: samples, tokens of thinking and answer of each.

    A difficulty splits the sum of both anew: see `trainer.reasoning.budget`.
    """

    n: int = 1
    thinking: int = 512
    answer: int = 256
    temperature: float = 0.7
    top_p: float = 0.95
    seed: int = 0

    @property
    def tokens(self) -> int:
        """Most tokens of one sample."""
        return self.thinking + self.answer

    def cut_to(self, tokens: int) -> Effort:
        """One sample of so many tokens, thinking and answer as before."""
        answer = max(1, round(tokens * self.answer / self.tokens))
        return replace(self, n=1, thinking=max(0, tokens - answer), answer=answer)

    def grant(self, question: Question) -> Grant:
        """The budgets of one sample."""
        if question.difficulty is None:
            return Grant(self.thinking, self.answer, None, "hand")
        return allocate(self.tokens, question.difficulty, question.by)


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One trace: its record, its answer, mean and least log-prob of the answer's span, the PRM's least step score."""

    trace: TraceRecord
    answer: str | None
    mean: float | None = None
    least: float | None = None
    prm: float | None = None
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model made of a question. `problem` says why samples are missing, "" when none are.

    `spent.seconds` is this question's share of the work; `partial` are traces that broke off: kept, but no
    answers. `saved` is what a cached answer had cost.
    """

    samples: tuple[Sample, ...]
    spent: Spent
    problem: str = ""
    partial: tuple[TraceRecord, ...] = ()
    saved: Spent = Spent()


Tell: TypeAlias = "Callable[[Sequence[Told]], None]"
"""Hears text of traces that are being written; `ask` is the place of the question, `trace` of the sample."""


class Backend(Protocol):
    """A model that can be asked, here or elsewhere."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def identity(self) -> str:
        """All that makes it another model: checksum or address, and how it is asked."""
        ...

    def ask(
        self, questions: Sequence[Question], effort: Effort, check: Check, tell: Tell | None, until: float | None
    ) -> list[Reply]:
        """Answer all; a question that fails for good has a `problem`. Past `until` (monotonic) what is open is given
        up. Raises only what `check` raises."""
        ...


def timed(check: Check, until: float | None) -> Check:
    """A check that raises OutOfTime past `until` (monotonic seconds; None = never)."""
    if until is None:
        return check

    def look() -> None:
        check()
        if time.monotonic() >= until:
            raise OutOfTime

    return look


def whole(question: int, number: int, trace: TraceRecord) -> Told:
    """A finished trace told in one piece."""
    from trainer.models.growing import Told  # brings torch, which routers without a listener do not need

    return Told(question, number, trace.text, part="answer", done=True)
