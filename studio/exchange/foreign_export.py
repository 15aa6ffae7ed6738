"""Giving an imported file back: its bytes where they are kept or in place, else the same values from the tables."""

from __future__ import annotations

import base64
import hashlib
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, select
from zstandard import ZstdDecompressor

from studio.errors import NotFoundError, StoreError
from studio.exchange import skeleton
from studio.exchange.files import Kind
from studio.exchange.inspect_log import is_sample
from studio.store import batches
from studio.store import schema as s
from studio.store import schema_inspect as i
from studio.store.schema_inspect import source_record


class Standing(StrEnum):
    """Where the bytes of an imported file are."""

    COPIED = "kept in the workspace"
    IN_PLACE = "in its place"
    CHANGED = "changed since"
    TOUCHED = "written to since, not compared"
    MOVED = "moved or deleted"


@dataclass(frozen=True, slots=True)
class Log:
    """An imported file."""

    id: int
    batch_id: int
    path: Path
    sha256: str
    kind: Kind
    size: int
    mtime_ns: int
    copied: bool

    def standing(self, *, thorough: bool = False, most: int | None = None) -> Standing:
        """Where its bytes are; a file of the same size and time counts as unchanged, unless looked at thoroughly.

        `most`: one that was written to is compared up to this size alone, as somebody waits.
        """
        if self.copied:
            return Standing.COPIED
        try:
            stat = self.path.stat()
        except OSError:
            return Standing.MOVED
        if stat.st_size != self.size:
            return Standing.CHANGED
        if stat.st_mtime_ns == self.mtime_ns and not thorough:
            return Standing.IN_PLACE
        if most is not None and stat.st_size > most:
            return Standing.TOUCHED
        with self.path.open("rb") as stream:
            same = hashlib.file_digest(stream, "sha256").hexdigest() == self.sha256
        return Standing.IN_PLACE if same else Standing.CHANGED


def logs(c: Connection) -> tuple[Log, ...]:
    """Every imported file that may be seen, newest first."""
    query = select(s.log).where(batches.visible(s.log.c.batch_id)).order_by(s.log.c.id.desc())
    return tuple(_log(row) for row in c.execute(query) if row.extra)


def of_trace(c: Connection, trace_id: int) -> Log | None:
    """The imported file that a trace came from; None for one that came otherwise."""
    row = c.execute(select(s.log).join(s.trace, s.trace.c.log_id == s.log.c.id).where(s.trace.c.id == trace_id)).first()
    return None if row is None or not row.extra or "kind" not in row.extra else _log(row)


def by_name(c: Connection, name: str) -> Log:
    """The newest imported file of this path or name. Raises NotFoundError."""
    known = logs(c)
    for log in known:
        if name in (str(log.path), log.path.name, log.path.stem, str(log.id)):
            return log
    names = ", ".join(dict.fromkeys(log.path.name for log in known[:10]))
    raise NotFoundError(f"no imported file is called {name!r}; there are: {names or 'none'}")


def raw(c: Connection, log: Log) -> Iterator[bytes] | None:
    """The bytes of the file, from the workspace or from its place; None when they are gone or others now."""
    standing = log.standing(thorough=True)
    if standing is Standing.COPIED:
        return _kept(c, log)
    return _in_place(log.path) if standing is Standing.IN_PLACE else None


def rebuilt(c: Connection, log: Log) -> Iterator[bytes]:
    """The file anew from the tables alone: every value as it was, spaces and packing our own."""
    records = _records(c, log)
    if log.kind is Kind.ARCHIVE:
        yield _archive(c, records)
    elif log.kind is Kind.DOCUMENT:
        values = dict(_values(c, records))
        around = next((row for row in records if row.ordinal == 0), None)
        if around is None:
            raise StoreError(f"{log.path}: what stood around its records is not kept; import it again")
        yield _encoded(skeleton.unpack(_skeleton(c, around)[0], records=values))
    else:
        for _, value in _values(c, records):
            yield b"".join(map(_event, value)) if log.kind is Kind.STREAM else _encoded(value) + b"\n"


def _kept(c: Connection, log: Log) -> Iterator[bytes]:
    query = select(i.raw_record.c.codec, i.raw_record.c.data).where(i.raw_record.c.batch_id == log.batch_id)
    for codec, data in c.execute(query.order_by(i.raw_record.c.line)):
        yield ZstdDecompressor().decompress(data) if codec == "zstd" else data


def _in_place(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            yield block


def _records(c: Connection, log: Log) -> list[Row[Any]]:
    query = select(source_record).where(source_record.c.batch_id == log.batch_id).order_by(source_record.c.ordinal)
    return list(c.execute(query))


def _values(c: Connection, records: list[Row[Any]]) -> Iterator[tuple[int, Any]]:
    for row in records:
        if row.ordinal:
            yield row.ordinal, skeleton.unpack(*_skeleton(c, row))


def _skeleton(c: Connection, row: Row[Any]) -> tuple[bytes, list[str]]:
    """The skeleton of a record with the texts of its traces, which may have come with an equal record before."""
    if row.skeleton is None:
        query = select(source_record).where(source_record.c.sha256 == row.sha256)
        first = c.execute(query.where(source_record.c.skeleton.is_not(None)).limit(1)).first()
        if first is None:
            raise StoreError(f"record {row.ordinal}: what came before it is gone; import the file again")
        row = first
    mine = select(s.trace.c.text).where(s.trace.c.batch_id == row.batch_id, s.trace.c.line == row.ordinal)
    return row.skeleton, list(c.scalars(mine.order_by(s.trace.c.id)))


def _archive(c: Connection, records: list[Row[Any]]) -> bytes:
    """An archive of the members: of a chunked sample one by one, of what is no sample also where it was no JSON."""
    target = BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for row, (_, value) in zip(records, _values(c, records), strict=True):
            if is_sample(row.member):
                archive.writestr(row.member, _encoded(value))
            elif "bytes" in value:  # of what is no JSON, and of a folder that has an entry of its own
                archive.writestr(row.member, base64.b64decode(value["bytes"]))
            elif row.member.endswith("/"):
                for name, part in value.items():
                    archive.writestr(name, _encoded(part))
            else:
                archive.writestr(row.member, _encoded(value["json"]))
    return target.getvalue()


def _event(event: dict[str, Any]) -> bytes:
    data = event["data"] if event["data"] == "[DONE]" else json.dumps(event["data"])
    return (f"event: {event['event']}\n" if "event" in event else "").encode() + f"data: {data}\n\n".encode()


def _encoded(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _log(row: Row[Any]) -> Log:
    extra = row.extra
    return Log(
        row.id,
        row.batch_id,
        Path(row.path),
        row.sha256 or "",
        Kind(extra["kind"]),
        extra["size"],
        extra["mtime_ns"],
        extra["copied"],
    )
