"""What an evaluation wrote: every sample stored exactly once, its problem once for all runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from studio.store import schema as s
from studio.store.schema_reason import evaluation, evaluation_problem
from studio.store.scores import Stored, total_changes
from trainer.contract.records import EvaluationRecord


def store_records(c: Connection, batch_id: int, records: Sequence[EvaluationRecord]) -> Stored:
    """Store samples under a batch that is being written, after its traces; a known id changes nothing."""
    if not records:
        return Stored(0, 0, 0)
    problems = _problems(c, records)
    uids = {record.trace for record in records if record.trace}
    found = c.execute(select(s.trace.c.uid, s.trace.c.id).where(s.trace.c.uid.in_(uids)))
    traces = {row.uid: row.id for row in found}
    before = total_changes(c)
    values = [_values(record, batch_id, problems[record.row], traces.get(record.trace)) for record in records]
    c.execute(insert(evaluation).on_conflict_do_nothing(), values)
    stored = total_changes(c) - before
    return Stored(stored=stored, known=len(records) - stored, lost=0)


def _problems(c: Connection, records: Sequence[EvaluationRecord]) -> dict[str, int]:
    """The ids of the records' problems, made where they are new."""
    p = evaluation_problem.c
    rows = {
        record.row: {
            "row": record.row,
            "suite": record.suite,
            "prompt": record.problem,
            "reference": record.reference,
        }
        for record in records
    }
    c.execute(insert(evaluation_problem).on_conflict_do_nothing(), list(rows.values()))
    return {row.row: row.id for row in c.execute(select(p.row, p.id).where(p.row.in_(rows)))}


def _values(record: EvaluationRecord, batch_id: int, problem_id: int, trace_id: int | None) -> dict[str, Any]:
    return {
        "record": record.id,
        "batch_id": batch_id,
        "problem_id": problem_id,
        "trace_id": trace_id,
        "suite": record.suite,
        "model": record.model,
        "version": record.version,
        "prm": record.prm,
        "strategy": record.strategy,
        "compute": record.compute,
        "budget": record.budget,
        "sample": record.sample,
        "answer": record.answer,
        "correct": _grade(record.correct),
        "strict": _grade(record.strict),
        "lenient": _grade(record.lenient),
        "thinking_tokens": record.thinking_tokens,
        "answer_tokens": record.answer_tokens,
        "truncated": int(record.truncated),
        "seed": record.seed,
        "tokens": record.spent.tokens,
        "prm_calls": record.spent.prm_calls,
        "seconds": record.spent.seconds,
        "cost": record.spent.cost,
        "why": record.why,
        "detail": dict(record.detail),
    }


def _grade(correct: bool | None) -> int | None:
    return None if correct is None else int(correct)
