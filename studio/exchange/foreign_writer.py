"""Storing traces of foreign files: rows made ready by whoever parses, put into short transactions under a batch."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.engine.interfaces import DBAPICursor

from studio.errors import ConflictError
from studio.exchange.foreign import ForeignTrace, StepsBy, clean, cut
from studio.exchange.put_rows import put_rows, put_steps
from studio.store import segmentations, token_values
from studio.store.token_values import TokenArrays
from studio.store.traces import problem_uid
from trainer.reasoning.split import fold_of

Row = tuple[Any, ...]


class ReadyTrace(NamedTuple):
    """A trace as its rows, cheap to send between processes."""

    uid: str
    problem: Row  # uid, prompt, reference_answer, source, fold
    columns: Row  # sample, epoch, model, text, answer, outcome, budget, extra
    messages: list[Row]  # ordinal, role, blocks, extra
    starts: array[int]  # of steps: a million pairs are dear to send
    ends: array[int]
    method: str  # how they were cut
    tokens: TokenArrays | None


class ReadyRecord(NamedTuple):
    """A record of a file with its traces."""

    ordinal: int
    member: str
    start: int | None
    length: int | None
    sha256: str
    skeleton: bytes
    traces: list[ReadyTrace]


def ready_trace(trace: ForeignTrace, record_sha: str, number: int, times: int, by: StepsBy) -> ReadyTrace:
    """A trace as rows; its name is that of its record and its number there: the same in every import."""
    uid = hashlib.sha256(f"{record_sha}:{times}:{number}".encode()).hexdigest()[:32]
    said = {
        "prompt": trace.problem,
        "reference_answer": trace.reference,
        "reference_solution": None,
        "source": trace.source,
    }
    said = {name: _storable(value) for name, value in said.items()}
    problem = (problem_uid(said), said["prompt"], said["reference_answer"], said["source"], fold_of(trace.problem))
    extra = dict(trace.extra or {})
    if trace.scores:
        extra["scores"] = trace.scores
    columns = (
        *map(_storable, (trace.sample, trace.epoch, trace.model, trace.text, trace.answer, trace.outcome)),
        *(_json(trace.budget), _json(extra or None)),
    )
    messages = [
        (number, _storable(m.role), _json([[b.kind.value, b.start, b.end] for b in m.blocks]), _json(m.extra))
        for number, m in enumerate(trace.messages)
    ]
    starts, ends = cut(trace, by)
    method = by.method if trace.steps is None else segmentations.GIVEN
    return ReadyTrace(uid, problem, columns, messages, array("Q", starts), array("Q", ends), method, trace.tokens)


def _json(value: object) -> str | None:
    if value is None:
        return None
    said = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    if "\\ud" in said and (plain := json.dumps(value, ensure_ascii=False)) != (whole := clean(plain)):
        return json.dumps(json.loads(whole), ensure_ascii=True, separators=(",", ":"))
    return said


def _storable(value: Any) -> Any:  # noqa: ANN401
    """A value of a column as the database can hold it: no half characters, no whole number beyond 64 bits."""
    if isinstance(value, str):
        return clean(value)
    return None if isinstance(value, int) and not -(2**63) <= value < 2**63 else value


@dataclass(slots=True)
class _Rows:
    problem: list[Row] = field(default_factory=list)
    trace: list[Row] = field(default_factory=list)
    message: list[Row] = field(default_factory=list)
    segmentation: list[Row] = field(default_factory=list)
    source_record: list[Row] = field(default_factory=list)
    cuts: list[tuple[int, Sequence[int], Sequence[int]]] = field(default_factory=list)  # segmentation, starts, ends


_COLUMNS = {
    "problem": "id, uid, prompt, reference_answer, source, fold",
    "trace": "id, uid, problem_id, batch_id, line, log_id, sample, epoch, model, text, answer, outcome, budget, extra, "
    "created_at",
    "message": "trace_id, ordinal, role, blocks, extra",
    "segmentation": "id, trace_id, version, method, created_at, steps",
    "source_record": "batch_id, ordinal, member, start, length, sha256, skeleton",
}
_KNOWN = (
    "SELECT trace.uid, trace.id, batch.source FROM trace LEFT JOIN batch "
    "ON batch.id = trace.batch_id AND batch.state != 'published' AND batch.id != ? WHERE trace.uid IN ({})"
)
_NEXT = (
    "SELECT (SELECT coalesce(max(id), 0) + 1 FROM problem), (SELECT coalesce(max(id), 0) + 1 FROM trace), "
    "(SELECT coalesce(max(id), 0) + 1 FROM segmentation)"
)
_IN_PROJECT = (
    "INSERT INTO project_trace (project_id, trace_id, position, batch_id) SELECT :project, :trace, "
    "(SELECT coalesce(max(position), -1) + 1 FROM project_trace WHERE project_id = :project), :batch "
    "WHERE NOT EXISTS (SELECT 1 FROM project_trace WHERE project_id = :project AND trace_id = :trace)"
)


@dataclass(slots=True)
class Stored:
    """What has come in so far."""

    problems: int = 0
    traces: int = 0
    known: int = 0
    steps: int = 0
    cut: Counter[str] = field(default_factory=Counter)  # traces, by how their steps came about


class ForeignWriter:
    """Stores the records of one batch; a trace that is here already stays as it is."""

    def __init__(self, batch_id: int, log_id: int, project_id: int | None, moment: str) -> None:
        self.batch_id, self.log_id, self.project_id, self.moment = batch_id, log_id, project_id, moment
        self.stored = Stored()
        self._problems: dict[str, int] = {}

    def store(self, c: Connection, records: Sequence[ReadyRecord]) -> None:
        """Store these records in the running transaction."""
        cursor = c.connection.cursor()
        try:
            known = self._known(cursor, records)
            cursor.execute(_NEXT)
            problem_id, trace_id, segmentation_id = cursor.fetchall()[0]
            rows, tokens, mine = _Rows(), [], []
            for record in records:
                new = [trace for trace in record.traces if trace.uid not in known]
                self._source(cursor, record, rows, is_new=bool(new) or not record.traces)
                for trace in record.traces:
                    if trace.uid in known:
                        mine.append(known[trace.uid])
                for trace in new:
                    problem, problem_id = self._problem(cursor, trace, rows, problem_id)
                    self._trace(trace, record.ordinal, (problem, trace_id, segmentation_id), rows)
                    known[trace.uid] = trace_id
                    mine.append(trace_id)
                    if trace.tokens is not None:
                        tokens.append((trace_id, trace.tokens))
                    trace_id, segmentation_id = trace_id + 1, segmentation_id + 1
                self.stored.known += len(record.traces) - len(new)
            for table, columns in _COLUMNS.items():
                put_rows(cursor, table, columns, getattr(rows, table))
            put_steps(cursor, rows.cuts)
            self._put_in_project(cursor, mine)
        finally:
            cursor.close()
        for key, arrays in tokens:
            token_values.put(c, key, self.batch_id, arrays)

    def _known(self, cursor: DBAPICursor, records: Sequence[ReadyRecord]) -> dict[str, int]:
        """Traces that are here already. Raises ConflictError where they may be taken back: another brings them now."""
        uids = [trace.uid for record in records for trace in record.traces]
        found: dict[str, int] = {}
        for at in range(0, len(uids), 500):
            part = uids[at : at + 500]
            cursor.execute(_KNOWN.format(", ".join("?" * len(part))), (self.batch_id, *part))
            for uid, key, coming in cursor.fetchall():
                if coming is not None:
                    raise ConflictError(
                        f"some of these traces come in with {coming} at this moment; import the file again afterwards"
                    )
                found[uid] = key
        return found

    def _source(self, cursor: DBAPICursor, record: ReadyRecord, rows: _Rows, *, is_new: bool) -> None:
        skeleton: bytes | None = record.skeleton
        if not is_new:
            cursor.execute(
                "SELECT 1 FROM source_record WHERE sha256 = ? AND skeleton IS NOT NULL LIMIT 1", (record.sha256,)
            )
            skeleton = None if cursor.fetchone() else skeleton
        rows.source_record.append((self.batch_id, *record[:5], skeleton))

    def _problem(self, cursor: DBAPICursor, trace: ReadyTrace, rows: _Rows, free: int) -> tuple[int, int]:
        uid = trace.problem[0]
        known = self._problems.get(uid)
        if known is None:
            cursor.execute("SELECT id FROM problem WHERE uid = ?", (uid,))
            found = cursor.fetchone()
            if found is None:
                rows.problem.append((free, *trace.problem))
                self.stored.problems += 1
                known, free = free, free + 1
            else:
                known = int(found[0])
            self._problems[uid] = known
        return known, free

    def _trace(self, trace: ReadyTrace, line: int, ids: tuple[int, int, int], rows: _Rows) -> None:
        problem, key, segmentation = ids
        rows.trace.append((key, trace.uid, problem, self.batch_id, line, self.log_id, *trace.columns, self.moment))
        rows.message += [(key, *message) for message in trace.messages]
        rows.segmentation.append((segmentation, key, 1, trace.method, self.moment, len(trace.starts)))
        rows.cuts.append((segmentation, trace.starts, trace.ends))
        self.stored.traces += 1
        self.stored.cut[segmentations.in_words(trace.method)] += 1
        self.stored.steps += len(trace.starts)

    def _put_in_project(self, cursor: DBAPICursor, traces: Sequence[int]) -> None:
        if self.project_id is not None:
            for key in traces:
                cursor.execute(_IN_PROJECT, {"project": self.project_id, "trace": key, "batch": self.batch_id})
