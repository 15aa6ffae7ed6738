"""Searches that runs made: what was tried for a problem, as one packed tree, and the traces that came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, select

from studio.errors import NotFoundError
from studio.store import batches
from studio.store import schema as s
from studio.store.schema_reason import search, search_trace
from studio.store.scores import Stored
from trainer.contract.generated import SearchNode, Spent, Vote
from trainer.contract.records import SearchRecord


class _Data(msgspec.Struct, frozen=True, array_like=True):
    """The packed part."""

    nodes: tuple[SearchNode, ...]
    votes: tuple[Vote, ...]


_encoder, _decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(_Data)


@dataclass(frozen=True, slots=True)
class StoredSearch:
    """A search without its tree. `chosen` is the place of the trace that answered, -1 for none; `run` may be ""."""

    id: int
    record: str
    problem_id: int | None
    prompt: str
    strategy: str
    model: str
    scorer: str
    answer: str | None
    outcome: int | None
    chosen: int
    traces: int
    nodes: int
    spent: Spent
    settings: dict[str, Any]
    run: str

    @property
    def title(self) -> str:
        """What tells it from others: "beam, n 8 (min), by POLICY"."""
        n, how = self.settings.get("n"), self.settings.get("aggregation")
        size = f", n {n}" if n is not None else ""
        judged = f" ({how})" if how and self.scorer else ""
        return f"{self.strategy}{size}{judged}, by {self.model or 'a policy'}"


@dataclass(frozen=True, slots=True)
class SearchTree:
    """A search with its tree. `trace_ids[i]` is the trace at place i, None when it is gone."""

    search: StoredSearch
    nodes: tuple[SearchNode, ...]
    votes: tuple[Vote, ...]
    trace_ids: tuple[int | None, ...]


def store_records(c: Connection, batch_id: int, records: Sequence[SearchRecord]) -> Stored:
    """Store searches under a batch that is being written, after their traces; a known id changes nothing."""
    ids = [record.id for record in records]
    known = set(c.scalars(select(search.c.record).where(search.c.record.in_(ids))))
    stored = 0
    for record in records:
        if record.id in known:
            continue
        known.add(record.id)
        stored += 1
        t = s.trace.c
        found = {row.uid: row for row in c.execute(select(t.uid, t.id, t.problem_id).where(t.uid.in_(record.traces)))}
        problem = next((row.problem_id for row in found.values()), None)
        (made,) = c.execute(search.insert().values(_values(record, batch_id, problem))).inserted_primary_key or (0,)
        members = [
            {"trace_id": found[uid].id, "search_id": made, "batch_id": batch_id, "place": place}
            for place, uid in enumerate(record.traces)
            if uid in found
        ]
        if members:
            c.execute(search_trace.insert(), members)
    return Stored(stored=stored, known=len(records) - stored, lost=0)


def of_trace(c: Connection, trace_id: int) -> StoredSearch | None:
    """The search that finished a trace."""
    found = select(search_trace.c.search_id).where(search_trace.c.trace_id == trace_id).scalar_subquery()
    return next(iter(_read(c, _query().where(search.c.id == found))), None)


def of_problem(c: Connection, problem_id: int) -> tuple[StoredSearch, ...]:
    """All searches for a problem, the newest first."""
    return _read(c, _query().where(search.c.problem_id == problem_id).order_by(search.c.id.desc()))


def of_run(c: Connection, run_id: int) -> tuple[StoredSearch, ...]:
    """All searches of a run, in the order they were made."""
    return _read(c, _query().where(s.batch.c.run_id == run_id).order_by(search.c.id))


def read(c: Connection, search_id: int) -> SearchTree:
    """A search with its tree. Raises NotFoundError."""
    found = _read(c, _query().where(search.c.id == search_id))
    if not found:
        raise NotFoundError(f"there is no search {search_id}; it may have gone with its run")
    data = _decoder.decode(c.execute(select(search.c.data).where(search.c.id == search_id)).scalar_one())
    t = search_trace.c
    ids = {row.place: row.trace_id for row in c.execute(select(t.place, t.trace_id).where(t.search_id == search_id))}
    return SearchTree(found[0], data.nodes, data.votes, tuple(ids.get(place) for place in range(found[0].traces)))


def _values(record: SearchRecord, batch_id: int, problem_id: int | None) -> dict[str, Any]:
    spent = record.spent
    return {
        "record": record.id,
        "batch_id": batch_id,
        "problem_id": problem_id,
        "prompt": record.problem,
        "strategy": record.strategy,
        "model": record.model,
        "scorer": "" if record.scorer is None else record.scorer.name,
        "answer": record.answer,
        "outcome": record.outcome,
        "chosen": record.chosen,
        "traces": len(record.traces),
        "nodes": len(record.nodes),
        "tokens": spent.tokens,
        "tokens_read": spent.tokens_read,
        "prm_calls": spent.prm_calls,
        "prm_tokens": spent.prm_tokens,
        "seconds": spent.seconds,
        "settings": dict(record.settings),
        "data": _encoder.encode(_Data(record.nodes, record.votes)),
    }


def _query() -> Select[Any]:
    columns = [column for column in search.c if column.name != "data"]
    joined = search.join(s.batch, s.batch.c.id == search.c.batch_id).outerjoin(s.run, s.run.c.id == s.batch.c.run_id)
    return select(*columns, s.run.c.name.label("run")).select_from(joined).where(batches.visible(search.c.batch_id))


def _read(c: Connection, query: Select[Any]) -> tuple[StoredSearch, ...]:
    return tuple(_stored(row) for row in c.execute(query))


def _stored(row: Row[Any]) -> StoredSearch:
    spent = Spent(
        tokens=row.tokens,
        tokens_read=row.tokens_read,
        prm_calls=row.prm_calls,
        prm_tokens=row.prm_tokens,
        seconds=row.seconds,
    )
    plain = ("id", "record", "problem_id", "prompt", "strategy", "model", "scorer", "answer", "outcome", "chosen")
    values = {name: getattr(row, name) for name in (*plain, "traces", "nodes", "settings")}
    return StoredSearch(**values, spent=spent, run=row.run or "")
