"""What a run of the recipe `rubric` found, stored; the newest word of a way of looking on a trace counts."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select

from studio.errors import RunError
from studio.store import schema as s
from studio.store import schema_inspect as i
from studio.store.rubrics import HitState
from studio.store.scores import Stored
from trainer.contract.rubrics import RubricRecord


def store_records(c: Connection, batch_id: int, records: Sequence[RubricRecord]) -> Stored:
    """Store hits; storing the same records again changes nothing. Hits that a person judged stay as they are.

    Raises RunError for a quote that does not stand in its trace.
    """
    rubrics = {row.uid: row.id for row in c.execute(select(i.rubric.c.uid, i.rubric.c.id))}
    wanted = {record.trace for record in records}
    query = select(s.trace.c.uid, s.trace.c.id, s.trace.c.text).where(s.trace.c.uid.in_(wanted))
    known = {row.uid: row for row in c.execute(query)}
    lost = 0
    for record in records:
        trace, rubric_id = known.get(record.trace), rubrics.get(record.rubric)
        if trace is None or rubric_id is None:
            lost += 1
            continue
        h = i.rubric_hit.c
        mine = (h.rubric_id == rubric_id, h.trace_id == trace.id, h.how == record.how)
        c.execute(delete(i.rubric_hit).where(*mine, h.state == HitState.OPEN))
        judged = {(row.start, row.end) for row in c.execute(select(h.start, h.end).where(*mine))}
        base = {"rubric_id": rubric_id, "trace_id": trace.id, "how": record.how, "batch_id": batch_id}
        rows = [
            base
            | {"version": record.version, "start": quote.start, "end": quote.end, "quote": quote.quote}
            | {"why": quote.why, "score": quote.score}
            for quote in record.quotes
            if (quote.start, quote.end) not in judged
        ]
        for row in rows:
            if not row["quote"] or trace.text[row["start"] : row["end"]] != row["quote"]:
                raise RunError(
                    f"record {record.id}: {str(row['quote'])[:60]!r} does not stand at [{row['start']}, {row['end']}) "
                    f"of trace {record.trace}; repeat the run with this version of the worker"
                )
        if rows:
            c.execute(insert(i.rubric_hit), rows)
    return Stored(stored=len(records) - lost, known=0, lost=lost)
