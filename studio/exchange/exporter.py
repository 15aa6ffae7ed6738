"""Writing annotations as PRM800K JSONL, from the tables alone, on one snapshot, by pages of annotations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, or_, select

from studio.domain import AnnotationState
from studio.exchange.prm800k import Record
from studio.exchange.prm800k_build import (
    StoredAnnotation,
    StoredCandidate,
    StoredQuestion,
    StoredRating,
    build,
    label_texts,
)
from studio.store import batches
from studio.store import schema as s

PAGE = 250


class Origin(StrEnum):
    """Where annotations come from."""

    ALL = "all"
    HERE = "here"
    IMPORTED = "imported"


@dataclass(frozen=True, slots=True)
class ExportQuery:
    """Which annotations; None: any."""

    project: int | None = None
    annotator: int | None = None
    submitted: bool = True
    source: Origin = Origin.ALL


def count(c: Connection, query: ExportQuery) -> int:
    """How many annotations the query has."""
    return int(c.scalar(select(func.count()).select_from(s.annotation).where(*_conditions(query))) or 0)


def records(c: Connection, query: ExportQuery) -> Iterator[Record]:
    """The records: imported ones in the order of their files, then those made here in the order they were begun."""
    a = s.annotation.c
    wanted = select(a.id).where(*_conditions(query)).order_by(a.batch_id.nulls_last(), a.line, a.id)
    ids = c.scalars(wanted).all()
    for start in range(0, len(ids), PAGE):
        yield from _page(c, ids[start : start + PAGE])


def encoded(c: Connection, query: ExportQuery) -> Iterator[bytes]:
    """The records as JSONL lines with their newlines."""
    encode = msgspec.json.Encoder().encode
    return (encode(record) + b"\n" for record in records(c, query))


def _conditions(query: ExportQuery) -> list[ColumnElement[bool]]:
    a = s.annotation.c
    wanted = [batches.visible(a.batch_id), a.kind == "rating", a.state != AnnotationState.VOID.value]
    if query.project is not None:
        wanted.append(a.project_id == query.project)
    if query.annotator is not None:
        wanted.append(a.annotator_id == query.annotator)
    if query.submitted:
        wanted.append(a.state == AnnotationState.SUBMITTED.value)
    if query.source is not Origin.ALL:
        wanted.append(a.batch_id.is_(None) if query.source is Origin.HERE else a.batch_id.is_not(None))
    return wanted


def _rows(ids: Sequence[int]) -> Select[Any]:
    a, first = s.annotation, s.segmentation
    return (
        select(a, s.annotator.c.uid.label("labeler"), first.c.id.label("first_segmentation"))
        .add_columns(s.trace.c.text, s.trace.c.answer, s.trace.c.extra.label("trace_extra"))
        .add_columns(s.problem.c.prompt, s.problem.c.reference_answer, s.problem.c.reference_solution)
        .add_columns(s.problem.c.extra.label("problem_extra"))
        .join(s.trace, s.trace.c.id == a.c.trace_id)
        .join(s.problem, s.problem.c.id == s.trace.c.problem_id)
        .join(first, and_(first.c.trace_id == a.c.trace_id, first.c.version == 1))
        .outerjoin(s.annotator, s.annotator.c.id == a.c.annotator_id)
        .where(a.c.id.in_(ids))
    )


def _page(c: Connection, ids: Sequence[int]) -> Iterator[Record]:
    rows = {row.id: row for row in c.execute(_rows(ids))}
    texts = _step_texts(c, rows.values())
    ratings, candidates = _ratings(c, ids), _candidates(c, rows.values())
    for key in ids:
        row = rows[key]
        question = StoredQuestion(
            row.prompt,
            row.reference_answer,
            row.reference_solution,
            row.problem_extra,
            row.answer,
            row.trace_extra,
            texts[row.first_segmentation, row.trace_id],
        )
        annotation = StoredAnnotation(
            row.labeler,
            row.submitted_at,
            row.generation,
            row.quality_control,
            row.screening,
            row.total_time_ms,
            row.finish_reason,
            row.path,
            row.extra,
            label_texts(texts[row.segmentation_id, row.trace_id], question),
            row.batch_id is not None,
            ratings.get(key, {}),
            candidates.get(key, {}),
        )
        yield build(annotation, question)


def _step_texts(c: Connection, rows: Iterable[Row[Any]]) -> dict[tuple[int, int], list[str]]:
    """Texts of the steps by (segmentation, trace)."""
    found: dict[tuple[int, int], list[str]] = {}
    text_of: dict[int, tuple[str, list[str]]] = {}
    for row in rows:
        for segmentation in (row.first_segmentation, row.segmentation_id):
            if segmentation not in text_of:
                texts = found[segmentation, row.trace_id] = []
                text_of[segmentation] = (row.text, texts)
    step = s.step.c
    query = select(step.segmentation_id, step.start, step.end).where(step.segmentation_id.in_(list(text_of)))
    for segmentation, start, end in c.execute(query.order_by(step.segmentation_id, step.ordinal)).all():
        text, texts = text_of[segmentation]
        texts.append(text[start:end])
    return found


def _ratings(c: Connection, ids: Sequence[int]) -> dict[int, dict[int, list[StoredRating]]]:
    found: dict[int, dict[int, list[StoredRating]]] = {}
    r = s.rating.c
    query = select(r.annotation_id, r.ordinal, r.option, r.value, r.flagged, r.extra).where(r.annotation_id.in_(ids))
    for annotation, ordinal, *rest in c.execute(query.order_by(r.annotation_id, r.ordinal, r.option)).all():
        found.setdefault(annotation, {}).setdefault(ordinal, []).append(StoredRating(*rest))
    return found


def _candidates(c: Connection, rows: Iterable[Row[Any]]) -> dict[int, dict[tuple[int, int], StoredCandidate]]:
    """By annotation: its own candidates, and over no annotation those of the trace."""
    found: dict[int, dict[tuple[int, int], StoredCandidate]] = {}
    owners: dict[int, list[int]] = {}
    for row in rows:
        owners.setdefault(row.trace_id, []).append(row.id)
    k = s.candidate.c
    of_page = [key for keys in owners.values() for key in keys]
    wanted = or_(k.annotation_id.in_(of_page), and_(k.annotation_id.is_(None), k.trace_id.in_(list(owners))))
    query = select(k.annotation_id, k.trace_id, k.ordinal, k.option, k.text, k.extra).where(wanted)
    for annotation, trace, ordinal, option, text, extra in c.execute(
        query.order_by(k.annotation_id.nulls_first())
    ).all():
        for owner in owners[trace] if annotation is None else (annotation,):
            found.setdefault(owner, {})[ordinal, option] = StoredCandidate(text, extra)
    return found
