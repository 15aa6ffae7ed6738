"""Filters of traces: conditions on any stored field, all or any of which must hold."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, false, func, not_, or_, select, true
from sqlalchemy.sql.elements import SQLColumnExpression

from studio.errors import FindError
from studio.store import batches, flags
from studio.store import schema as s
from studio.store import schema_inspect as i
from studio.store import schema_reason as r


class Field(StrEnum):
    """What a condition asks about."""

    MODEL = "model"
    LOG = "log"
    PROJECT = "project"
    SAMPLE = "sample"
    EPOCH = "epoch"
    OUTCOME = "outcome"
    ANSWER = "answer"
    PROBLEM = "problem"
    SOURCE = "source of the problem"
    FORMAT = "imported as"
    STEPS = "steps"
    CHARACTERS = "characters"
    TOKENS = "tokens used"
    THINKING = "tokens of thinking"
    ANSWER_TOKENS = "tokens of the answer"
    ENDED = "how it ended"
    LOWEST = "lowest step score"
    LAST = "last step score"
    PRODUCT = "product of step scores"
    SCORER = "scored by"
    RATED = "ratings"
    FIRST_ERROR = "first negative step"
    FLAG = "flag"
    CAUSE = "why it failed"
    RUBRIC = "rubric"
    TAG = "tag of a bookmark"
    SUITE = "suite of an evaluation"
    STRATEGY = "strategy of a search"
    METADATA = "metadata"


class Op(StrEnum):
    """How the value is meant."""

    IS = "is"
    IS_NOT = "is not"
    HAS = "contains"
    HAS_NOT = "does not contain"
    LESS = "below"
    MORE = "from"
    KNOWN = "is known"
    UNKNOWN = "is not known"


class Kind(StrEnum):
    """What kind of value a field has."""

    TEXT = "text"
    NUMBER = "number"
    CHOICE = "choice"
    KEYED = "keyed"  # metadata: a key and its value


_TEXTS = (Field.SAMPLE, Field.ANSWER, Field.PROBLEM, Field.SOURCE)
_CHOICES = (
    *(Field.MODEL, Field.LOG, Field.PROJECT, Field.OUTCOME, Field.FORMAT, Field.ENDED, Field.SCORER),
    *(Field.RATED, Field.FLAG, Field.CAUSE, Field.RUBRIC, Field.TAG, Field.SUITE, Field.STRATEGY),
)
OPS = {
    Kind.TEXT: (Op.IS, Op.IS_NOT, Op.HAS, Op.HAS_NOT, Op.KNOWN, Op.UNKNOWN),
    Kind.NUMBER: (Op.MORE, Op.LESS, Op.IS, Op.KNOWN, Op.UNKNOWN),
    Kind.CHOICE: (Op.IS, Op.IS_NOT),
    Kind.KEYED: (Op.IS, Op.IS_NOT, Op.HAS, Op.MORE, Op.LESS, Op.KNOWN, Op.UNKNOWN),
}
OUTCOMES = {"right": 1, "wrong": 0, "undecided": None}
RATED = ("with an error", "without error", "not rated")
ANY = "any"


def kind_of(field: Field) -> Kind:
    """What kind of value a field has."""
    if field is Field.METADATA:
        return Kind.KEYED
    return Kind.TEXT if field in _TEXTS else Kind.CHOICE if field in _CHOICES else Kind.NUMBER


@dataclass(frozen=True, slots=True)
class Condition:
    """One line of a filter. `value`: text or a number as text, "" where the way asks for none; `key`: of metadata."""

    field: Field
    op: Op
    value: str = ""
    key: str = ""

    def __str__(self) -> str:
        """For a person: "tokens used from 4000"."""
        name = f"{self.field.value} {self.key}".strip()
        return f"{name} {self.op.value} {self.value}".strip()


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions of which all must hold, or any one."""

    conditions: tuple[Condition, ...] = ()
    any_of: bool = False

    def __bool__(self) -> bool:
        return bool(self.conditions)

    def __str__(self) -> str:
        """For a person."""
        return (" or " if self.any_of else " and ").join(map(str, self.conditions))

    @property
    def clause(self) -> ColumnElement[bool]:
        """Over `trace`. Raises FindError for a value that is no number."""
        clauses = [clause_of(condition) for condition in self.conditions]
        return or_(*clauses) if self.any_of else and_(*clauses)


def parsed(text: str) -> Condition:
    """A condition as it prints itself: "tokens used from 4000", "metadata temperature is 0.7". Raises FindError."""
    said = " ".join(text.split())
    field = next((f for f in sorted(Field, key=lambda f: -len(f.value)) if f"{said} ".startswith(f"{f.value} ")), None)
    if field is None:
        raise FindError(f"{text!r}: begin with a field: {', '.join(each.value for each in Field)}")
    ways = OPS[kind_of(field)]
    rest = said[len(field.value) :].strip()
    key, behind = (rest.partition(" ")[0], rest.partition(" ")[2]) if field is Field.METADATA else ("", rest)
    meant = [o for o in sorted(ways, key=lambda o: -len(o.value)) if f"{behind} ".startswith(f"{o.value} ")]
    if not meant:
        raise FindError(f"{text!r}: after {field.value} comes one of: {', '.join(each.value for each in ways)}")
    values = {way: behind[len(way.value) :].strip() for way in meant}
    way = next((o for o in meant if values[o] in RATED), None) if field is Field.RATED else meant[0]
    if way is None:  # "ratings is not rated" is no "is not"
        raise FindError(f"{text!r}: ratings are one of: {', '.join(RATED)}")
    value = values[way]
    if field is Field.OUTCOME and value not in OUTCOMES:
        raise FindError(f"{text!r}: an outcome is one of: {', '.join(OUTCOMES)}")
    return Condition(field, way, value, key)


def clause_of(condition: Condition) -> ColumnElement[bool]:
    """One condition over `trace`. Raises FindError for a value that is no number, or a way that the field has not."""
    kind = kind_of(condition.field)
    if condition.op not in OPS[kind]:
        raise FindError(f"{condition.field.value}: {condition.op.value!r} is no way to ask for it")
    if kind is Kind.CHOICE:
        holds = _CHOSEN[condition.field](condition.value)
        return not_(holds) if condition.op is Op.IS_NOT else holds
    if kind is Kind.KEYED:
        if not condition.key.strip():
            raise FindError("metadata: name the key, such as temperature or usage.input_tokens")
        path = ".".join(f'"{part}"' for part in condition.key.strip().replace('"', "").split("."))
        said = func.json_extract(s.trace.c.extra, f"$.{path}")
        if condition.op not in (Op.LESS, Op.MORE):
            return _text(said, condition)
        return and_(func.typeof(said).in_(("integer", "real")), _number(said, condition))
    if kind is Kind.NUMBER:
        return _numbered(condition)
    return _worded(condition)


def _worded(condition: Condition) -> ColumnElement[bool]:
    t, p = s.trace.c, s.problem.c
    if condition.field in (Field.SAMPLE, Field.ANSWER):
        return _text(t.sample if condition.field is Field.SAMPLE else t.answer, condition)
    column = p.prompt if condition.field is Field.PROBLEM else p.source
    return t.problem_id.in_(select(p.id).where(_text(column, condition)))


def _numbered(condition: Condition) -> ColumnElement[bool]:
    t, fact = s.trace.c, i.trace_fact.c
    columns: dict[Field, SQLColumnExpression[Any]] = {
        Field.CHARACTERS: fact.characters,
        Field.TOKENS: fact.used,
        Field.THINKING: fact.thinking,
        Field.ANSWER_TOKENS: fact.answer,
    }
    if condition.field is Field.EPOCH:
        return _number(t.epoch, condition)
    if condition.field in columns:
        # EXISTS, not IN: traces are then walked in an index, and no row with its text is read
        held = exists().where(fact.trace_id == t.id, _number(columns[condition.field], condition))
        return held.correlate(s.trace)
    if condition.field is Field.STEPS:
        return _steps(condition)
    if condition.field is Field.FIRST_ERROR:
        return _first_error(condition)
    score = s.score.c
    column = {Field.LOWEST: score.low, Field.LAST: score.last, Field.PRODUCT: score.product}[condition.field]
    seen = batches.visible(score.batch_id)
    if condition.op is Op.UNKNOWN:
        return t.id.not_in(select(score.trace_id).where(column.is_not(None), seen))
    return t.id.in_(select(score.trace_id).where(_number(column, condition), seen))


def _steps(condition: Condition) -> ColumnElement[bool]:
    """By the count kept beside the segmentation; where there is none, the steps are counted."""
    if condition.op in (Op.KNOWN, Op.UNKNOWN):
        return true() if condition.op is Op.KNOWN else false()
    seg, step = s.segmentation.c, s.step.c
    counted = select(func.count()).where(step.segmentation_id == seg.id).correlate(s.segmentation).scalar_subquery()
    count: SQLColumnExpression[Any] = func.coalesce(seg.steps, counted)
    held = exists().where(seg.trace_id == s.trace.c.id, seg.current == 1, _number(count, condition))
    return held.correlate(s.trace)


def _negative() -> Any:  # noqa: ANN401 - a select of trace id and first negative step
    a, said = s.annotation.c, s.rating.c
    return (
        select(a.trace_id, (func.min(said.ordinal) + 1).label("step"))
        .join(s.rating, said.annotation_id == a.id)
        .where(a.state == "submitted", batches.visible(a.batch_id), said.option == 0, said.value == -1)
        .group_by(a.trace_id)
    )


def _first_error(condition: Condition) -> ColumnElement[bool]:
    """The first step that anybody rated negative, counted from 1."""
    found = _negative().subquery()
    if condition.op is Op.UNKNOWN:
        return s.trace.c.id.not_in(select(found.c.trace_id))
    return s.trace.c.id.in_(select(found.c.trace_id).where(_number(found.c.step, condition)))


def _rated(value: str) -> ColumnElement[bool]:
    a, t = s.annotation.c, s.trace.c
    submitted = t.id.in_(select(a.trace_id).where(a.state == "submitted", batches.visible(a.batch_id)))
    wrong = t.id.in_(select(_negative().subquery().c.trace_id))
    return {RATED[0]: wrong, RATED[1]: and_(submitted, ~wrong), RATED[2]: ~submitted}[value or RATED[0]]


def _flagged(value: str) -> ColumnElement[bool]:
    f = i.flag.c
    found = select(f.trace_id).where(flags.counts(), batches.visible(f.batch_id))
    found = found.where(f.state.not_in(("rejected", "withdrawn")))
    return s.trace.c.id.in_(found if value == ANY else found.where(f.category == value))


def _failed(value: str) -> ColumnElement[bool]:
    f = i.failure.c
    found = select(f.trace_id)
    return s.trace.c.id.in_(found if value == ANY else found.where(f.cause == value))


def _tagged(value: str) -> ColumnElement[bool]:
    each = func.json_each(i.bookmark.c.tags).table_valued("value")
    b = i.bookmark.c
    held = select(b.trace_id).where(b.state == "kept")
    return s.trace.c.id.in_(
        held if value == ANY else held.where(exists().select_from(each).where(each.c.value == value))
    )


def _of_suite(value: str) -> ColumnElement[bool]:
    e = r.evaluation.c
    found = select(e.trace_id).where(e.trace_id.is_not(None), batches.visible(e.batch_id))
    return s.trace.c.id.in_(found if value == ANY else found.where(e.suite == value))


def _by_strategy(value: str) -> ColumnElement[bool]:
    """Found by a search, or drawn for an evaluation, of that strategy."""
    e, found = r.evaluation.c, r.search_trace.c
    searched = select(found.trace_id).join(r.search, r.search.c.id == found.search_id)
    searched = searched.where(batches.visible(found.batch_id))
    drawn = select(e.trace_id).where(e.trace_id.is_not(None), batches.visible(e.batch_id))
    if value != ANY:
        searched, drawn = searched.where(r.search.c.strategy == value), drawn.where(e.strategy == value)
    return or_(s.trace.c.id.in_(searched), s.trace.c.id.in_(drawn))


def _of_rubric(value: str) -> ColumnElement[bool]:
    h, named = i.rubric_hit.c, i.rubric.c
    found = select(h.trace_id).join(i.rubric, named.id == h.rubric_id).where(h.state != "rejected")
    return s.trace.c.id.in_(found if value == ANY else found.where(named.name == value))


def _scored(value: str) -> ColumnElement[bool]:
    score, by = s.score.c, s.scorer.c
    found = select(score.trace_id).join(s.scorer, by.id == score.scorer_id).where(batches.visible(score.batch_id))
    return s.trace.c.id.in_(found if value == ANY else found.where(by.name == value))


def _in_project(value: str) -> ColumnElement[bool]:
    p = s.project_trace.c
    found = select(p.trace_id).join(s.project, s.project.c.id == p.project_id)
    return s.trace.c.id.in_(found.where(s.project.c.name == value, batches.visible(p.batch_id)))


def _outcome(value: str) -> ColumnElement[bool]:
    wanted = OUTCOMES.get(value)
    return s.trace.c.outcome.is_(None) if wanted is None else s.trace.c.outcome.is_not_distinct_from(wanted)


def _ended(value: str) -> ColumnElement[bool]:
    fact = i.trace_fact.c
    said = fact.ended == value if value else func.coalesce(fact.ended, "") == ""
    return s.trace.c.id.in_(select(fact.trace_id).where(said))


_CHOSEN: dict[Field, Callable[[str], ColumnElement[bool]]] = {
    Field.MODEL: lambda value: s.trace.c.model == value,
    Field.LOG: lambda value: s.trace.c.log_id.in_(select(s.log.c.id).where(s.log.c.path == value)).is_(True),
    Field.PROJECT: _in_project,
    Field.OUTCOME: _outcome,
    Field.FORMAT: lambda value: s.trace.c.batch_id.in_(select(s.batch.c.id).where(s.batch.c.format == value)),
    Field.ENDED: _ended,
    Field.SCORER: _scored,
    Field.RATED: _rated,
    Field.FLAG: _flagged,
    Field.CAUSE: _failed,
    Field.RUBRIC: _of_rubric,
    Field.TAG: _tagged,
    Field.SUITE: _of_suite,
    Field.STRATEGY: _by_strategy,
}


def _text(column: SQLColumnExpression[Any], condition: Condition) -> ColumnElement[bool]:
    """Whether a text is or holds the value, capitals alike; a text that is not there is not the value."""
    known = func.coalesce(column, "") != ""
    if condition.op in (Op.KNOWN, Op.UNKNOWN):
        return known if condition.op is Op.KNOWN else ~known
    said = func.lower(func.coalesce(column, ""))
    wanted = condition.value.strip().lower()
    if condition.op in (Op.IS, Op.IS_NOT):
        return said == wanted if condition.op is Op.IS else said != wanted
    stands = func.instr(said, wanted) > 0
    return stands if condition.op is Op.HAS else ~stands


def _number(column: SQLColumnExpression[Any], condition: Condition) -> ColumnElement[bool]:
    if condition.op in (Op.KNOWN, Op.UNKNOWN):
        return column.is_not(None) if condition.op is Op.KNOWN else column.is_(None)
    value = _value(condition)
    return {Op.LESS: column < value, Op.MORE: column >= value}.get(condition.op, column == value)


def _value(condition: Condition) -> float:
    try:
        value = float(condition.value.replace(",", ""))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FindError(f"{condition.field.value}: {condition.value!r} is no number")
    return value
