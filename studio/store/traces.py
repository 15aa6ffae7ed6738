"""Traces: reading one or many with their current steps, listing them by page, adding them.

Rows of a batch that is not published are seen by nobody here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, and_, exists, func, literal, or_, select
from sqlalchemy import insert as insert_into
from sqlalchemy.sql.elements import ColumnElement

from studio.domain import Changes, Problem, Segmentation, Topic, Trace, TraceRow, changed, new_uid, now
from studio.errors import NotFoundError
from studio.store.schema import (
    annotation,
    batch,
    message,
    problem,
    project_trace,
    rating,
    score,
    segmentation,
    step,
    trace,
)
from trainer.contract.records import Block, BlockKind, FinishReason, Message, Step
from trainer.reasoning.split import fold_of

SEPARATOR = "\n\n"
TITLE_LENGTH = 160
_CHUNK = 500  # ids in one IN (...)


class TraceOrder(StrEnum):
    """How a list of traces is sorted."""

    POSITION = "position"  # as they stand in the project
    NEWEST = "newest"
    LOW_SCORE = "lowest score first"


class ErrorFilter(StrEnum):
    """Which traces by the first negative step of a submitted annotation."""

    ANY = ""
    FOUND = "error found"
    NONE = "rated without error"
    UNRATED = "unrated"


@dataclass(frozen=True, slots=True)
class TraceQuery:
    """Which traces, in which order. `text` is found as in `studio.store.find`."""

    project: int | None = None
    text: str = ""
    finish: FinishReason | None = None
    annotator: int | None = None
    first_error: ErrorFilter = ErrorFilter.ANY
    order: TraceOrder = TraceOrder.POSITION


@dataclass(frozen=True, slots=True)
class NewTrace:
    """A trace to add: `text` with its messages and steps as spans of it; see `from_steps` for bare steps."""

    prompt: str
    text: str
    messages: tuple[Message, ...]
    steps: tuple[Step, ...]
    reference_answer: str | None = None
    reference_solution: str | None = None
    source: str = ""
    model: str = ""
    answer: str | None = None
    outcome: int | None = None
    separator: str | None = None
    uid: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Added:
    """A stored trace."""

    trace_id: int
    segmentation_id: int
    problem_id: int
    changes: Changes


@dataclass(frozen=True, slots=True)
class Joined:
    """Bare steps put together: the raw text, its one message and the spans."""

    text: str
    messages: tuple[Message, ...]
    steps: tuple[Step, ...]


def join_steps(steps: Sequence[str], separator: str = SEPARATOR) -> Joined:
    """The trace that a list of bare steps stands for: one assistant message of one answer block."""
    spans, at = [], 0
    for number, text in enumerate(steps):
        spans.append(Step(number, at, at + len(text)))
        at += len(text) + len(separator)
    text = separator.join(steps)
    return Joined(text, (Message("assistant", (Block(BlockKind.ANSWER, 0, len(text)),)),), tuple(spans))


def from_steps(prompt: str, steps: Sequence[str], *, separator: str = SEPARATOR, **rest: Any) -> NewTrace:  # noqa: ANN401
    """A NewTrace of bare steps; `rest` as the fields of NewTrace."""
    joined = join_steps(steps, separator)
    return NewTrace(prompt, joined.text, joined.messages, joined.steps, separator=separator, **rest)
