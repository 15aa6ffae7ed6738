"""Problems that a router answered: who was asked and why, and the ledger of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import Connection, Row, Select, select

from studio.errors import NotFoundError
from studio.store import batches
from studio.store import schema as s
from studio.store.schema_reason import route
from studio.store.scores import Stored
from trainer.contract.generated import RouteStep
from trainer.contract.records import RouteRecord
from trainer.reasoning.routing import Both, Cell, Entry, Line, cells, is_drawn, oracle, random_line

FAST, REASONING = "fast", "reasoning"


class _Data(msgspec.Struct, frozen=True, array_like=True):
    """The packed part."""

    asked: tuple[RouteStep, ...]
    audited: tuple[RouteStep, ...]
    answered_by: int


_encoder, _decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(_Data)


@dataclass(frozen=True, slots=True)
class StoredRoute:
    """A route without what each model said. `trace_id` is None where the trace is not here; `run` may be ""."""

    id: int
    record: str
    prompt: str
    reference: str | None
    task: str
    difficulty: float | None
    level: str
    tier: str
    model: str
    answer: str | None
    outcome: int | None
    escalated: bool
    cached: bool
    marked: str
    tokens: int
    seconds: float
    cost: float
    trace_id: int | None
    run: str


@dataclass(frozen=True, slots=True)
class WholeRoute:
    """A route with its steps. `trace_ids` are those of the steps' traces by uid, as far as they are here."""

    route: StoredRoute
    asked: tuple[RouteStep, ...]
    audited: tuple[RouteStep, ...]
    answered_by: int
    trace_ids: dict[str, int]


@dataclass(frozen=True, slots=True)
class Lines:
    """The router on the problems that both models were asked (a fair share), and what it is held against there.

    `unit` is what costs are counted in: "cost", or "seconds" where nothing was paid.
    """

    problems: int
    unit: str
    router: Line
    oracle: Line
    random: Line
    fast: Line
    reasoning: Line
    routes: frozenset[int] = frozenset()  # ids of those that count here


@dataclass(frozen=True, slots=True)
class RouteLedger:
    """Figures by type of task and model, all together first; None for lines where nothing was audited and graded."""

    cells: tuple[Cell, ...]
    lines: Lines | None


def store_records(c: Connection, batch_id: int, records: Sequence[RouteRecord]) -> Stored:
    """Store routes under a batch that is being written; a known id changes nothing."""
    known = set(c.scalars(select(route.c.record).where(route.c.record.in_([record.id for record in records]))))
    new = {record.id: record for record in records if record.id not in known}
    if new:
        c.execute(route.insert(), [_values(record, batch_id) for record in new.values()])
    return Stored(stored=len(new), known=len(records) - len(new), lost=0)


def of_run(c: Connection, run_id: int) -> tuple[StoredRoute, ...]:
    """All routes of a run, in the order they were made."""
    return _read(c, _query().where(s.batch.c.run_id == run_id).order_by(route.c.id))


def of_trace(c: Connection, uid: str) -> StoredRoute | None:
    """The newest route whose answer is that of a trace."""
    return next(iter(_read(c, _query().where(route.c.trace == uid).order_by(route.c.id.desc()).limit(1))), None)


def by_record(c: Connection, record: str) -> WholeRoute:
    """A route by its record's id. Raises NotFoundError."""
    found = _read(c, _query().where(route.c.record == record))
    if not found:
        raise NotFoundError(f"there is no route {record}; it may have gone with its run")
    return _whole(c, found[0])


def read(c: Connection, route_id: int) -> WholeRoute:
    """A route with its steps. Raises NotFoundError."""
    found = _read(c, _query().where(route.c.id == route_id))
    if not found:
        raise NotFoundError(f"there is no route {route_id}; it may have gone with its run")
    return _whole(c, found[0])


def ledger(c: Connection, run_id: int | None = None) -> RouteLedger:
    """The figures of one run's routes, or of all."""
    query = _query(route.c.data, route.c.row, route.c.audited)
    rows = c.execute(query if run_id is None else query.where(s.batch.c.run_id == run_id)).all()
    entries = [
        Entry(
            row.task, row.model, None if row.outcome is None else row.outcome == 1, row.seconds, row.cost,
            bool(row.escalated), bool(row.cached), bool(row.marked),
        )
        for row in rows
    ]  # fmt: skip
    return RouteLedger(cells(entries), _lines([row for row in rows if row.audited]))


def _lines(rows: Sequence[Row[Any]]) -> Lines | None:
    """Lines over the audited rows on which both models were graded."""
    kept, pairs = [], []
    for row in rows:
        data = _decoder.decode(row.data)
        steps = {step.tier: step for step in (*data.asked, *data.audited)}
        fast, reasoning = steps.get(FAST), steps.get(REASONING)
        if fast and reasoning and fast.outcome is not None and reasoning.outcome is not None:
            kept.append(row)
            pairs.append((fast, reasoning))
    if not pairs:
        return None
    paid = any(step.worth.cost for pair in pairs for step in pair)

    def costs(tier: int) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.array([pair[tier].worth.cost if paid else pair[tier].worth.seconds for pair in pairs])

    unknown = np.full(len(pairs), np.nan)
    right = [np.array([pair[tier].outcome == 1 for pair in pairs]) for tier in (0, 1)]
    both = Both(unknown, unknown, right[0], right[1], costs(0), costs(1))
    share = float(np.mean([bool(row.escalated) for row in kept]))
    router = Line(
        float(np.mean([row.outcome == 1 for row in kept])),
        float(np.mean([_cost_of(row, paid) for row in kept])),
        share,
    )
    return Lines(
        problems=len(pairs),
        unit="cost" if paid else "seconds",
        router=router,
        oracle=oracle(both),
        random=random_line(both, share),
        fast=random_line(both, 0.0),
        reasoning=random_line(both, 1.0),
        routes=frozenset(row.id for row in kept),
    )


def _cost_of(row: Row[Any], paid: bool) -> float:
    """What a route costs where no cache helps; without prices the seconds of work of all models that it asked."""
    worth = [step.worth for step in _decoder.decode(row.data).asked]
    return sum(one.cost if paid else one.seconds for one in worth)


def _values(record: RouteRecord, batch_id: int) -> dict[str, Any]:
    step = record.asked[record.answered_by] if record.answered_by >= 0 else None
    return {
        "record": record.id,
        "batch_id": batch_id,
        "row": record.row,
        "prompt": record.problem,
        "reference": record.reference,
        "task": record.task,
        "difficulty": record.difficulty,
        "level": record.level,
        "tier": step.tier if step is not None else "",
        "model": step.model if step is not None else "",
        "trace": step.trace if step is not None else "",
        "answer": record.answer,
        "outcome": record.outcome,
        "escalated": int(any(each.tier == REASONING for each in record.asked)),
        "cached": int(record.spent.cached),
        "audited": int(is_drawn(record.row, float(record.settings.get("audit", 0.0)))),
        "marked": record.marked,
        "tokens": record.spent.tokens,
        "seconds": record.spent.seconds,
        "cost": record.spent.cost,
        "router": record.router,
        "settings": dict(record.settings),
        "data": _encoder.encode(_Data(record.asked, record.audited, record.answered_by)),
    }


def _whole(c: Connection, found: StoredRoute) -> WholeRoute:
    data = _decoder.decode(c.execute(select(route.c.data).where(route.c.id == found.id)).scalar_one())
    uids = [step.trace for step in (*data.asked, *data.audited)]
    ids = {row.uid: row.id for row in c.execute(select(s.trace.c.uid, s.trace.c.id).where(s.trace.c.uid.in_(uids)))}
    return WholeRoute(found, data.asked, data.audited, data.answered_by, ids)


_SHOWN = (
    "id", "record", "prompt", "reference", "task", "difficulty", "level", "tier", "model", "answer", "outcome",
    "escalated", "cached", "marked", "tokens", "seconds", "cost",
)  # fmt: skip


def _query(*more: Any) -> Select[Any]:  # noqa: ANN401 - columns
    joined = (
        route.join(s.batch, s.batch.c.id == route.c.batch_id)
        .outerjoin(s.run, s.run.c.id == s.batch.c.run_id)
        .outerjoin(s.trace, s.trace.c.uid == route.c.trace)
    )
    columns = [route.c[name] for name in _SHOWN]
    named = (s.trace.c.id.label("trace_id"), s.run.c.name.label("run"))
    return select(*columns, *named, *more).select_from(joined).where(batches.visible(route.c.batch_id))


def _read(c: Connection, query: Select[Any]) -> tuple[StoredRoute, ...]:
    return tuple(
        StoredRoute(
            **{name: getattr(row, name) for name in _SHOWN if name not in ("escalated", "cached")},
            escalated=bool(row.escalated),
            cached=bool(row.cached),
            trace_id=row.trace_id,
            run=row.run or "",
        )
        for row in c.execute(query)
    )
