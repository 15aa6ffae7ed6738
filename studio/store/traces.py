"""Traces: reading one or many with their current steps, listing them by page, adding them.

Rows of a batch that is not published are seen by nobody here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, and_, select
from sqlalchemy import insert as insert_into

from studio.domain import Changes, Problem, Segmentation, Topic, Trace, changed, new_uid, now
from studio.errors import NotFoundError
from studio.store import batches, projects
from studio.store.schema import message, problem, segmentation, step, trace
from studio.store.trace_list import ErrorFilter, OutcomeFilter, TraceOrder, TraceQuery, count, rows
from trainer.contract.records import Block, BlockKind, Message, Step
from trainer.reasoning.split import fold_of

__all__ = [
    "Added",
    "ErrorFilter",
    "Joined",
    "NewTrace",
    "OutcomeFilter",
    "TraceOrder",
    "TraceQuery",
    "add",
    "count",
    "from_steps",
    "join_steps",
    "load",
    "load_many",
    "problem_uid",
    "rows",
]

SEPARATOR = "\n\n"
_CHUNK = 500  # ids in one IN (...)


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


def load(c: Connection, trace_id: int) -> Trace:
    """One trace with its current segmentation. Raises NotFoundError."""
    found = load_many(c, (trace_id,))
    if not found:
        raise NotFoundError(f"there is no trace {trace_id} in this workspace; it may have been removed")
    return found[0]


def load_many(c: Connection, ids: Sequence[int]) -> tuple[Trace, ...]:
    """Traces in the order of `ids`; ids that nobody may see are left out."""
    found: dict[int, Trace] = {}
    for start in range(0, len(ids), _CHUNK):
        found |= _load_chunk(c, ids[start : start + _CHUNK])
    return tuple(found[i] for i in ids if i in found)


def _load_chunk(c: Connection, ids: Sequence[int]) -> dict[int, Trace]:
    query = (
        select(trace, problem.c.uid.label("problem_uid"), problem.c.prompt, problem.c.reference_answer)
        .add_columns(problem.c.source, problem.c.fold, segmentation.c.id.label("segmentation_id"))
        .add_columns(segmentation.c.version, segmentation.c.method)
        .join(problem, problem.c.id == trace.c.problem_id)
        .join(segmentation, and_(segmentation.c.trace_id == trace.c.id, segmentation.c.current == 1))
        .where(trace.c.id.in_(ids), batches.visible(trace.c.batch_id))
    )
    rows = c.execute(query).all()
    messages = _messages(c, ids)
    steps = _steps(c, [row.segmentation_id for row in rows])
    return {
        row.id: Trace(
            row.id,
            row.uid,
            Problem(row.problem_id, row.problem_uid, row.prompt, row.reference_answer, row.source, row.fold),
            row.text,
            tuple(messages.get(row.id, ())),
            Segmentation(row.segmentation_id, row.version, tuple(steps.get(row.segmentation_id, ())), row.method),
            row.model,
            row.answer,
            row.outcome,
        )
        for row in rows
    }


def _messages(c: Connection, trace_ids: Sequence[int]) -> dict[int, list[Message]]:
    found: dict[int, list[Message]] = {}
    query = select(message).where(message.c.trace_id.in_(trace_ids)).order_by(message.c.trace_id, message.c.ordinal)
    for row in c.execute(query):
        blocks = tuple(Block(BlockKind(kind), start, end) for kind, start, end in row.blocks)
        found.setdefault(row.trace_id, []).append(Message(row.role, blocks))
    return found


def _steps(c: Connection, segmentation_ids: Sequence[int]) -> dict[int, list[Step]]:
    found: dict[int, list[Step]] = {}
    query = (
        select(step.c.segmentation_id, step.c.step_id, step.c.start, step.c.end)
        .where(step.c.segmentation_id.in_(segmentation_ids))
        .order_by(step.c.segmentation_id, step.c.ordinal)
    )
    for owner, step_id, start, end in c.execute(query).all():  # at once: a long trace has tens of thousands
        found.setdefault(owner, []).append(Step(step_id, start, end))
    return found


def add(
    c: Connection,
    new: NewTrace,
    *,
    batch_id: int,
    project_id: int | None = None,
    problem_id: int | None = None,
    method: str = "import",
) -> Added:
    """Store a trace and its problem (shared by equal problems); with a project it stands at the project's end.

    `problem_id` names a problem that is here; `method` says where the steps come from.
    """
    problem_id = _problem(c, new) if problem_id is None else problem_id
    uid, moment = new.uid or new_uid(), now()
    trace_id = _inserted(
        c,
        trace,
        uid=uid,
        problem_id=problem_id,
        batch_id=batch_id,
        line=new.line,
        model=new.model,
        text=new.text,
        separator=new.separator,
        answer=new.answer,
        outcome=new.outcome,
        created_at=moment,
    )
    for ordinal, each in enumerate(new.messages):
        blocks = [[block.kind.value, block.start, block.end] for block in each.blocks]
        c.execute(insert_into(message).values(trace_id=trace_id, ordinal=ordinal, role=each.role, blocks=blocks))
    cut = {"method": method, "created_at": moment, "steps": len(new.steps)}
    segmentation_id = _inserted(c, segmentation, trace_id=trace_id, version=1, **cut)
    spans = [
        {"segmentation_id": segmentation_id, "ordinal": ordinal, "step_id": s.id, "start": s.start, "end": s.end}
        for ordinal, s in enumerate(new.steps)
    ]
    if spans:
        c.execute(insert_into(step), spans)
    if project_id is not None:
        projects.put_traces(c, project_id, (trace_id,), batch_id=batch_id)
    return Added(trace_id, segmentation_id, problem_id, changed(Topic.TRACES, traces=(trace_id,)))


def problem_uid(said: dict[str, Any]) -> str:
    """The name of a problem: a digest of all that a source said of it (32 hex digits)."""
    return hashlib.sha256(msgspec.json.encode(said, order="deterministic")).hexdigest()[:32]


def _problem(c: Connection, new: NewTrace) -> int:
    said = {
        "prompt": new.prompt,
        "reference_answer": new.reference_answer,
        "reference_solution": new.reference_solution,
        "source": new.source,
    }
    uid = problem_uid(said)
    known = c.scalar(select(problem.c.id).where(problem.c.uid == uid))
    return known if known is not None else _inserted(c, problem, uid=uid, fold=fold_of(new.prompt), **said)


def _inserted(c: Connection, table: Table, **values: object) -> int:
    key = c.execute(insert_into(table).values(**values)).inserted_primary_key
    assert key is not None
    return int(key[0])
