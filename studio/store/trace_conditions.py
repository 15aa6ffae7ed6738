"""Which traces a condition means: a select of ids each, from indexes and narrow tables, so that none reads the texts.

A condition is a `Part`: the traces that a select names, or all but those. `studio.store.trace_sets` evaluates parts
one by one and joins them as sets; `clause` is the same as one expression for a query over `trace`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Float,
    Select,
    Text,
    and_,
    case,
    exists,
    false,
    func,
    or_,
    select,
    type_coerce,
    union_all,
)
from sqlalchemy.sql import literal_column
from sqlalchemy.sql.elements import SQLColumnExpression
from sqlalchemy.sql.selectable import CompoundSelect

from studio.errors import FindError
from studio.store import batches, flags
from studio.store import schema as s
from studio.store import schema_inspect as i
from studio.store import schema_reason as r
from studio.store.alike import alike
from studio.store.trace_filter import (
    ANY,
    OPS,
    OUTCOMES,
    PROBLEM_FIELDS,
    RATED,
    Condition,
    Field,
    Filter,
    Kind,
    Op,
    kind_of,
    number_of,
)

Ids = Select[Any] | CompoundSelect[Any]
LONG_ANSWER: ColumnElement[int] = literal_column(
    str(i.LONG_ANSWER)
)  # as the partial indexes say it, or SQLite does not use them
LONG_METADATA: ColumnElement[int] = literal_column(str(i.LONG_METADATA))
OPPOSITE = {Op.IS_NOT: Op.IS, Op.HAS_NOT: Op.HAS, Op.UNKNOWN: Op.KNOWN}


@dataclass(frozen=True, slots=True)
class Part:
    """The traces whose `of` (their id, or their problem's) a select names; with `others` all but those."""

    ids: Ids
    of: ColumnElement[int]
    others: bool = False

    @property
    def clause(self) -> ColumnElement[bool]:
        """Over `trace`."""
        return self.of.not_in(self.ids) if self.others else self.of.in_(self.ids)


def clause(wanted: Filter) -> ColumnElement[bool]:
    """A filter over `trace`. Raises FindError as `part_of`."""
    clauses = [part_of(condition).clause for condition in wanted.conditions]
    return or_(*clauses) if wanted.any_of else and_(*clauses)


def part_of(condition: Condition) -> Part:
    """What one condition means. Raises FindError for a value that is no number, or a way that the field has not."""
    field, kind = condition.field, kind_of(condition.field)
    if condition.op not in OPS[kind]:
        raise FindError(f"{field.value}: {condition.op.value!r} is no way to ask for it")
    if field is Field.METADATA and not condition.key.strip():
        raise FindError("metadata: name the key, such as temperature or usage.input_tokens")
    others = condition.op in OPPOSITE
    op, value = OPPOSITE.get(condition.op, condition.op), condition.value.strip()
    if kind in (Kind.TEXT, Kind.KEYED) and op is Op.IS and not value:  # "is" nothing: it is not known
        op, others = Op.KNOWN, not others
    if field is Field.RATED and value == RATED[2]:
        return Part(_submitted(), s.trace.c.id, not others)
    if (field is Field.STEPS and op is Op.KNOWN) or (op is Op.HAS and not value):  # every trace: all but none
        return Part(select(s.trace.c.id).where(false()), s.trace.c.id, not others)
    of = s.trace.c.problem_id if field in PROBLEM_FIELDS else s.trace.c.id
    return Part(_MEANT[field](Condition(field, op, value, condition.key)), of, others)


# -- what stands in the trace and its problem -------------------------------------------------------------------------


def _of_trace(column: ColumnElement[Any]) -> Callable[[Condition], Ids]:
    """By a column that an index of `trace` holds: a choice, a text or a number."""

    def ids(condition: Condition) -> Ids:
        kind = kind_of(condition.field)
        if kind is Kind.CHOICE:
            return select(s.trace.c.id).where(column == condition.value)
        compared = _number if kind is Kind.NUMBER else _text
        return select(s.trace.c.id).where(compared(column, condition))

    return ids


def _of_problem(column: ColumnElement[Any]) -> Callable[[Condition], Ids]:
    return lambda condition: select(s.problem.c.id).where(_text(column, condition))


def _fact(column: ColumnElement[Any]) -> Callable[[Condition], Ids]:
    return lambda condition: select(i.trace_fact.c.trace_id).where(_number(column, condition))


def _answer(condition: Condition) -> Ids:
    """Short answers stand among the facts; the few long ones are read."""
    fact, t = i.trace_fact.c, s.trace.c
    long = select(t.id).where(func.length(t.answer) > LONG_ANSWER, _text(t.answer, condition))
    return union_all(select(fact.trace_id).where(_text(fact.said, condition)), long)


def _metadata(condition: Condition) -> Ids:
    """A key, or any value under it; metadata too long to be kept by key is read."""
    named, value, t = i.metadata_key.c, i.metadata_value.c, s.trace.c
    keys = select(named.id).where(_is_key(named.name, condition.key))
    kept = select(value.trace_id).where(value.key_id.in_(keys), _said(value.value, condition))
    readable = func.iif(func.json_valid(t.extra), t.extra, None)
    node = func.json_tree(readable).table_valued("atom", "value", "type", "fullkey", joins_implicitly=True).c
    name = func.replace(func.substr(node.fullkey, 3), '"', "")
    said = case((node.type.in_(("true", "false")), node.type), (node.type == "array", node.value), else_=node.atom)
    long = select(t.id).where(func.length(t.extra) > LONG_METADATA, _is_key(name, condition.key))
    long = long.where(node.type.not_in(("object", "null")), func.instr(node.fullkey, "[") == 0)
    return union_all(kept, long.where(_said(said, condition)).correlate(None))  # or it is asked anew for every trace


def _is_key(name: ColumnElement[str], key: str) -> ColumnElement[bool]:
    """The key itself or what stands under it; letters beyond ASCII may stand as \\u escapes."""
    wanted = key.strip().replace('"', "")
    forms = dict.fromkeys((wanted, json.dumps(wanted)[1:-1]))
    return or_(*(or_(name == each, and_(name >= f"{each}.", name < f"{each}/")) for each in forms))


def _said(value: ColumnElement[Any], condition: Condition) -> ColumnElement[bool]:
    numeric = func.typeof(value).in_(("integer", "real"))
    if condition.op in (Op.LESS, Op.MORE):
        return and_(numeric, _number(type_coerce(value, Float), condition))
    said = _text(type_coerce(value, Text), condition)
    if condition.op is not Op.IS:
        return said
    try:
        equal = _number(type_coerce(value, Float), condition)
    except FindError:
        return said
    return case((numeric, equal), else_=said)


def _outcome(condition: Condition) -> Ids:
    wanted, t = OUTCOMES.get(condition.value), s.trace.c
    return select(t.id).where(t.outcome.is_(None) if wanted is None else t.outcome == wanted)


def _log(condition: Condition) -> Ids:
    return select(s.trace.c.id).where(s.trace.c.log_id.in_(select(s.log.c.id).where(s.log.c.path == condition.value)))


def _format(condition: Condition) -> Ids:
    of = select(s.batch.c.id).where(s.batch.c.format == condition.value)
    return select(s.trace.c.id).where(s.trace.c.batch_id.in_(of))


def _ended(condition: Condition) -> Ids:
    fact = i.trace_fact.c
    said = fact.ended == condition.value if condition.value else func.coalesce(fact.ended, "") == ""
    return select(fact.trace_id).where(said)


def _steps(condition: Condition) -> Ids:
    """By the count kept beside the segmentation; where there is none, the steps are counted."""
    seg, step = s.segmentation.c, s.step.c
    counted = select(func.count()).where(step.segmentation_id == seg.id).correlate(s.segmentation).scalar_subquery()
    count: SQLColumnExpression[Any] = func.coalesce(seg.steps, counted)
    return select(seg.trace_id).where(seg.current == 1, _number(count, condition))


# -- what people, scorers and monitors said of it ---------------------------------------------------------------------


def _scores(column: ColumnElement[Any]) -> Callable[[Condition], Ids]:
    score = s.score.c
    return lambda said: select(score.trace_id).where(_number(column, said), batches.seen(score.batch_id))


def _scorer(condition: Condition) -> Ids:
    score, by = s.score.c, s.scorer.c
    found = select(score.trace_id).where(batches.seen(score.batch_id))
    if condition.value == ANY:
        return found
    return found.where(score.scorer_id.in_(select(by.id).where(by.name == condition.value)))


def _submitted() -> Select[Any]:
    a = s.annotation.c
    return select(a.trace_id).where(a.state == "submitted", batches.seen(a.batch_id))


def _negative() -> Select[Any]:
    """Trace id and first negative step of what anybody rated."""
    a, said = s.annotation.c, s.rating.c
    return (
        select(a.trace_id, (func.min(said.ordinal) + 1).label("step"))
        .join(s.rating, said.annotation_id == a.id)
        .where(a.state == "submitted", batches.seen(a.batch_id), said.option == 0, said.value == -1)
        .group_by(a.trace_id)
    )


def _first_error(condition: Condition) -> Ids:
    """The first step that anybody rated negative, counted from 1."""
    found = _negative().subquery()
    return select(found.c.trace_id).where(_number(found.c.step, condition))


def _rated(condition: Condition) -> Ids:
    wrong = select(_negative().subquery().c.trace_id)
    return _submitted().where(s.annotation.c.trace_id.not_in(wrong)) if condition.value == RATED[1] else wrong


def _flag(condition: Condition) -> Ids:
    f = i.flag.c
    found = select(f.trace_id).where(flags.counts(), batches.seen(f.batch_id))
    found = found.where(f.state.not_in(("rejected", "withdrawn")))
    return found if condition.value == ANY else found.where(f.category == condition.value)


def _cause(condition: Condition) -> Ids:
    f = i.failure.c
    return select(f.trace_id) if condition.value == ANY else select(f.trace_id).where(f.cause == condition.value)


def _tag(condition: Condition) -> Ids:
    each = func.json_each(i.bookmark.c.tags).table_valued("value")
    b = i.bookmark.c
    held = select(b.trace_id).where(b.state == "kept")
    said = exists().select_from(each).where(each.c.value == condition.value)
    return held if condition.value == ANY else held.where(said)


def _suite(condition: Condition) -> Ids:
    e = r.evaluation.c
    found = select(e.trace_id).where(e.trace_id.is_not(None), batches.seen(e.batch_id))
    return found if condition.value == ANY else found.where(e.suite == condition.value)


def _strategy(condition: Condition) -> Ids:
    """Found by a search, or drawn for an evaluation, of that strategy."""
    e, found = r.evaluation.c, r.search_trace.c
    searched = select(found.trace_id).where(batches.seen(found.batch_id))
    drawn = select(e.trace_id).where(e.trace_id.is_not(None), batches.seen(e.batch_id))
    if condition.value != ANY:
        of = select(r.search.c.id).where(r.search.c.strategy == condition.value)
        searched, drawn = searched.where(found.search_id.in_(of)), drawn.where(e.strategy == condition.value)
    return union_all(searched, drawn)


def _rubric(condition: Condition) -> Ids:
    h, named = i.rubric_hit.c, i.rubric.c
    found = select(h.trace_id).where(h.state != "rejected")
    if condition.value == ANY:
        return found
    return found.where(h.rubric_id.in_(select(named.id).where(named.name == condition.value)))


def _project(condition: Condition) -> Ids:
    p = s.project_trace.c
    of = select(s.project.c.id).where(s.project.c.name == condition.value)
    return select(p.trace_id).where(p.project_id.in_(of), batches.seen(p.batch_id))


_MEANT: dict[Field, Callable[[Condition], Ids]] = {
    Field.MODEL: _of_trace(s.trace.c.model),
    Field.LOG: _log,
    Field.PROJECT: _project,
    Field.SAMPLE: _of_trace(s.trace.c.sample),
    Field.EPOCH: _of_trace(s.trace.c.epoch),
    Field.OUTCOME: _outcome,
    Field.ANSWER: _answer,
    Field.PROBLEM: _of_problem(s.problem.c.prompt),
    Field.SOURCE: _of_problem(s.problem.c.source),
    Field.FORMAT: _format,
    Field.STEPS: _steps,
    Field.CHARACTERS: _fact(i.trace_fact.c.characters),
    Field.TOKENS: _fact(i.trace_fact.c.used),
    Field.THINKING: _fact(i.trace_fact.c.thinking),
    Field.ANSWER_TOKENS: _fact(i.trace_fact.c.answer),
    Field.ENDED: _ended,
    Field.LOWEST: _scores(s.score.c.low),
    Field.LAST: _scores(s.score.c.last),
    Field.PRODUCT: _scores(s.score.c.product),
    Field.SCORER: _scorer,
    Field.RATED: _rated,
    Field.FIRST_ERROR: _first_error,
    Field.FLAG: _flag,
    Field.CAUSE: _cause,
    Field.RUBRIC: _rubric,
    Field.TAG: _tag,
    Field.SUITE: _suite,
    Field.STRATEGY: _strategy,
    Field.METADATA: _metadata,
}


def _text(column: SQLColumnExpression[Any], condition: Condition) -> ColumnElement[bool]:
    """Whether a text is known, or is or holds the value, capitals alike."""
    if condition.op is Op.KNOWN:
        return column != literal_column("''")
    return alike(column, condition.value, whole=condition.op is Op.IS)


def _number(column: SQLColumnExpression[Any], condition: Condition) -> ColumnElement[bool]:
    if condition.op is Op.KNOWN:
        return column.is_not(None)
    value = number_of(condition)
    return {Op.LESS: column < value, Op.MORE: column >= value}.get(condition.op, column == value)
