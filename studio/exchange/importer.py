"""Bringing a PRM800K file in: read as a stream, stored in short transactions under a batch, published at once.

A line is known by its sha256 and by how often it stood in the file before, within its project: the same file twice adds
nothing, a file that grew adds its new lines, equal lines of one file all survive.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec
from sqlalchemy import Connection, insert, select, update
from zstandard import ZstdCompressor

from studio.domain import Changes, Project, now
from studio.errors import CancelledError, ConflictError
from studio.exchange.prm800k import BOM, BrokenRow, parse
from studio.exchange.prm800k_parts import Parts, take_apart
from studio.exchange.report import ImportReport, RowError, more
from studio.exchange.writer import Item, RawChunk, Writer
from studio.store import batches
from studio.store import schema as s
from studio.store.database import Database

LONGEST_LINE = 64 * 1024 * 1024
RAW_CHUNK_BYTES = 256 * 1024
ROWS_BETWEEN_PROGRESS = 64
_RATING_NAMES = {-1: "-1", 0: "0", 1: "+1"}
Progress = Callable[[int, int], None]


@dataclass(slots=True)
class _File:
    """What is known while one file is read."""

    path: Path
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    times: dict[bytes, int] = field(default_factory=dict)
    bytes_read: int = 0


class Line(NamedTuple):
    """A line that is not blank: its number, its bytes without the line end, and the name of its annotation."""

    number: int
    data: bytes
    uid: str


@dataclass(slots=True)
class _Seen:
    """The names of problems and traces that exist, to count new ones; grows with the file."""

    problems: set[str] = field(default_factory=set)
    traces: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Raw:
    """Lines that follow each other in the file, to be kept as one compressed piece."""

    first: int = 0
    lines: list[bytes] = field(default_factory=list)
    size: int = 0

    def add(self, line: Line) -> None:
        if not self.lines:
            self.first = line.number
        self.lines.append(line.data)
        self.size += len(line.data)

    def is_full_for(self, line: Line) -> bool:
        return self.size > RAW_CHUNK_BYTES or (bool(self.lines) and line.number != self.first + len(self.lines))

    def packed(self, compress: Callable[[bytes], bytes]) -> RawChunk:
        return RawChunk(self.first, compress(b"\n".join(self.lines)))


class Importer:
    """Brings files into one project. `stop` is asked between rows: True cancels, and nothing of the file is left.

    `progress` is told bytes and rows read; `removing`, when it was cancelled, how many rows have been taken away again.
    """

    def __init__(
        self,
        database: Database | None,
        project: Project,
        report: ImportReport,
        *,
        progress: Progress = lambda _bytes, _rows: None,
        removing: Callable[[int], None] = lambda _rows: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.database, self.project, self.report = database, project, report
        self._progress, self._removing, self._stop = progress, removing, stop
        self._seen = _Seen()
        self._compress = ZstdCompressor(level=3).compress

    def run(self, path: Path, *, dry_run: bool = False) -> None:
        """Import one file, or only count; broken rows are reported. Raises CancelledError, ConflictError, OSError."""
        known = self._known()
        file = _File(path)
        with path.open("rb") as stream:
            items = self._items(file, stream, known)
            if dry_run:
                for _ in items:
                    if self._stop():
                        raise CancelledError("cancelled")
            elif self.database is not None:
                self._store(self.database, file, items)

    def _store(self, database: Database, file: _File, items: Iterator[Item]) -> None:
        before = self.report.imported
        batches.clean_abandoned(database)
        batch_id = database.run(lambda c: self._begin(c, file.path))
        done = False
        try:
            writer = Writer(self.project, batch_id, now())
            database.write_in_slices(items, writer.store, checked=False, stop=self._stop)
            if self._stop():
                raise CancelledError(f"cancelled; nothing of {file.path} was imported")
            if self.report.imported > before:
                database.run(lambda c: self._publish(c, batch_id, file))
                done = True
        finally:
            if not done:
                batches.remove(database, batch_id, self._removing)

    def _begin(self, c: Connection, path: Path) -> int:
        at_work = c.execute(
            select(s.batch.c.process, s.batch.c.source).where(
                s.batch.c.project_id == self.project.id, s.batch.c.state != batches.PUBLISHED
            )
        )
        for process, source in at_work:
            if batches.lives(process):
                raise ConflictError(
                    f"{source} is being imported into {self.project.name!r} at this moment; wait until it is done"
                )
        return batches.begin(c, "import", self.project.id, source=str(path), format="prm800k")

    def _publish(self, c: Connection, batch_id: int, file: _File) -> Changes:
        said = msgspec.to_builtins(self.report)
        c.execute(update(s.batch).where(s.batch.c.id == batch_id).values(sha256=file.digest.hexdigest()))
        note = {"batch": batch_id, "source": str(file.path), "rows": self.report.imported}
        c.execute(insert(s.history).values(at=now(), project_id=self.project.id, role="note", verb="import", new=note))
        return batches.publish(c, batch_id, said)

    def _known(self) -> set[str]:
        """The names of the annotations of this project; also notes which problems and traces exist."""
        if self.database is None:
            return set()
        with self.database.read() as c:
            self._seen.problems.update(c.scalars(select(s.problem.c.uid)))
            mine = s.project_trace.c.project_id == self.project.id
            self._seen.traces.update(c.scalars(select(s.trace.c.uid).join(s.project_trace).where(mine)))
            query = select(s.annotation.c.uid).where(
                s.annotation.c.project_id == self.project.id, batches.visible(s.annotation.c.batch_id)
            )
            return set(c.scalars(query))

    def _items(self, file: _File, stream: BinaryIO, known: set[str]) -> Iterator[Item]:
        """The new rows of a file, taken apart; the bytes of neighbours travel compressed with the last of them."""
        raw = _Raw()
        waiting: Item | None = None
        for line in self._lines(file, stream):
            if line.uid in known:
                self.report.known += 1
                continue
            parts = self._parts(file, line)
            if parts is None:
                continue
            item = Item(line.uid, line.number, self._trace_uid(parts, line), parts, None)
            self._count(item)
            if waiting is not None and raw.is_full_for(line):
                waiting = waiting._replace(raw=raw.packed(self._compress))
                raw = _Raw()
            if waiting is not None:
                yield waiting
            raw.add(line)
            waiting = item
        if waiting is not None:
            yield waiting._replace(raw=raw.packed(self._compress))

    def _lines(self, file: _File, stream: BinaryIO) -> Iterator[Line]:
        number, project = 0, self.project.uid.encode()
        while whole := stream.readline(LONGEST_LINE):
            number += 1
            file.digest.update(whole)
            file.bytes_read += len(whole)
            if len(whole) == LONGEST_LINE and not whole.endswith(b"\n"):
                self._skip_rest(file, stream, number)
                continue
            data = whole.rstrip(b"\r\n")
            if number == 1 and data.startswith(BOM):
                data = data[len(BOM) :]
                more(self.report.traps, "byte order mark")
            if not data.strip():
                more(self.report.traps, "blank lines")
                continue
            self.report.rows += 1
            if not self.report.rows % ROWS_BETWEEN_PROGRESS:
                self._progress(file.bytes_read, self.report.rows)
            digest = hashlib.sha256(data).digest()
            times = file.times.get(digest, 0)
            file.times[digest] = times + 1
            if times:
                more(self.report.traps, "equal lines")
            yield Line(number, data, hashlib.sha256(b"%b:%b:%d" % (project, digest, times)).hexdigest()[:32])

    def _skip_rest(self, file: _File, stream: BinaryIO, number: int) -> None:
        self.report.rows += 1
        what = f"the line is longer than {LONGEST_LINE // 1024**2} MiB"
        self.report.refuse(RowError(str(file.path), number, what, "is it JSONL, one record a line?"))
        while rest := stream.readline(LONGEST_LINE):
            file.digest.update(rest)
            file.bytes_read += len(rest)
            if rest.endswith(b"\n"):
                return

    def _parts(self, file: _File, line: Line) -> Parts | None:
        try:
            parts = take_apart(parse(line.data), self.report.traps)
        except BrokenRow as error:
            self.report.refuse(RowError(str(file.path), line.number, error.what, error.remedy))
            return None
        return parts

    def _trace_uid(self, parts: Parts, line: Line) -> str:
        """Equal questions of a project share a trace; a phase 1 path belongs to its line."""
        said = parts.trace.shared or f"path:{line.uid}"
        return hashlib.sha256(f"{self.project.uid}:{said}".encode()).hexdigest()[:32]

    def _count(self, item: Item) -> None:
        report, seen, annotation = self.report, self._seen, item.parts.annotation
        report.imported += 1
        for rating in annotation.ratings:
            value = rating.value
            name = "unrated" if value is None else _RATING_NAMES[value]
            report.ratings[name] = report.ratings.get(name, 0) + 1
        more(report.finish_reasons, annotation.finish_reason or "none")
        if item.parts.problem.uid not in seen.problems:
            seen.problems.add(item.parts.problem.uid)
            report.problems += 1
        if item.trace_uid not in seen.traces:
            seen.traces.add(item.trace_uid)
            report.traces += 1
