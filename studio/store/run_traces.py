"""Traces that a run wrote: stored once by their record's id, and shown in a project of the run's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select, update

from studio.domain import Changes
from studio.store import batches, projects, token_values, traces
from studio.store import schema as s
from studio.store.scores import Stored
from studio.store.token_values import TokenArrays
from trainer.contract.generated import TokenBytes, TraceBudget
from trainer.contract.records import TraceRecord
from trainer.reasoning.response import read_response

METHOD = "lines of the response"
CONTESTED = "contested"
"""The format of a batch of traces that were sent to labelling: they stand in a project of their own."""


def store_records(c: Connection, batch_id: int, records: Sequence[TraceRecord]) -> Stored:
    """Store traces under a batch that is being written; one that is known by its id changes nothing."""
    known = set(c.scalars(select(s.trace.c.uid).where(s.trace.c.uid.in_([record.id for record in records]))))
    problems = _problems(c, records)
    last = c.scalar(select(func.max(s.trace.c.line)).where(s.trace.c.batch_id == batch_id))
    stored, line = 0, -1 if last is None else int(last)
    for record in records:
        if record.id in known:
            continue
        known.add(record.id)
        stored, line = stored + 1, line + 1
        problem = problems.get((record.row, record.problem, record.reference))
        added = traces.add(c, _new(record, line), batch_id=batch_id, problem_id=problem, method=METHOD)
        _add_what_is_known(c, added.trace_id, batch_id, record)
    return Stored(stored=stored, known=len(records) - stored, lost=0)


def _add_what_is_known(c: Connection, trace_id: int, batch_id: int, record: TraceRecord) -> None:
    """The budget, the token values, and in `extra` how the trace was made (see `made_how`)."""
    extra = made_how(record)
    if record.budget is not None or extra:
        values = {"budget": None if record.budget is None else budget_said(record.budget), "extra": extra or None}
        c.execute(update(s.trace).where(s.trace.c.id == trace_id).values(**values))
    if record.tokens is not None:
        token_values.put(c, trace_id, batch_id, token_arrays(record.tokens))


def budget_said(budget: TraceBudget) -> dict[str, Any]:
    """A budget under the names of `studio.store.conversations.Budget`."""
    granted = [part for part in (budget.thinking_granted, budget.answer_granted) if part is not None]
    whole = sum(granted) if len(granted) == 2 else None
    return {
        "requested": whole,
        "granted": whole,
        "used": budget.used,
        "thinking": budget.thinking,
        "answer": budget.answer,
        "thinking_granted": budget.thinking_granted,
        "answer_granted": budget.answer_granted,
        "ended": budget.thinking_ended or budget.ended,
    }


def made_how(record: TraceRecord) -> dict[str, Any]:
    """What else a run says of a trace: settings, the trace it was continued from, who judged the difficulty, how
    thinking and text ended, how many tokens were drawn, kept or not, and which of those kept the budget wrote
    ([first, last) in the order of tokens)."""
    out: dict[str, Any] = {}
    if record.settings:
        out["settings"] = record.settings
    if record.source:
        out |= {"source": record.source, "forked_at": record.forked_at}
    elif record.forked_at is not None:  # behind a text that is no trace here
        out["forked_at"] = record.forked_at
    if record.budget is not None:
        said = record.budget
        out |= {"ended": said.ended, "thinking_ended": said.thinking_ended, "continued": said.continued}
        if said.drawn is not None:
            out["drawn"] = said.drawn
        if said.difficulty is not None:
            out |= {"difficulty": said.difficulty, "by": said.by}
    if record.tokens is not None and (runs := _stretches(record.tokens.forced)):
        out["forced"] = runs
    return out


def token_arrays(tokens: TokenBytes) -> TokenArrays:
    """Packed values as arrays."""
    return TokenArrays(
        np.frombuffer(tokens.starts, "<u4"),
        np.frombuffer(tokens.logprobs, "<f4") if tokens.logprobs else None,
        np.frombuffer(tokens.entropy, "<f4") if tokens.entropy else None,
    )


def _stretches(marked: bytes) -> list[list[int]]:
    """Where a mask of one byte a token is set: [first, last) of every stretch."""
    edges = np.flatnonzero(np.diff(np.frombuffer(b"\0" + marked + b"\0", np.uint8) != 0))
    return [[int(first), int(last)] for first, last in edges.reshape(-1, 2)]


def _new(record: TraceRecord, line: int) -> traces.NewTrace:
    return traces.NewTrace(
        record.problem,
        record.text,
        record.messages,
        record.steps,
        reference_answer=record.reference,
        model=record.model,
        answer=read_response(record.text).answer,
        outcome=record.outcome,
        uid=record.id,
        line=line,
    )


def _problems(c: Connection, records: Iterable[TraceRecord]) -> dict[tuple[str, str, str | None], int]:
    """The problems of the rows that records answer, where they are still here and say the same."""
    rows = {record.row.rpartition(":")[0]: record.row for record in records}
    p = s.problem.c
    query = (
        select(s.trace.c.uid, p.id, p.prompt, p.reference_answer)
        .join(s.problem, p.id == s.trace.c.problem_id)
        .where(s.trace.c.uid.in_(rows))
    )
    return {(rows[row.uid], row.prompt, row.reference_answer): row.id for row in c.execute(query)}


def show(c: Connection, run_id: int, name: str, batch_id: int) -> Changes:
    """Put the traces of a batch into the run's project, "Run: NAME", made when there is none; nothing without traces.

    Belongs into the transaction that publishes the batch.
    """
    if c.scalar(select(s.trace.c.id).where(s.trace.c.batch_id == batch_id).limit(1)) is None:
        return Changes()
    project = _project(c, run_id, name)
    c.execute(update(s.batch).where(s.batch.c.id == batch_id).values(project_id=project))
    return projects.put_batch(c, project, batch_id)


def show_new(c: Connection, run_id: int, name: str, batch_id: int, uids: Sequence[str]) -> Changes:
    """Put traces that a resident run has just written into its project, made when there is none."""
    found = {
        row.uid: int(row.id) for row in c.execute(select(s.trace.c.uid, s.trace.c.id).where(s.trace.c.uid.in_(uids)))
    }
    if not found:
        return Changes()
    project = _project(c, run_id, name)
    c.execute(update(s.batch).where(s.batch.c.id == batch_id).values(project_id=project))
    return projects.put_traces(c, project, [found[uid] for uid in uids if uid in found], batch_id=batch_id)


def project_of(c: Connection, run_id: int) -> int | None:
    """The project in which the traces of a run stand; None while it has none."""
    earlier = (
        select(s.batch.c.project_id)
        .where(s.batch.c.run_id == run_id, s.batch.c.state == batches.PUBLISHED, s.batch.c.project_id.is_not(None))
        .where(s.batch.c.format != CONTESTED)
        .order_by(s.batch.c.id)
    )
    known = c.scalar(earlier.limit(1))
    return None if known is None else int(known)


def domains_of(c: Connection, trace_id: int) -> tuple[str, ...]:
    """The projects that say what kind of problem a trace is of: its own, else those of other traces of the problem.

    What a run wrote stands in a project of the run, which says nothing of that; so nothing may be known.
    """
    made = select(s.batch.c.project_id).where(
        s.batch.c.run_id.is_not(None), s.batch.c.project_id.is_not(None), s.batch.c.format != CONTESTED
    )
    placed, problem = s.project_trace.c, select(s.trace.c.problem_id).where(s.trace.c.id == trace_id).scalar_subquery()
    for which in (placed.trace_id == trace_id, s.trace.c.problem_id == problem):
        query = (
            select(s.project.c.name)
            .join(s.project_trace, placed.project_id == s.project.c.id)
            .join(s.trace, s.trace.c.id == placed.trace_id)
            .where(which, s.project.c.id.not_in(made))
            .group_by(s.project.c.id)
            .order_by(s.project.c.id)
        )
        if found := tuple(c.scalars(query)):
            return found
    return ()


def _project(c: Connection, run_id: int, name: str) -> int:
    """The project of an earlier ingest of this run, else a new one under a free name."""
    known = project_of(c, run_id)
    if known is not None:
        return known
    free = wanted = f"Run: {name}"
    number = 1
    while projects.by_name(c, free) is not None:
        number += 1
        free = f"{wanted} ({number})"
    return projects.create(c, free).id
