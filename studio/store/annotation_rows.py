"""One annotation as the tables have it, and the one way to write it: rating, history and annotation together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from studio.domain import Annotation, AnnotationState, Changes, Entry, StepRating, Topic, changed, new_uid, now
from studio.errors import NotFoundError
from studio.store import batches, history
from studio.store import schema as s
from trainer.contract.records import FinishReason, Rating

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Work:
    """Who works on which trace in which project, and how: `device` is key, mouse or command."""

    project_id: int
    trace_id: int
    annotator_id: int
    initiator: str = ""
    device: str = "key"


@dataclass(frozen=True, slots=True)
class Found:
    """An annotation before a write; `id` is None when it has to be made."""

    id: int | None
    uid: str
    project_id: int
    trace_id: int
    segmentation_id: int
    annotator_id: int | None
    batch_id: int | None
    kind: str
    revision: int
    steps: int
    mode: str
    guideline_version: int
    fields: Values
    ratings: Mapping[tuple[int, int], Values]
    made_with: Values = field(default_factory=dict)  # further columns of a new row

    @property
    def state(self) -> str:
        """Open, submitted or void."""
        return str(self.fields["state"])

    @property
    def imported(self) -> bool:
        """Whether it came with a batch."""
        return self.batch_id is not None

    def value(self, ordinal: int) -> int | None:
        """The rating of a step."""
        rating = self.ratings.get((ordinal, 0))
        return None if rating is None else rating["value"]

    def first_negative(self) -> int | None:
        """Position of the first step rated negative."""
        return next((at for at in range(self.steps) if self.value(at) == Rating.NEGATIVE), None)

    def first_unrated(self) -> int:
        """Position of the first step without a rating; the number of steps when all have one."""
        return next((at for at in range(self.steps) if self.value(at) is None), self.steps)

    def derived(self) -> FinishReason | None:
        """The finish reason that the ratings give, None while there is more to rate."""
        negative, missing = self.first_negative(), self.first_unrated()
        if negative is not None and negative < missing:
            return FinishReason.FOUND_ERROR
        return FinishReason.SOLUTION if missing == self.steps and self.steps else None

    def with_rating(self, ordinal: int, option: int, rating: Values | None) -> Found:
        """The same with one rating set or taken away."""
        others = {key: value for key, value in self.ratings.items() if key != (ordinal, option)}
        return replace(self, ratings=others if rating is None else others | {(ordinal, option): rating})

    def annotation(self) -> Annotation:
        """As the app's own value. Needs an id."""
        assert self.id is not None
        return annotation_of({**self.fields, **{name: getattr(self, name) for name in _PLAIN}}, self.ratings)


@dataclass(frozen=True, slots=True)
class Edit:
    """One change: fields and, if `rerated`, the rating of (ordinal, option); `rating` None takes it away."""

    verb: str
    fields: Values
    role: str = "do"
    ordinal: int | None = None
    option: int | None = None
    rerated: bool = False
    rating: Values | None = None
    reverts: int | None = None
    shown_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """An annotation after a write; `entry` is None when nothing changed."""

    found: Found
    entry: Entry | None
    changes: Changes


_PLAIN = (
    "id",
    "uid",
    "project_id",
    "trace_id",
    "segmentation_id",
    "annotator_id",
    "batch_id",
    "kind",
    "revision",
)
_GOLD_COLUMNS = {1: {"quality_control": 1}, 2: {"screening": 1}}
_a, _p, _pt = s.annotation.c, s.project.c, s.project_trace.c
_steps_of = select(func.count()).select_from(s.step)
_find = (
    select(
        s.annotation,
        _p.mode,
        _p.guideline_version.label("present_guideline"),
        _steps_of.where(s.step.c.segmentation_id == _a.segmentation_id).scalar_subquery().label("steps"),
    )
    .join(s.project, _p.id == _a.project_id)
    .where(batches.visible(_a.batch_id))
)
_find_one = _find.where(_a.id == bindparam("annotation"))
_find_own = (
    _find.where(
        _a.trace_id == bindparam("trace"),
        _a.project_id == bindparam("project"),
        _a.annotator_id == bindparam("annotator"),
        _a.kind == "rating",
    )
    .order_by(_a.batch_id.is_not(None), _a.id.desc())
    .limit(1)
)
_place = (
    select(
        s.segmentation.c.id,
        _steps_of.where(s.step.c.segmentation_id == s.segmentation.c.id).scalar_subquery().label("steps"),
        _p.mode,
        _p.guideline_version,
        _pt.generation,
        _pt.gold,
    )
    .select_from(s.project_trace)
    .join(s.project, _p.id == _pt.project_id)
    .join(s.trace, s.trace.c.id == _pt.trace_id)
    .join(s.segmentation, s.segmentation.c.trace_id == _pt.trace_id)
    .where(
        _pt.project_id == bindparam("project"),
        _pt.trace_id == bindparam("trace"),
        s.segmentation.c.current == 1,
        batches.visible(_pt.batch_id),
        batches.visible(s.trace.c.batch_id),
    )
    .order_by(s.segmentation.c.version.desc())
    .limit(1)
)
_ratings = select(s.rating).where(s.rating.c.annotation_id == bindparam("annotation"))
_same_rating = (
    s.rating.c.annotation_id == bindparam("of_annotation"),
    s.rating.c.ordinal == bindparam("of_ordinal"),
    s.rating.c.option == bindparam("of_option"),
)
_insert_rating = insert(s.rating)
_update_rating = update(s.rating).where(*_same_rating).values({name: bindparam(name) for name in history.RATING})
_delete_rating = delete(s.rating).where(*_same_rating)
_insert_annotation = insert(s.annotation)
_update_annotation = (
    update(s.annotation)
    .where(_a.id == bindparam("of_annotation"))
    .values({"revision": bindparam("revision"), **{name: bindparam(name) for name in history.FIELDS}})
)
_count_done = (
    update(s.project_trace)
    .where(_pt.project_id == bindparam("of_project"), _pt.trace_id == bindparam("of_trace"))
    .values(done=_pt.done + bindparam("more"))
)
_make_stale = (
    update(s.run)
    .where(
        s.run.c.id.in_(select(s.run_source.c.run_id).where(s.run_source.c.annotation_id == bindparam("annotation"))),
        s.run.c.stale == 0,
    )
    .values(stale=1)
)


def find(c: Connection, work: Work) -> Found | None:
    """The annotator's own annotation of the trace: the one made here before an imported one."""
    row = c.execute(
        _find_own, {"trace": work.trace_id, "project": work.project_id, "annotator": work.annotator_id}
    ).first()
    return None if row is None else _found(c, row._asdict())


def find_by_id(c: Connection, annotation_id: int) -> Found:
    """A given annotation. Raises NotFoundError."""
    row = c.execute(_find_one, {"annotation": annotation_id}).first()
    if row is None:
        raise NotFoundError(f"there is no annotation {annotation_id} in this workspace; reload")
    return _found(c, row._asdict())


def found_or_new(c: Connection, work: Work) -> Found:
    """As `find`; when there is none, one that `write` will make. NotFoundError: not in the project."""
    found = find(c, work)
    if found is not None:
        return found
    row = c.execute(_place, {"project": work.project_id, "trace": work.trace_id}).first()
    if row is None:
        raise NotFoundError(f"project {work.project_id} has no trace {work.trace_id}; reload the queue")
    return Found(
        id=None,
        uid=new_uid(),
        project_id=work.project_id,
        trace_id=work.trace_id,
        segmentation_id=row.id,
        annotator_id=work.annotator_id,
        batch_id=None,
        kind="rating",
        revision=0,
        steps=row.steps,
        mode=row.mode,
        guideline_version=row.guideline_version,
        fields=dict(history.FIELDS),
        ratings={},
        made_with={"generation": row.generation, **_GOLD_COLUMNS.get(row.gold, {})},
    )


def ratings_of(c: Connection, annotation_id: int) -> dict[tuple[int, int], Values]:
    """Ratings by (ordinal, option)."""
    return {
        (row.ordinal, row.option): {"value": row.value, "unsure": row.unsure, "flagged": row.flagged}
        for row in c.execute(_ratings, {"annotation": annotation_id})
    }


def annotation_of(row: Mapping[str, Any], ratings: Mapping[tuple[int, int], Values]) -> Annotation:
    """The app's own value of a row of `annotation` and its ratings."""
    return Annotation(
        id=row["id"],
        uid=row["uid"],
        project_id=row["project_id"],
        trace_id=row["trace_id"],
        segmentation_id=row["segmentation_id"],
        annotator_id=row["annotator_id"],
        kind=row["kind"],
        state=row["state"],
        revision=row["revision"],
        ratings=tuple(_step_rating(*key, ratings[key]) for key in sorted(ratings)),
        finish_reason=None if row["finish_reason"] is None else FinishReason(row["finish_reason"]),
        reason=row["reason"],
        current_step=row["current_step"],
        total_time_ms=row["total_time_ms"],
        comment=row["comment"],
        imported=row["batch_id"] is not None,
    )


def write(c: Connection, work: Work, found: Found, edit: Edit) -> Written:
    """Make the change, one entry and one more revision; nothing when nothing but the position would change."""
    fields = dict(edit.fields)
    if found.state == AnnotationState.VOID:
        fields.setdefault("state", AnnotationState.OPEN.value)
    old, new = _difference(found.fields, fields)
    key = None
    if edit.rerated and edit.ordinal is not None and edit.option is not None:
        key = (edit.ordinal, edit.option)
        old["rating"], new["rating"] = found.ratings.get(key), edit.rating
    said = set(new["fields"]) - {*history.POSITIONS, "state"} or (key and old["rating"] != new["rating"])
    if edit.role == "do" and not said:
        return Written(found, None, Changes())
    after = _store(c, found, replace(found, fields=found.fields | fields, revision=found.revision + 1))
    if key is not None:
        _store_rating(c, found, after, key, edit.rating)
        after = after.with_rating(*key, edit.rating)
    topics = [Topic.ANNOTATIONS]
    if found.id is not None and c.execute(_make_stale, {"annotation": found.id}).rowcount:
        topics.append(Topic.RUNS)
    entry = _append(c, work, after, edit, old, new)
    return Written(after, entry, changed(*topics, traces=(found.trace_id,), initiator=work.initiator))


def _append(c: Connection, work: Work, after: Found, edit: Edit, old: Values, new: Values) -> Entry:
    return history.append(
        c,
        at=now(),
        annotator_id=work.annotator_id,
        project_id=after.project_id,
        trace_id=after.trace_id,
        annotation_id=after.id,
        role=edit.role,
        verb=edit.verb,
        ordinal=edit.ordinal,
        option=edit.option,
        old=old,
        new=new,
        reverts=edit.reverts,
        device=work.device,
        shown_ms=edit.shown_ms,
    )


def _found(c: Connection, row: Mapping[str, Any]) -> Found:
    return Found(
        **{name: row[name] for name in _PLAIN},
        steps=row["steps"],
        mode=row["mode"],
        guideline_version=row["present_guideline"],
        fields={name: row[name] for name in history.FIELDS},
        ratings=ratings_of(c, row["id"]),
    )


def _step_rating(ordinal: int, option: int, rating: Values) -> StepRating:
    value, flagged = rating["value"], rating["flagged"]
    return StepRating(
        ordinal,
        option,
        None if value is None else Rating(value),
        bool(rating["unsure"]),
        None if flagged is None else bool(flagged),
    )


def _difference(before: Values, given: Values) -> tuple[Values, Values]:
    names = [name for name, value in given.items() if before[name] != value]
    return {"fields": {name: before[name] for name in names}}, {"fields": {name: given[name] for name in names}}


def _store(c: Connection, before: Found, after: Found) -> Found:
    """Insert or update the row of `annotation`, and keep the trace's count of submitted annotations."""
    if after.id is None:
        plain = {name: getattr(after, name) for name in _PLAIN if name != "id"}
        key = c.execute(_insert_annotation, plain | after.fields | after.made_with).inserted_primary_key
        assert key is not None
        after = replace(after, id=int(key[0]))
    else:
        c.execute(_update_annotation, after.fields | {"of_annotation": after.id, "revision": after.revision})
    more = (after.state == AnnotationState.SUBMITTED) - (before.state == AnnotationState.SUBMITTED)
    if more and not after.imported and after.kind == "rating":
        c.execute(_count_done, {"of_project": after.project_id, "of_trace": after.trace_id, "more": more})
    return after


def _store_rating(c: Connection, before: Found, after: Found, key: tuple[int, int], rating: Values | None) -> None:
    where = {"of_annotation": after.id, "of_ordinal": key[0], "of_option": key[1]}
    if rating is None:
        c.execute(_delete_rating, where)
    elif key in before.ratings:
        c.execute(_update_rating, where | rating)
    else:
        c.execute(_insert_rating, {"annotation_id": after.id, "ordinal": key[0], "option": key[1]} | rating)
