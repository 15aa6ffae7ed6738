"""Notes that people leave on a trace: entries of the history that change no rating and are not undone."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, literal_column, select

from studio.domain import Changes, Topic, changed, now
from studio.store import history
from studio.store import schema as s
from studio.store.annotation_rows import Work

REFERENCE = "reference"

_last_reference = (
    select(s.history.c.new)
    .where(
        s.history.c.annotator_id == bindparam("annotator"),
        s.history.c.project_id == bindparam("project"),
        s.history.c.trace_id == bindparam("trace"),
        s.history.c.role == literal_column("'note'"),  # not a parameter: the index of notes is for this value
        s.history.c.verb == REFERENCE,
    )
    .order_by(s.history.c.id.desc())
    .limit(1)
)


def reference_wrong(c: Connection, work: Work, on: bool) -> Changes:
    """Note that the reference answer of this trace's problem is wrong, or that it is not after all."""
    if reference_is_wrong(c, work) == on:
        return Changes()
    history.append(
        c,
        at=now(),
        annotator_id=work.annotator_id,
        project_id=work.project_id,
        trace_id=work.trace_id,
        role="note",
        verb=REFERENCE,
        new={"wrong": on},
        device=work.device,
    )
    return changed(Topic.ANNOTATIONS, traces=(work.trace_id,), initiator=work.initiator)


def reference_is_wrong(c: Connection, work: Work) -> bool:
    """Whether this annotator's last word is that the reference answer is wrong."""
    key = {"annotator": work.annotator_id, "project": work.project_id, "trace": work.trace_id}
    said = c.scalar(_last_reference, key)
    return bool(said and said.get("wrong"))
