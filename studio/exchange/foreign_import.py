"""Bringing a foreign file in: read in pieces by whoever may, stored in short transactions, published at once.

The bytes stay where they are, named by place and sha256, or are copied on request. A record that is here already is
known by its own sha256: the same file twice adds nothing, one that grew adds what is new.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from sqlalchemy import Connection, insert, update
from zstandard import ZstdCompressor

from studio.domain import Changes, new_uid, now
from studio.errors import CancelledError, ImportFormatError
from studio.exchange import file_records, files
from studio.exchange.files import Kind, Piece, Refusal, Result, Source, Trap
from studio.exchange.foreign_writer import ForeignWriter, ReadyRecord
from studio.exchange.reading import BrokenRecord
from studio.exchange.report import ImportReport, RowError, more
from studio.store import batches, segmentations
from studio.store import schema as s
from studio.store import schema_inspect as i
from studio.store.database import Database

SUFFIXES = {".eval", ".json", ".jsonl", ".ndjson", ".sse"}  # looked at in a folder
SLICE_SECONDS = 0.01  # a trace is dear to index: fewer, longer transactions are half the work; they stay under 20 ms
SLICES_BETWEEN_CHECKPOINTS = 40  # a checkpoint waits for the disk twice
COPY_CHUNK = 1 << 20
Spread = Callable[[Iterator[Piece]], Iterator[list[Result]]]
Progress = Callable[[int, int], None]


def in_this_process(pieces: Iterator[Piece]) -> Iterator[list[Result]]:
    """Read one piece after the other here."""
    return map(file_records.read_piece, pieces)


@dataclass(slots=True)
class ForeignImporter:
    """Brings files in. `stop` is asked between rows: True cancels, and nothing of the file is left."""

    database: Database | None
    project_id: int | None
    report: ImportReport
    copy: bool = False
    spread: Spread = in_this_process
    progress: Progress = lambda _bytes, _rows: None
    removing: Callable[[int], None] = lambda _rows: None
    stop: Callable[[], bool] = lambda: False
    publishing: Callable[[Connection, int], None] = lambda _c, _log: (
        None
    )  # in the transaction that shows a log's traces
    _read: int = field(default=0)

    def run(self, source: Source) -> None:
        """Import one file, or without a database only count. Raises CancelledError, ImportFormatError, OSError."""
        digest = hashlib.sha256()
        self._read = 0
        try:
            if self.database is None:
                for record in self._records(source, digest):
                    self._count(record)
            else:
                self._store(self.database, source, digest)
        except BrokenRecord as error:
            raise ImportFormatError(source.path, 1, error.what, error.remedy) from error
        if self.stop():
            raise CancelledError(f"cancelled; nothing of {source.path} was imported")

    def _store(self, database: Database, source: Source, digest: hashlib._Hash) -> None:
        batches.clean_abandoned(database)
        before = self.report.imported
        batch_id, log_id = database.run(lambda c: self._begin(c, source))
        done = False
        try:
            writer = ForeignWriter(batch_id, log_id, self.project_id, now())
            self._write(database, writer, source, digest)
            if self.stop():
                raise CancelledError(f"cancelled; nothing of {source.path} was imported")
            if self.copy:
                self._copy(database, batch_id, source.path)
            self.report.known += writer.stored.known
            self.report.imported += writer.stored.traces
            self.report.traces += writer.stored.traces
            self.report.steps += writer.stored.steps
            self._tell_cut(writer.stored.cut)
            self.report.problems += writer.stored.problems
            if self.report.imported > before or self.project_id is not None or not self._is_here(database, digest):
                database.run(lambda c: self._publish(c, batch_id, log_id, source, digest))
                done = True
        finally:
            if not done:
                batches.remove(database, batch_id, self.removing)

    def _write(self, database: Database, writer: ForeignWriter, source: Source, digest: hashlib._Hash) -> None:
        with closing(self._records(source, digest)) as records:
            database.write_in_slices(
                records,
                writer.store,
                checked=False,
                stop=self.stop,
                work=SLICE_SECONDS,
                checkpoint_after=SLICES_BETWEEN_CHECKPOINTS,
            )

    def _records(self, source: Source, digest: hashlib._Hash) -> Generator[ReadyRecord]:
        """The records that can be read; the others stand in the report."""
        sizes: list[int] = []

        def taken() -> Iterator[Piece]:
            for piece in files.pieces(source, digest):
                sizes.append(piece.size)
                yield piece

        for at, results in enumerate(self.spread(taken())):
            if self.stop():
                return
            for result in results:
                if isinstance(result, Refusal):
                    self._refuse(source, result)
                elif isinstance(result, Trap):
                    more(self.report.traps, result.what)
                else:
                    if result.ordinal and (result.traces or not _is_around(source, result)):
                        self.report.rows += 1
                        if not result.traces:
                            more(self.report.traps, "records without a conversation, kept")
                    yield result
            self._read += sizes[at]
            self.progress(self._read, self.report.rows)

    def _refuse(self, source: Source, refusal: Refusal) -> None:
        where = f"{source.path}" + (f"!{refusal.member}" if refusal.member else "")
        self.report.rows += 1
        self.report.refuse(RowError(where, refusal.ordinal, refusal.what, refusal.remedy))

    def _count(self, record: ReadyRecord) -> None:
        traces = len(record.traces)
        self.report.imported += traces
        self.report.traces += traces
        self.report.steps += sum(len(trace.starts) for trace in record.traces)
        self._tell_cut(Counter(segmentations.in_words(trace.method) for trace in record.traces))

    def _tell_cut(self, cut: Counter[str]) -> None:
        for words, traces in cut.items():
            self.report.cut[words] = self.report.cut.get(words, 0) + traces

    def _is_here(self, database: Database, digest: hashlib._Hash) -> bool:
        """Whether this very file has come in before."""
        with database.read() as c:
            return batches.published(c, digest.hexdigest()) is not None

    def _begin(self, c: Connection, source: Source) -> tuple[int, int]:
        batch_id = batches.begin(c, "import", self.project_id, source=str(source.path), format=source.format)
        stat = source.path.stat()
        extra = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "kind": source.kind.value, "copied": self.copy}
        if source.told.fields is not None:
            extra["fields"] = source.told.fields.shown()
        values = {"uid": new_uid(), "batch_id": batch_id, "path": str(source.path.resolve()), "extra": extra}
        key = c.execute(insert(s.log).values(**values)).inserted_primary_key
        assert key is not None
        return batch_id, int(key[0])

    def _publish(self, c: Connection, batch_id: int, log_id: int, source: Source, digest: hashlib._Hash) -> Changes:
        sha256 = digest.hexdigest()
        c.execute(update(s.batch).where(s.batch.c.id == batch_id).values(sha256=sha256))
        c.execute(update(s.log).where(s.log.c.id == log_id).values(sha256=sha256))
        note = {"batch": batch_id, "source": str(source.path), "rows": self.report.imported}
        values = {"at": now(), "project_id": self.project_id, "role": "note", "verb": "import", "new": note}
        c.execute(insert(s.history).values(**values))
        self.publishing(c, log_id)
        return batches.publish(c, batch_id, msgspec.to_builtins(self.report))

    def _copy(self, database: Database, batch_id: int, path: Path) -> None:
        """Keep the bytes of the file, in pieces; packed where that makes them smaller."""
        compress = ZstdCompressor(level=3).compress

        def chunks() -> Iterator[tuple[int, str, bytes]]:
            with path.open("rb") as stream:
                number = 0
                while data := stream.read(COPY_CHUNK):
                    packed = compress(data)
                    yield (number, "zstd", packed) if len(packed) < len(data) else (number, "raw", data)
                    number += 1

        for number, codec, data in chunks():
            with database.bulk(checked=False) as c:
                c.execute(insert(i.raw_record).values(batch_id=batch_id, line=number, codec=codec, data=data))


def _is_around(source: Source, record: ReadyRecord) -> bool:
    return source.kind is Kind.ARCHIVE and not record.member.startswith("samples/")


def files_of(paths: Sequence[Path]) -> list[Path]:
    """The files of these paths; of a folder all within it that may hold traces, by name."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(each for each in path.rglob("*") if each.suffix.lower() in SUFFIXES and each.is_file())
        else:
            found.append(path)
    return found
