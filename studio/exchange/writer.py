"""Storing taken-apart records: many rows in one short transaction, with ids given out in ranges."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.engine.interfaces import DBAPICursor

from studio.domain import Project
from studio.exchange.prm800k_parts import SOURCE, AnnotationPart, Parts, ProblemPart, TracePart
from studio.exchange.put_rows import put_rows
from studio.store.traces import SEPARATOR
from trainer.reasoning.split import fold_of

Row = tuple[Any, ...]
_RATINGS_AT = AnnotationPart._fields.index("ratings")  # the fields from `timestamp` to here are columns


class RawChunk(NamedTuple):
    """Neighbouring lines of the file, joined by newlines and compressed."""

    first_line: int
    data: bytes


class Item(NamedTuple):
    """A record to store: the names of annotation and trace, its line, what the tables hold of it."""

    uid: str
    line: int
    trace_uid: str
    parts: Parts
    raw: RawChunk | None


class _Stored(NamedTuple):
    trace_id: int
    segmentation_id: int


@dataclass(slots=True)
class _Rows:
    """What one transaction inserts, by table."""

    problem: list[Row] = field(default_factory=list)
    trace: list[Row] = field(default_factory=list)
    message: list[Row] = field(default_factory=list)
    segmentation: list[Row] = field(default_factory=list)
    step: list[Row] = field(default_factory=list)
    project_trace: list[Row] = field(default_factory=list)
    annotation: list[Row] = field(default_factory=list)
    rating: list[Row] = field(default_factory=list)
    candidate: list[Row] = field(default_factory=list)
    raw_record: list[Row] = field(default_factory=list)


@dataclass(slots=True)
class _Next:
    """The next free id of each table, and position of the project."""

    problem: int
    trace: int
    segmentation: int
    annotation: int
    candidate: int
    position: int


_COLUMNS = {
    "problem": "id, uid, prompt, reference_answer, reference_solution, source, fold, extra",
    "trace": "id, uid, problem_id, batch_id, line, text, separator, answer, extra, created_at",
    "message": "trace_id, ordinal, role, blocks",
    "segmentation": "id, trace_id, version, method, created_at, steps",
    "step": 'segmentation_id, ordinal, step_id, start, "end"',
    "project_trace": "project_id, trace_id, position, generation, batch_id",
    "annotation": "id, uid, project_id, trace_id, segmentation_id, annotator_id, batch_id, line, state, submitted_at, "
    "generation, quality_control, screening, total_time_ms, finish_reason, path, extra",
    "rating": "annotation_id, ordinal, option, value, flagged, extra",
    "candidate": "id, trace_id, annotation_id, ordinal, option, text, source, extra",
    "raw_record": "batch_id, line, codec, data",
}
_TRACES = (
    "SELECT trace.uid, trace.id, segmentation.id FROM trace "
    "JOIN segmentation ON segmentation.trace_id = trace.id AND segmentation.version = 1 WHERE"
)
_ANNOTATOR = "INSERT INTO annotator (uid, name, role, origin, created_at) VALUES (?, ?, 'annotator', 'imported', ?)"
_NEXT = (
    "SELECT (SELECT coalesce(max(id), 0) + 1 FROM problem), (SELECT coalesce(max(id), 0) + 1 FROM trace), "
    "(SELECT coalesce(max(id), 0) + 1 FROM segmentation), (SELECT coalesce(max(id), 0) + 1 FROM annotation), "
    "(SELECT coalesce(max(id), 0) + 1 FROM candidate), "
    "(SELECT coalesce(max(position), -1) + 1 FROM project_trace WHERE project_id = ?)"
)


class Writer:
    """Stores records of one batch. Remembers which problems, traces and annotators it has met."""

    def __init__(self, project: Project, batch_id: int, moment: str) -> None:
        self.project, self.batch_id, self.moment = project, batch_id, moment
        self._problems: dict[str, int] = {}
        self._traces: dict[str, _Stored] = {}
        self._annotators: dict[str, int] = {}

    def store(self, c: Connection, items: Sequence[Item]) -> None:
        """Store these records in the running transaction."""
        cursor = c.connection.cursor()
        try:
            self._look_up(cursor, items)
            cursor.execute(_NEXT, (self.project.id,))
            rows, free = _Rows(), _Next(*cursor.fetchall()[0])
            for item in items:
                problem = self._problem(item.parts.problem, rows, free)
                trace = self._trace(item, problem, rows, free)
                self._annotation(item, trace, rows, free)
                if item.raw is not None:
                    rows.raw_record.append((self.batch_id, item.raw.first_line, "zstd", item.raw.data))
            for table, columns in _COLUMNS.items():
                put_rows(cursor, table, columns, getattr(rows, table))
        finally:
            cursor.close()

    def _look_up(self, cursor: DBAPICursor, items: Sequence[Item]) -> None:
        """Ids of what the items share with rows that exist."""
        problems = {item.parts.problem.uid for item in items if item.parts.problem.uid not in self._problems}
        for uid, key in _by_uid(cursor, "SELECT uid, id FROM problem WHERE uid IN", problems):
            self._problems[uid] = key
        traces = {item.trace_uid for item in items if item.trace_uid not in self._traces}
        for uid, trace, segmentation in _by_uid(cursor, f"{_TRACES} trace.uid IN", traces):
            self._traces[uid] = _Stored(trace, segmentation)
        said = (item.parts.annotation.labeler for item in items)
        labelers = {labeler for labeler in said if labeler is not None and labeler not in self._annotators}
        for uid, key in _by_uid(cursor, "SELECT uid, id FROM annotator WHERE uid IN", labelers):
            self._annotators[uid] = key
        for uid in sorted(labelers - self._annotators.keys()):
            cursor.execute(_ANNOTATOR, (uid, _name_of(uid), self.moment))
            self._annotators[uid] = cursor.lastrowid

    def _problem(self, problem: ProblemPart, rows: _Rows, free: _Next) -> int:
        known = self._problems.get(problem.uid)
        if known is not None:
            return known
        key, free.problem = free.problem, free.problem + 1
        self._problems[problem.uid] = key
        fold = fold_of(problem.prompt)
        rows.problem.append((key, *problem[:2], problem.answer, problem.solution, SOURCE, fold, problem.extra))
        return key

    def _trace(self, item: Item, problem_id: int, rows: _Rows, free: _Next) -> _Stored:
        known = self._traces.get(item.trace_uid)
        if known is not None:
            return known
        trace: TracePart = item.parts.trace
        key, free.trace = free.trace, free.trace + 1
        segmentation, free.segmentation = free.segmentation, free.segmentation + 1
        stored = self._traces[item.trace_uid] = _Stored(key, segmentation)
        text = SEPARATOR.join(trace.steps)
        place = (problem_id, self.batch_id, item.line)
        rows.trace.append((key, item.trace_uid, *place, text, SEPARATOR, trace.answer, trace.extra, self.moment))
        rows.message.append((key, 0, "assistant", f'[["answer",0,{len(text)}]]'))
        rows.segmentation.append((segmentation, key, 1, "import", self.moment, len(trace.steps)))
        at = 0
        for ordinal, step in enumerate(trace.steps):
            end = at + len(step)
            rows.step.append((segmentation, ordinal, ordinal, at, end))
            at = end + len(SEPARATOR)
        generation = item.parts.annotation.generation
        rows.project_trace.append((self.project.id, key, free.position, generation, self.batch_id))
        free.position += 1
        return stored

    def _annotation(self, item: Item, trace: _Stored, rows: _Rows, free: _Next) -> None:
        said = item.parts.annotation
        key, free.annotation = free.annotation, free.annotation + 1
        annotator = None if said.labeler is None else self._annotators[said.labeler]
        place = (self.project.id, *trace, annotator, self.batch_id, item.line)
        rows.annotation.append((key, item.uid, *place, "submitted", *said[1:_RATINGS_AT]))
        rows.rating += [(key, *rating) for rating in said.ratings]
        for candidate in said.candidates:
            rows.candidate.append((free.candidate, trace.trace_id, key, *candidate))
            free.candidate += 1


def _by_uid(cursor: DBAPICursor, query: str, uids: Collection[str]) -> Sequence[Any]:
    if not uids:
        return ()
    cursor.execute(f"{query} ({', '.join('?' * len(uids))})", tuple(uids))
    return cursor.fetchall()


def _name_of(uid: str) -> str:
    """What an annotator is called whose source gives no name."""
    return f"labeler {uid[:8]}" if uid else "labeler"
