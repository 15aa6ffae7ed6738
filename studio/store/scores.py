"""Step scores: one packed row a trace and scorer, stored exactly once, seen when their batch is published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select, tuple_
from sqlalchemy.dialects.sqlite import insert

from studio.domain import StepScores
from studio.store.schema import batch, model, score, scorer, segmentation, trace
from trainer.contract.records import MachineLabelRecord, ScoreRecord, ScorerRef


@dataclass(frozen=True, slots=True)
class Scorer:
    """Who scored, and how many traces of the store."""

    id: int
    name: str
    version: str
    kind: str
    domain: str
    model_id: int | None
    traces: int


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of records: stored; known by their id or because the scorer has scored the trace; without a trace."""

    stored: int
    known: int
    lost: int

    def __add__(self, other: Stored) -> Stored:
        return Stored(self.stored + other.stored, self.known + other.known, self.lost + other.lost)


def pack(values: Sequence[float | None]) -> bytes:
    """Step scores as little-endian float32; None becomes NaN."""
    return np.array([np.nan if value is None else value for value in values], dtype="<f4").tobytes()


def unpack(data: bytes) -> tuple[float | None, ...]:
    """The step scores of a packed row."""
    return tuple(None if value != value else float(value) for value in np.frombuffer(data, dtype="<f4"))


def store_records(c: Connection, batch_id: int, records: Sequence[ScoreRecord]) -> Stored:
    """Store records of one run under a batch that is being written; those that are known already change nothing."""
    segmentations = places_of(c, records)
    scorers = {ref: _scorer_id(c, ref) for ref in dict.fromkeys(record.scorer for record in records)}
    values = []
    for record in records:
        place = segmentations.get((record.trace, record.segmentation))
        if place is not None:
            values.append(_values(record, place.trace_id, place.segmentation_id, scorers[record.scorer], batch_id))
    before = total_changes(c)
    if values:
        c.execute(insert(score).on_conflict_do_nothing(), values)
    stored = total_changes(c) - before
    return Stored(stored=stored, known=len(values) - stored, lost=len(records) - len(values))


def of_trace(c: Connection, trace_id: int) -> tuple[StepScores, ...]:
    """Every scorer's published scores of a trace, of every version of its steps, newest last."""
    query = (
        select(scorer.c.name, scorer.c.version, scorer.c.domain, score.c.segmentation_id, score.c.data)
        .join(scorer, scorer.c.id == score.c.scorer_id)
        .where(score.c.trace_id == trace_id, score.c.batch_id.in_(_published()))
        .order_by(score.c.id)
    )
    return tuple(
        StepScores(row.name, row.version, row.domain, row.segmentation_id, unpack(row.data)) for row in c.execute(query)
    )


def scorers(c: Connection) -> tuple[Scorer, ...]:
    """Who has published scores here, newest first."""
    query = (
        select(scorer, func.count(score.c.id).label("traces"))
        .join(score, score.c.scorer_id == scorer.c.id)
        .where(score.c.batch_id.in_(_published()))
        .group_by(scorer.c.id)
        .order_by(scorer.c.id.desc())
    )
    return tuple(Scorer(**row._mapping) for row in c.execute(query))


@dataclass(frozen=True, slots=True)
class Place:
    """A trace's segmentation that a record speaks of."""

    trace_id: int
    segmentation_id: int


def _published() -> Any:  # noqa: ANN401 - a subquery
    return select(batch.c.id).where(batch.c.state == "published")


def places_of(c: Connection, records: Sequence[ScoreRecord | MachineLabelRecord]) -> dict[tuple[str, int], Place]:
    """Where the records belong, by trace uid and version of its steps; what is not here is not in it."""
    wanted = {(record.trace, record.segmentation) for record in records}
    query = (
        select(trace.c.uid, segmentation.c.version, trace.c.id, segmentation.c.id.label("segmentation_id"))
        .join(segmentation, segmentation.c.trace_id == trace.c.id)
        .where(trace.c.uid.in_({uid for uid, _ in wanted}), tuple_(trace.c.uid, segmentation.c.version).in_(wanted))
    )
    return {(row.uid, row.version): Place(row.id, row.segmentation_id) for row in c.execute(query)}


def _scorer_id(c: Connection, ref: ScorerRef) -> int:
    made = select(func.max(model.c.id)).where(model.c.checksum == ref.version).scalar_subquery()
    values = {"name": ref.name, "version": ref.version, "domain": ref.domain, "model_id": made}
    c.execute(insert(scorer).values(**values).on_conflict_do_nothing())
    return int(
        c.execute(select(scorer.c.id).where(scorer.c.name == ref.name, scorer.c.version == ref.version)).scalar_one()
    )


def _values(record: ScoreRecord, trace_id: int, segmentation_id: int, scorer_id: int, batch_id: int) -> dict[str, Any]:
    given = [value for value in record.values if value is not None]
    return {
        "record": record.id,
        "trace_id": trace_id,
        "segmentation_id": segmentation_id,
        "scorer_id": scorer_id,
        "batch_id": batch_id,
        "data": pack(record.values),
        "low": min(given, default=None),
        "last": given[-1] if given else None,
        "product": float(np.prod(given)) if given else None,
    }


def total_changes(c: Connection) -> int:
    """Rows that this connection has inserted, updated or deleted since it was opened."""
    return int(c.exec_driver_sql("SELECT total_changes()").scalar_one())
