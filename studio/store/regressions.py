"""Never again: the prefix of a trace that failed, and what must hold when a model goes on from it.

`evaluate` runs the suite `regressions` on every one that is not retired. A regression never changes, so that its
results can be compared over checkpoints: to say something else, retire it and add another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from studio.domain import Changes, Topic, changed, new_uid, now
from studio.errors import ConflictError, NotFoundError
from studio.store import batches, conversations, replies
from studio.store import schema as s
from studio.store.schema_reason import evaluation as e
from studio.store.schema_reason import evaluation_problem as p
from studio.store.schema_reason import regression as r
from trainer.contract.specs.evaluate import Must, Suite
from trainer.reasoning.segment import Span


@dataclass(frozen=True, slots=True)
class Regression:
    """A test: from `prefix` on, the answer must be right, or `span` must not come back. `trace_uid` is where it failed.

    `prefix` and `span` are neighbours in its response; `start` is the code point of that trace at which the span began.
    """

    id: int
    uid: str
    name: str
    problem: str
    reference: str | None
    prefix: str
    must: Must
    span: str
    trace_id: int | None
    trace_uid: str
    start: int | None
    note: str
    retired: bool
    created_at: str

    @property
    def changes(self) -> Changes:
        """What a write that returns one changed."""
        return CHANGES


CHANGES = changed(Topic.EVALUATIONS)
MUSTS = {Must.ANSWER: "the final answer is right", Must.ABSENT: "these words do not come back"}


def add_from_trace(
    c: Connection, trace_id: int, start: int, end: int, *, must: Must, name: str = "", note: str = ""
) -> Regression:
    """Forbid what stands at [start, end) of a trace to come again after the text before it.

    Raises NotFoundError, ConflictError.
    """
    query = select(s.trace.c.text, s.problem.c.prompt, s.problem.c.reference_answer)
    query = query.join(s.problem, s.problem.c.id == s.trace.c.problem_id).where(s.trace.c.id == trace_id)
    row = c.execute(query).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no trace {trace_id} any more; it may have gone with its import")
    turns = conversations.turns_of(row.text, conversations.read(c, trace_id).turns)
    reply = replies.reply_of(trace_id, row.text, turns)
    if not 0 <= start < end <= len(row.text) or not row.text[start:end].strip():
        raise ConflictError(f"[{start}, {end}) of trace {trace_id} holds no text; select the step that failed")
    if must is Must.ANSWER and not (row.reference_answer or "").strip():
        raise ConflictError("the problem has no reference answer, so nothing can say what is right; forbid the words")
    span = reply.span(Span(start, end))
    if span is None:
        raise ConflictError(f"[{start}, {end}) of trace {trace_id} is not of its response; select the step that failed")
    values = {
        "uid": new_uid(),
        "name": name.strip() or _short(row.text[start:end]),
        "problem": row.prompt,
        "reference": row.reference_answer,
        "prefix": reply.text[: span.start],
        "must": must.value,
        "span": row.text[start:end],
        "trace_id": trace_id,
        "start": start,
        "note": note,
        "created_at": now(),
    }
    made = c.execute(insert(r).values(**values)).inserted_primary_key
    assert made is not None
    return get(c, int(made[0]))


def get(c: Connection, regression_id: int) -> Regression:
    """One test. Raises NotFoundError."""
    row = c.execute(_query().where(r.c.id == regression_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no regression test {regression_id}")
    return _regression(row)


def all_regressions(c: Connection, *, retired: bool = False) -> tuple[Regression, ...]:
    """Those in force, oldest first; with `retired` the others too."""
    query = _query().order_by(r.c.id)
    return tuple(_regression(row) for row in c.execute(query if retired else query.where(r.c.retired == 0)))


def of_trace(c: Connection, trace_id: int) -> tuple[Regression, ...]:
    """Those that were made from a trace, oldest first."""
    return tuple(_regression(row) for row in c.execute(_query().where(r.c.trace_id == trace_id).order_by(r.c.id)))


@dataclass(frozen=True, slots=True)
class Result:
    """What the newest run of a model had on a test: it held in `held` of `number` samples, the undecided left out.

    `trace_id` is a sample that failed, else one that held; None where none is here.
    """

    uid: str
    model: str
    version: str
    held: int
    number: int
    trace_id: int | None
    run: str


def results(c: Connection) -> tuple[Result, ...]:
    """Of every test and model (name and checksum), newest model first."""
    query = (
        select(p.c.row, e.c.model, e.c.version, e.c.correct, e.c.trace_id, s.run.c.id, s.run.c.name)
        .join(p, p.c.id == e.c.problem_id)
        .join(s.batch, s.batch.c.id == e.c.batch_id)
        .outerjoin(s.run, s.run.c.id == s.batch.c.run_id)
        .where(e.c.suite == Suite.REGRESSIONS.value, e.c.sample >= 0, batches.visible(e.c.batch_id))
        .order_by(s.run.c.id.desc(), e.c.sample)
    )
    found: dict[tuple[str, str, str], list[Any]] = {}
    for row in c.execute(query):
        found.setdefault((row.row, row.model, row.version), []).append(row)
    return tuple(_result(key, [row for row in rows if row.id == rows[0].id]) for key, rows in found.items())


def _result(key: tuple[str, str, str], rows: list[Any]) -> Result:
    decided = [row for row in rows if row.correct is not None]
    shown = next((row for row in decided if not row.correct), (decided or rows)[0])
    uid = key[0].rpartition(":")[2]
    held = sum(row.correct for row in decided)
    return Result(uid, key[1], key[2], held, len(decided), shown.trace_id, shown.name or "")


def retire(c: Connection, regression_id: int, *, retired: bool = True) -> Changes:
    """Take a test out of force, or put it back; its results stay. Raises NotFoundError."""
    done = c.execute(update(r).where(r.c.id == regression_id).values(retired=int(retired)))
    if not done.rowcount:
        raise NotFoundError(f"there is no regression test {regression_id}")
    return CHANGES


def _query() -> Any:  # noqa: ANN401 - a select
    return select(r, s.trace.c.uid.label("trace_uid")).outerjoin(s.trace, s.trace.c.id == r.c.trace_id)


def _regression(row: Row[Any]) -> Regression:
    return Regression(
        id=row.id,
        uid=row.uid,
        name=row.name,
        problem=row.problem,
        reference=row.reference,
        prefix=row.prefix,
        must=Must(row.must),
        span=row.span,
        trace_id=row.trace_id,
        trace_uid=row.trace_uid or "",
        start=row.start,
        note=row.note,
        retired=bool(row.retired),
        created_at=row.created_at,
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:59]}…"
