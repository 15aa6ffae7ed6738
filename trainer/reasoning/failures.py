"""Why a trace is wrong: its first bad step and a cause, by rules alone, each with a quote of the text.

The first bad step is, in this order, what a person rated bad, what a machine label calls bad, the first step that a
PRM scores below a threshold, or the first step with a false equation; the result says which. The cause is the first
of the checks in `classify` that holds; a trace for which none holds is `unknown`, never guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from trainer.contract.records import BlockKind, Message
from trainer.reasoning.arithmetic import Verdict, check_step
from trainer.reasoning.segment import Span

NAME, VERSION = "rules", "1"
LOW = 0.5  # a score or label below it is bad


class Cause(StrEnum):
    """What went wrong."""

    SLIP = "slip"
    MISREAD = "misread"
    LOOP = "loop"
    CUT_OFF = "cut off"
    FORMAT = "format"
    TOOL_ERROR = "tool error"
    GRADER_WRONG = "grader wrong"
    UNKNOWN = "unknown"


class Basis(StrEnum):
    """Who says which step is the first bad one."""

    HUMAN = "human rating"
    LABEL = "machine label"
    SCORE = "PRM score"
    CHECK = "exact check"
    NONE = "nobody"


@dataclass(frozen=True, slots=True)
class Regrade:
    """What the graders say of the answer; None = not asked or not decided."""

    strict: bool | None = None
    lenient: bool | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A trace as it is stored: spans count code points of `text`, values are one a step (None = nothing said)."""

    text: str
    steps: tuple[Span, ...]
    problem: str = ""
    answer: str | None = None
    reference: str | None = None
    outcome: int | None = None
    ended: str = ""  # the source's own word for how it ended
    messages: tuple[Message, ...] = ()
    rated_bad: int | None = None  # position of the first step that a person rated bad
    labels: tuple[float | None, ...] = ()
    scores: tuple[float | None, ...] = ()
    regrade: Regrade = Regrade()


@dataclass(frozen=True, slots=True)
class FirstBad:
    """The first bad step (None: nobody says) and on what basis."""

    step: int | None
    basis: Basis


@dataclass(frozen=True, slots=True)
class Evidence:
    """The span of the text that shows a cause, and why it does; `step` where that says more than the span."""

    cause: Cause
    start: int
    end: int
    why: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Cause and first bad step of a wrong trace; `quote` is text[start:end], word for word."""

    cause: Cause
    step: int | None
    basis: Basis
    start: int
    end: int
    quote: str
    why: str


Check = Callable[[Case, FirstBad], Evidence | None]


def is_wrong(case: Case) -> bool:
    """Whether it failed: its outcome says so, or, without an outcome, a person rated a step bad."""
    return case.outcome == 0 or (case.outcome is None and case.rated_bad is not None)


def first_bad(case: Case, *, low: float = LOW) -> FirstBad:
    """The first bad step by the best source there is."""
    if case.rated_bad is not None:
        return FirstBad(case.rated_bad, Basis.HUMAN)
    for values, basis in ((case.labels, Basis.LABEL), (case.scores, Basis.SCORE)):
        found = next((n for n, value in enumerate(values) if value is not None and value < low), None)
        if found is not None and found < len(case.steps):
            return FirstBad(found, basis)
    found = first_false(case)
    return FirstBad(found, Basis.NONE if found is None else Basis.CHECK)


def first_false(case: Case) -> int | None:
    """The first step with a false equation of numbers."""
    for place, span in enumerate(case.steps):
        if "=" in (text := span.of(case.text)) and check_step(text).verdict is Verdict.WRONG:
            return place
    return None


def classify(case: Case, *, low: float = LOW) -> Failure:
    """The cause of a trace that is taken for wrong. Deterministic; reads no more than the case."""
    from trainer.reasoning import failure_checks as checks

    bad = first_bad(case, low=low)
    order: Sequence[Check] = (
        checks.grader_wrong,
        checks.slip,
        checks.loop,
        checks.cut_off,
        checks.tool_error,
        checks.misread,
        checks.answer_form,
    )
    found = next((evidence for check in order if (evidence := check(case, bad)) is not None), None)
    if found is None:
        found = _unexplained(case, bad)
    step = bad.step if bad.step is not None else step_at(case, found.start)
    if found.cause in (Cause.GRADER_WRONG, Cause.FORMAT) and bad.basis in (Basis.NONE, Basis.CHECK):
        step = step_at(case, found.start)
    quote = case.text[found.start : found.end]
    return Failure(found.cause, step, bad.basis, found.start, found.end, quote, found.why)


def step_at(case: Case, point: int) -> int | None:
    """The last step that begins at or before a code point; None without steps before it."""
    place = None
    for number, span in enumerate(case.steps):
        if span.start > point:
            break
        place = number
    return place


def tool_results(case: Case) -> tuple[Span, ...]:
    """Every tool result of the trace, in order."""
    return tuple(
        Span(block.start, block.end)
        for message in case.messages
        for block in message.blocks
        if block.kind is BlockKind.TOOL_RESULT
    )


def _unexplained(case: Case, bad: FirstBad) -> Evidence:
    """The bad step itself, or the end of the text, is what there is to look at."""
    if bad.step is not None and bad.step < len(case.steps):
        span = case.steps[bad.step]
        return Evidence(Cause.UNKNOWN, span.start, span.end, "no rule explains this step")
    last = case.steps[-1] if case.steps else Span(0, len(case.text))
    return Evidence(Cause.UNKNOWN, last.start, last.end, "no rule explains it, and nobody says which step is bad")
