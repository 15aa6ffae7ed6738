"""What people say of steps: rate, submit, finish, undo, redo. Every verb is one transaction and one history entry.

The rules of a project in mode "phase 2" (PRM800K): steps are rated in order, and nothing behind the first negative
is rated. Anything already rated up to there can be corrected in place, before and after submitting. When a correction
makes an earlier step negative, what was rated behind it stays stored (the correction may be taken back) but does not
count: `Annotation.counted`. Submitting needs a negative step or all steps rated.

An annotation made here that is corrected after submitting keeps its finish reason true: found_error and solution
follow the ratings, and if neither holds any more the annotation is open again and comes back to its annotator.
Of an imported annotation a correction changes that one rating and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, or_, select

from studio.domain import Annotation, AnnotationState, Changes, Entry, now
from studio.errors import ConflictError, NotFoundError
from studio.store import batches, history, queue
from studio.store import schema as s
from studio.store.annotation_rows import (
    Edit,
    Found,
    Values,
    Work,
    Written,
    annotation_of,
    find,
    find_by_id,
    found_or_new,
    ratings_of,
    write,
)
from trainer.contract.records import FinishReason, Rating

__all__ = ["Rated", "Undone", "Work"]

_GIVEN_UP = (FinishReason.GIVE_UP, FinishReason.BAD_PROBLEM)
_UNRATED: Values = {"value": None, "unsure": 0, "flagged": None}
_FOLLOWING = {FinishReason.FOUND_ERROR.value, FinishReason.SOLUTION.value}
_of_trace = (
    select(s.annotation)
    .where(
        s.annotation.c.trace_id == bindparam("trace"),
        or_(bindparam("project").is_(None), s.annotation.c.project_id == bindparam("project")),
        s.annotation.c.state != AnnotationState.VOID.value,
        batches.visible(s.annotation.c.batch_id),
    )
    .order_by(s.annotation.c.id)
)


@dataclass(frozen=True, slots=True)
class Rated:
    """An annotation after a write; `entry` is None when nothing changed."""

    annotation: Annotation
    entry: Entry | None
    changes: Changes


@dataclass(frozen=True, slots=True)
class Undone:
    """What an undo or redo did; `annotation` is None when its making was undone."""

    trace_id: int
    what: str
    annotation: Annotation | None
    entry: Entry
    changes: Changes


def current(c: Connection, work: Work) -> Annotation | None:
    """This annotator's own annotation of the trace, None when there is none. Never anybody else's."""
    found = find(c, work)
    return None if found is None or found.state == AnnotationState.VOID else found.annotation()


def of_trace(c: Connection, trace_id: int, project_id: int | None = None) -> tuple[Annotation, ...]:
    """Everybody's annotations of a trace: for Inspect and review, never for the labelling screen."""
    rows = c.execute(_of_trace, {"trace": trace_id, "project": project_id}).all()
    return tuple(annotation_of(row._asdict(), ratings_of(c, row.id)) for row in rows)


def rate(
    c: Connection, work: Work, ordinal: int, value: Rating | None, *, option: int = 0, shown_ms: int | None = None
) -> Rated:
    """Rate a step (option 0) or a candidate, correct a rating, or take it away (None).

    Raises NotFoundError for a step that is not there, ConflictError for one that cannot be rated now.
    """
    rated = _rate(c, work, found_or_new(c, work), ordinal, value, option, shown_ms)
    queue.renew(c, work.project_id, work.trace_id, work.annotator_id)
    return rated


def rate_annotation(
    c: Connection,
    annotation_id: int,
    annotator_id: int,
    ordinal: int,
    value: Rating | None,
    *,
    option: int = 0,
    device: str = "command",
    initiator: str = "",
) -> Rated:
    """Correct one rating of a given annotation: its own annotator, or an admin. Raises ConflictError for others."""
    found = find_by_id(c, annotation_id)
    if annotator_id != found.annotator_id:
        role = c.scalar(select(s.annotator.c.role).where(s.annotator.c.id == annotator_id))
        if role != "admin":
            raise ConflictError(
                f"annotation {annotation_id} is another annotator's; only they or an admin may correct it"
            )
    work = Work(found.project_id, found.trace_id, annotator_id, initiator, device)
    return _rate(c, work, found, ordinal, value, option, None)


def set_unsure(c: Connection, work: Work, ordinal: int, on: bool, *, option: int = 0) -> Rated:
    """Put the "unsure" mark on a step or candidate, or take it away."""
    found = found_or_new(c, work)
    _check_exists(c, found, ordinal, option)
    old = found.ratings.get((ordinal, option))
    new = _kept(found, (old or _UNRATED) | {"unsure": int(on)})
    edit = Edit("unsure", {}, ordinal=ordinal, option=option, rerated=True, rating=new)
    return _rated(write(c, work, found, edit))


def set_comment(c: Connection, work: Work, text: str) -> Rated:
    """Set the comment on the annotation; empty text takes it away."""
    return _rated(write(c, work, found_or_new(c, work), Edit("comment", {"comment": text.strip() or None})))


def move_to(c: Connection, work: Work, ordinal: int, *, active_ms: int = 0) -> Changes:
    """Remember at which step the annotator is, and the active time of this sitting, when the trace is left half-rated.

    Does nothing on a trace without an open annotation. No history: where somebody looks is nothing they said.
    """
    found = find(c, work)
    if found is None or found.state != AnnotationState.OPEN:
        return Changes()
    total = (found.fields["total_time_ms"] or 0) + active_ms
    place = max(0, min(ordinal, found.steps - 1))
    c.execute(
        s.annotation.update().where(s.annotation.c.id == found.id),
        {"current_step": place, **({"total_time_ms": total} if active_ms else {})},
    )
    return Changes()


def submit(c: Connection, work: Work, *, active_ms: int) -> Rated:
    """Finish an annotation: found_error at the first negative, solution when all steps are rated.

    `active_ms` is the active time of this sitting; it is added to that of earlier ones. Raises ConflictError.
    """
    found = found_or_new(c, work)
    reason = found.derived()
    if reason is None:
        missing = found.first_unrated()
        raise ConflictError(f"step {missing + 1} is not rated: find the first negative step, or rate all, then submit")
    return _finish(c, work, found, "submit", reason, None, active_ms)


def finish(c: Connection, work: Work, reason: FinishReason, text: str, *, active_ms: int) -> Rated:
    """Give up, or call the problem bad, and say why. Raises ConflictError without a text or for another reason."""
    if reason not in _GIVEN_UP:
        raise ConflictError(f"{reason.value} follows from the ratings: submit instead")
    if not text.strip():
        raise ConflictError("say in a few words why")
    return _finish(c, work, found_or_new(c, work), "finish", reason, text.strip(), active_ms)


def undo(c: Connection, annotator_id: int, project_id: int, *, initiator: str = "") -> Undone | None:
    """Take back this person's newest deed in the project, None when there is none left."""
    entry = history.undoable(c, annotator_id, project_id)
    return None if entry is None else _revert(c, entry, "undo", initiator)


def redo(c: Connection, annotator_id: int, project_id: int, *, initiator: str = "") -> Undone | None:
    """Do again what this person took back last, None when there is nothing."""
    entry = history.redoable(c, annotator_id, project_id)
    return None if entry is None else _revert(c, entry, "redo", initiator)


def can_undo(c: Connection, annotator_id: int, project_id: int) -> Entry | None:
    """What `undo` would take back."""
    return history.undoable(c, annotator_id, project_id)


def can_redo(c: Connection, annotator_id: int, project_id: int) -> Entry | None:
    """The undo that `redo` would take back."""
    return history.redoable(c, annotator_id, project_id)


def timeline(c: Connection, annotation_id: int) -> tuple[Entry, ...]:
    """The history of one annotation, oldest first."""
    return history.timeline(c, annotation_id)


def _rate(
    c: Connection, work: Work, found: Found, ordinal: int, value: Rating | None, option: int, shown_ms: int | None
) -> Rated:
    _check_exists(c, found, ordinal, option)
    if value is not None and option == 0:
        _check_order(found, ordinal)
    old = found.ratings.get((ordinal, option))
    new = _kept(found, (old or _UNRATED) | {"value": None if value is None else int(value)})
    fields: Values = {}
    if not found.imported:
        onward = value is not None and value != Rating.NEGATIVE and option == 0
        fields = _follow(found.with_rating(ordinal, option, new))
        fields["current_step"] = min(ordinal + onward, found.steps - 1)
    edit = Edit("rate", fields, ordinal=ordinal, option=option, rerated=True, rating=new, shown_ms=shown_ms)
    return _rated(write(c, work, found, edit))


def _follow(after: Found) -> Values:
    """Fields by which a submitted annotation stays true to its corrected ratings."""
    if after.state != AnnotationState.SUBMITTED or after.fields["finish_reason"] not in _FOLLOWING:
        return {}
    reason = after.derived()
    if reason is None:
        return {"state": AnnotationState.OPEN.value, "finish_reason": None, "submitted_at": None}
    return {"finish_reason": reason.value}


def _kept(found: Found, rating: Values) -> Values | None:
    """A rating that says nothing is not kept, unless an import brought its row."""
    says = rating["value"] is not None or rating["unsure"] or rating["flagged"] is not None
    return rating if says or found.imported else None


def _check_exists(c: Connection, found: Found, ordinal: int, option: int) -> None:
    if option == 0 and 0 <= ordinal < found.steps:
        return
    if option != 0 and ((ordinal, option) in found.ratings or _has_candidate(c, found, ordinal, option)):
        return
    what = f"step {ordinal + 1}" + (f", option {option}" if option else "")
    raise NotFoundError(f"trace {found.trace_id} has no {what}: it has {found.steps} steps; reload it")


def _has_candidate(c: Connection, found: Found, ordinal: int, option: int) -> bool:
    k = s.candidate.c
    here = select(k.id).where(k.trace_id == found.trace_id, k.ordinal == ordinal, k.option == option)
    return c.scalar(here.where(or_(k.annotation_id.is_(None), k.annotation_id == found.id)).limit(1)) is not None


def _check_order(found: Found, ordinal: int) -> None:
    if found.imported and found.value(ordinal) is not None:
        return  # a correction of what the source says; its own rules made it
    negative = found.first_negative()
    if negative is not None and ordinal > negative:
        raise ConflictError(
            f"step {ordinal + 1} comes after the first negative step {negative + 1}: submit, or correct that one first"
        )
    missing = found.first_unrated()
    if not found.imported and found.mode == "phase 2" and missing < ordinal and found.value(ordinal) is None:
        raise ConflictError(f"step {ordinal + 1} cannot be rated before step {missing + 1}: steps are rated in order")


def _finish(
    c: Connection, work: Work, found: Found, verb: str, reason: FinishReason, text: str | None, active_ms: int
) -> Rated:
    if found.imported and found.state == AnnotationState.SUBMITTED:
        raise ConflictError("this annotation came with an import and is finished; its ratings can be corrected")
    if found.state == AnnotationState.SUBMITTED and (found.fields["finish_reason"], text) == (reason.value, None):
        raise ConflictError("this annotation is submitted already; correct a rating, or undo the submit")
    total = (found.fields["total_time_ms"] or 0) + active_ms
    fields = {
        "state": AnnotationState.SUBMITTED.value,
        "finish_reason": reason.value,
        "reason": text,
        "submitted_at": now(),
        "total_time_ms": total,
        "guideline_version": found.guideline_version,
    }
    rated = _rated(write(c, work, found, Edit(verb, fields)))
    queue.release(c, work.project_id, work.trace_id, work.annotator_id)
    return rated


def _revert(c: Connection, entry: Entry, role: str, initiator: str) -> Undone:
    """Apply `old` of an entry, and write that down as an entry that reverts it."""
    assert entry.annotation_id is not None
    found = find_by_id(c, entry.annotation_id)
    work = Work(found.project_id, found.trace_id, entry.annotator_id or 0, initiator, "command")
    fields = dict(entry.old.get("fields", {}))
    if fields.get("state") == AnnotationState.VOID and _holds_more(found, entry):
        del fields["state"]  # somebody else rated in it meanwhile
    edit = Edit(
        entry.verb,
        fields,
        role,
        entry.ordinal,
        entry.option,
        "rating" in entry.old,
        entry.old.get("rating"),
        reverts=entry.id,
    )
    written = write(c, work, found, edit)
    assert written.entry is not None
    kept = None if written.found.state == AnnotationState.VOID else written.found.annotation()
    return Undone(found.trace_id, str(entry), kept, written.entry, written.changes)


def _holds_more(found: Found, entry: Entry) -> bool:
    return any(key != (entry.ordinal, entry.option) for key in found.ratings)


def _rated(written: Written) -> Rated:
    """As the caller sees it; a write that changed nothing has made no annotation either."""
    if written.found.id is None:
        raise ConflictError("there is nothing to take away: nothing is said here yet")
    return Rated(written.found.annotation(), written.entry, written.changes)
