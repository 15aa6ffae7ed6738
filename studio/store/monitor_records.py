"""What monitors wrote in a run: findings and scores, stored exactly once, seen when their batch is published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, delete, insert, select, tuple_

from studio.errors import RunError
from studio.store import monitors
from studio.store import schema as s
from studio.store import schema_inspect as i
from studio.store.scores import Place, Stored
from trainer.contract.records import FlagRecord, MonitorRecord
from trainer.reasoning.safety import CATEGORIES, Category, Gap

BLANK = np.full((3, len(CATEGORIES)), np.nan, "<f4").tobytes()  # scores of a trace that has none
_KEY = (i.monitor_score.c.trace_id, i.monitor_score.c.monitor_id, i.monitor_score.c.segmentation_id)
AnyRecord = FlagRecord | MonitorRecord


def store_flags(c: Connection, batch_id: int, records: Sequence[FlagRecord]) -> Stored:
    """Store findings of one run; a known id changes nothing, a quote that does not stand in its trace is an error.

    So do findings of a monitor in a trace that it has looked at before, in another batch: nobody reviews them twice.
    """
    known = set(c.scalars(select(i.flag.c.record).where(i.flag.c.record.in_([record.id for record in records]))))
    new = [record for record in records if record.id not in known]
    places, texts = _places(c, new), _texts(c, new)
    before = _scored(c, places, other_than=batch_id)
    values, again = [], 0
    for record in new:
        place = places.get((record.trace, record.segmentation))
        if place is None:
            continue
        if texts[place.trace_id][record.start : record.end] != record.quote or not record.quote:
            raise RunError(
                f"flag {record.id}: {record.quote[:60]!r} does not stand at [{record.start}, {record.end}) of trace "
                f"{record.trace}; repeat the run with this version of the worker"
            )
        made = _flag_values(c, record, place, batch_id)
        if (made["trace_id"], made["monitor_id"], made["segmentation_id"]) in before:
            again += 1
        else:
            values.append(made)
    if values:
        c.execute(insert(i.flag), values)
    return Stored(stored=len(values), known=len(known) + again, lost=len(new) - len(values) - again)


def store_scores(c: Connection, batch_id: int, records: Sequence[MonitorRecord]) -> Stored:
    """Store a monitor's scores; those of a trace it has scored under the same steps change nothing.

    A row without any score (a judge that did not answer) is no score: one that comes later takes its place.
    """
    places = _places(c, records)
    scores, steps, known, lost = [], [], 0, 0
    seen, ids = _scored(c, places), _known(c, records)
    blank = _scored(c, places, blank=True)
    for record in records:
        if record.id in ids:
            known += 1
            continue
        place = places.get((record.trace, record.segmentation))
        if place is None:
            lost += 1
            continue
        monitor_id = monitors.ensure(c, record.monitor)
        key = (place.trace_id, monitor_id, place.segmentation_id)
        if key in seen:
            known += 1
            continue
        seen.add(key)
        if key in blank:
            for table in (i.monitor_score, i.monitor_steps):
                t = table.c
                mine = t.trace_id == key[0], t.monitor_id == key[1], t.segmentation_id == key[2]
                c.execute(delete(table).where(*mine))
        where = dict(zip(("trace_id", "monitor_id", "segmentation_id"), key, strict=True)) | {"batch_id": batch_id}
        scores.append(where | _score_values(record))
        if record.steps:
            steps.append(where | {"data": record.steps})
    if scores:
        c.execute(insert(i.monitor_score), scores)
    if steps:
        c.execute(insert(i.monitor_steps), steps)
    return Stored(stored=len(scores), known=known, lost=lost)


def _score_values(record: MonitorRecord) -> dict[str, Any]:
    data = np.array([[np.nan if value is None else value for value in row] for row in record.scores], dtype="<f4")
    if data.shape != (3, len(CATEGORIES)):
        raise RunError(f"monitor record {record.id}: scores of shape {data.shape}, not (3, {len(CATEGORIES)})")
    evidence = sum(1 << Category(name).place for name in set(record.evidence))
    return {"record": record.id, "gap": Gap(record.gap).code, "evidence": evidence, "data": data.tobytes()}


def _flag_values(c: Connection, record: FlagRecord, place: Place, batch_id: int) -> dict[str, Any]:
    other = record.counterpart or (None, None)
    return {
        "record": record.id,
        "trace_id": place.trace_id,
        "segmentation_id": place.segmentation_id,
        "step_id": record.step,
        "batch_id": batch_id,
        "monitor_id": monitors.ensure(c, record.monitor),
        "category": Category(record.category).value,
        "severity": record.severity,
        "score": record.score,
        "part": record.part,
        "start": record.start,
        "end": record.end,
        "quote": record.quote,
        "why": record.why,
        "other_start": other[0],
        "other_end": other[1],
    }


def _places(c: Connection, records: Sequence[AnyRecord]) -> dict[tuple[str, int], Place]:
    wanted = {(record.trace, record.segmentation) for record in records}
    query = (
        select(s.trace.c.uid, s.segmentation.c.version, s.trace.c.id, s.segmentation.c.id.label("segmentation_id"))
        .join(s.segmentation, s.segmentation.c.trace_id == s.trace.c.id)
        .where(tuple_(s.trace.c.uid, s.segmentation.c.version).in_(wanted))
    )
    return {(row.uid, row.version): Place(row.id, row.segmentation_id) for row in c.execute(query)}


def _texts(c: Connection, records: Sequence[FlagRecord]) -> dict[int, str]:
    uids = {record.trace for record in records}
    return {row.id: row.text for row in c.execute(select(s.trace.c.id, s.trace.c.text).where(s.trace.c.uid.in_(uids)))}


def _known(c: Connection, records: Sequence[MonitorRecord]) -> set[str]:
    """Ids of the records that are stored."""
    m = i.monitor_score.c
    return set(c.scalars(select(m.record).where(m.record.in_([record.id for record in records]))))


def _scored(
    c: Connection, places: dict[tuple[str, int], Place], *, other_than: int | None = None, blank: bool = False
) -> set[tuple[int, int, int]]:
    """(trace, monitor, segmentation) of what has a score of these traces, or (`blank`) a row without any.

    `other_than`: not of this batch.
    """
    m = i.monitor_score.c
    ids = {place.trace_id for place in places.values()}
    query = select(*_KEY).where(m.trace_id.in_(ids), m.data == BLANK if blank else m.data != BLANK)
    if other_than is not None:
        query = query.where(m.batch_id != other_than)
    return {(row[0], row[1], row[2]) for row in c.execute(query)}
