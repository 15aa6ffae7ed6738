"""A foreign file as records: found by what it holds, cut into pieces that can be read anywhere and in any number.

Kinds: an archive (a log of Inspect), JSON Lines, one JSON document, and a stream of events.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from studio.errors import ImportFormatError
from studio.exchange import archive, formats, mapped
from studio.exchange.archive import Member
from studio.exchange.foreign import Json
from studio.exchange.foreign_writer import ReadyRecord
from studio.exchange.formats import Told
from studio.exchange.inspect_log import InspectLog, is_sample
from studio.exchange.reading import BrokenRecord, parse

HEAD = 256 * 1024
LONGEST_LINE = 64 * 1024 * 1024
LARGEST_DOCUMENT = 1 << 30
PIECE_BYTES = 512 * 1024
LOOKED_AT = 20
LINES = (".jsonl", ".ndjson")
NO_DIRECTORY = "the archive has no whole directory (still being written, or cut off): what is whole of it is read"
TORN = "the file ends within it", "it is still being written, or cut off: import it again when it is whole"
TWICE = "an earlier member of the archive with this name is left out: the last one counts"
BOM = b"\xef\xbb\xbf"
PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}  # by first bytes


class Kind(StrEnum):
    """How a file holds its records."""

    ARCHIVE = "archive"
    LINES = "lines"
    DOCUMENT = "document"
    STREAM = "stream"


class Place(NamedTuple):
    """Where a record lies. `data`: its bytes, unless it is read from the archive by its members."""

    ordinal: int
    start: int | None
    member: str = ""
    members: tuple[Member, ...] = ()
    data: bytes = b""
    times: int = 0  # equal records before it in this file


class Refusal(NamedTuple):
    """A record that was left out."""

    ordinal: int
    member: str
    what: str
    remedy: str


class Trap(NamedTuple):
    """Something that was met on the way and does no harm."""

    what: str


Result = ReadyRecord | Refusal | Trap


@dataclass(frozen=True, slots=True)
class Piece:
    """Some records of a file, to be read by anyone who has the file."""

    path: str
    kind: Kind
    places: tuple[Place, ...]
    told: Told
    size: int = 0
    refused: tuple[Refusal | Trap, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was looked at. `format` names what its first records are."""

    path: Path
    kind: Kind
    format: str
    told: Told
    size: int
    samples: tuple[Json, ...] = field(default=(), repr=False)  # the first records, to show a mapping by


def look(path: Path, words: tuple[str, ...] = ()) -> Source:
    """What a file is, by its content. `words` are a person's mapping of fields. Raises ImportFormatError."""
    refuse_pipe(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(HEAD)
        if head.startswith((archive.SIGN, b"PK\x05\x06")):
            log = InspectLog.open(path)
            log.archive.close()
            return Source(path, Kind.ARCHIVE, "inspect", Told(_shared(log.header)), size)
        return _look_at_text(path, head, size, words)
    except BrokenRecord as error:
        raise ImportFormatError(path, 1, error.what, f"{error.remedy}; looked for {formats.LOOKED_FOR}") from error
    except OSError as error:
        raise ImportFormatError(path, 0, f"cannot be read ({error.strerror})", "check the path and rights") from error


def refuse_pipe(path: Path) -> None:
    """Raises ImportFormatError for what would be waited for, or never end."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ImportFormatError(path, 0, "it is no file", "a pipe or a device is written to a file first")


def _look_at_text(path: Path, head: bytes, size: int, words: tuple[str, ...]) -> Source:
    if not head.strip():
        raise ImportFormatError(path, 1, "the file is empty", f"looked for {formats.LOOKED_FOR}")
    packed = next((name for sign, name in PACKED.items() if head.startswith(sign)), None)
    if packed is not None:
        raise ImportFormatError(path, 1, f"it is packed by {packed}", "unpack it, and import what comes out")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or head[:4].count(0) >= 2:
        return _of_document(path, size, words)
    body = head.removeprefix(BOM).lstrip()
    if body.startswith((b"data:", b"event:", b": ", b"id:")):
        return Source(path, Kind.STREAM, "stream", Told({}), size)
    lines = body.splitlines()[: LOOKED_AT + 1]
    first = [value for line in lines if (value := parsed(line)) is not None and isinstance(value, dict)]
    whole = len(lines) == 1 and size <= HEAD and path.suffix.lower() not in LINES  # which may grow
    alone = body[:1] in b"[{" and not isinstance(parsed(lines[0]), dict) and lines[0].strip() in (b"{", b"[")
    if len(lines) == 1 and not first and size > HEAD and b"\n" not in head:
        return _of_long_line(path, size, words)
    if not first or alone or whole:
        return _of_document(path, size, words)
    if all(map(formats.is_stream_event, first)):
        return Source(path, Kind.STREAM, "stream", Told({}), size)
    return _source(path, Kind.LINES, size, first, words)


def _of_long_line(path: Path, size: int, words: tuple[str, ...]) -> Source:
    """A file whose first line is very long: one document, or the first of many records."""
    with path.open("rb") as stream:
        line = stream.readline(LONGEST_LINE)
        if stream.read(1) and isinstance(value := parsed(line), dict) and "samples" not in value:
            return _source(path, Kind.LINES, size, [value], words)
    return _of_document(path, size, words)


def _of_document(path: Path, size: int, words: tuple[str, ...]) -> Source:
    value = _document(path, size)
    _, records = parts_of(value)
    if not records:
        raise ImportFormatError(path, 1, "no records in it", f"looked for {formats.LOOKED_FOR}")
    if all(map(formats.is_stream_event, (each for _, each in records))):
        return Source(path, Kind.STREAM, "stream", Told({}), size)
    source = _source(path, Kind.DOCUMENT, size, [each for _, each in records[:LOOKED_AT]], words)
    return Source(path, Kind.DOCUMENT, source.format, Told(_header(value), source.told.fields), size, source.samples)


def _source(path: Path, kind: Kind, size: int, records: list[Any], words: tuple[str, ...]) -> Source:
    names = [name for each in records if (name := formats.format_of(each)) is not None]
    shown = tuple(each for each in records[:3] if isinstance(each, dict))
    others = [each for each in records if isinstance(each, dict) and formats.format_of(each) is None]
    fields = mapped.from_words(words, mapped.guess(others))
    if len(names) > len(others):
        told = Told({}, fields if others and fields.is_enough else None)
        return Source(path, kind, max(set(names), key=names.count), told, size, shown)
    if names and not fields.is_enough:
        return Source(path, kind, max(set(names), key=names.count), Told({}), size, shown)
    if not fields.is_enough:
        what = f"no known format; fields: {', '.join(list(shown[0])[:12])}" if shown else "no known format"
        raise ImportFormatError(
            path, 1, what, f"looked for {formats.LOOKED_FOR}; name the fields by --map answer=FIELD"
        )
    return Source(path, kind, mapped.FORMAT, Told({}, fields), size, shown)


def parsed(line: bytes) -> object:
    """What a line says, None when it is no JSON."""
    try:
        return parse(line)
    except BrokenRecord:
        return None


def _document(path: Path, size: int) -> Any:  # noqa: ANN401
    if size > LARGEST_DOCUMENT:
        raise BrokenRecord(f"a document of {size:,} bytes", "write it as JSON Lines, or as .eval")
    return parse(path.read_bytes())


def parts_of(document: Any) -> tuple[str, list[tuple[str, Any]]]:  # noqa: ANN401
    """The records of a document with their JSON pointers, and the pointer of the list they stand in."""
    if isinstance(document, dict):
        samples = document.get("samples")
        if isinstance(samples, list) and ("eval" in document or any(map(_is_sample, samples[:1]))):
            return "/samples", [(f"/samples/{at}", each) for at, each in enumerate(samples)]
        if formats.format_of(document) is None:
            for key in ("data", "traces", "records", "items", "rows", "results", "examples"):
                inner = document.get(key)
                if isinstance(inner, list) and inner and isinstance(inner[0], dict):
                    return f"/{key}", [(f"/{key}/{at}", each) for at, each in enumerate(inner)]
    if isinstance(document, list) and formats.format_of(document) is None:
        return "", [(f"/{at}", each) for at, each in enumerate(document)]
    return "", [("", document)]


def _is_sample(value: object) -> bool:
    return isinstance(value, dict) and "id" in value and "epoch" in value


def _header(document: Any) -> Json:  # noqa: ANN401
    return _shared(document) if isinstance(document, dict) and "eval" in document else {}


def _shared(header: Json) -> Json:
    """What the samples of a log need to know of it."""
    spec, plan = header.get("eval"), header.get("plan")
    spec = (
        {k: v for k, v in spec.items() if k in ("task", "model", "model_generate_config")}
        if isinstance(spec, dict)
        else {}
    )
    return {"eval": spec, "plan": {"config": plan.get("config")} if isinstance(plan, dict) else {}}


def pieces(source: Source, digest: hashlib._Hash) -> Iterator[Piece]:
    """All records of the file in pieces; `digest` is fed with the bytes of the file. Raises BrokenRecord, OSError."""
    if source.kind is Kind.ARCHIVE:
        yield from _of_archive(source, digest)
    elif source.kind is Kind.LINES:
        yield from _of_lines(source, digest)
    else:
        data = source.path.read_bytes()
        digest.update(data)
        yield Piece(str(source.path), source.kind, (Place(1, 0, data=data),), source.told, len(data))


def _of_archive(source: Source, digest: hashlib._Hash) -> Iterator[Piece]:
    with source.path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    log = InspectLog.open(source.path)
    with log.archive as opened:
        samples = log.members()
        inner = {name for each in samples for name in log.parts_of(each)}
        around = [name for name in opened.members if name not in inner]
        twice = [
            Refusal(0, name, TWICE, "unpack the log by another program to see it") if is_sample(name) else Trap(TWICE)
            for name in opened.twice
        ]
        torn = [Refusal(0, name, *TORN) for name in opened.torn if is_sample(name)]
        traps = [] if opened.is_whole else [Trap(NO_DIRECTORY)]
        if twice or torn or traps:
            yield Piece(str(source.path), source.kind, (), source.told, 0, (*twice, *torn, *traps))
        places, size = list[Place](), 0
        files = [*((name, log.parts_of(name)) for name in samples), *((name, (name,)) for name in around)]
        for ordinal, (name, parts) in enumerate(files, 1):
            members = tuple(opened.members[part] for part in parts)
            places.append(Place(ordinal if ordinal <= len(samples) else -ordinal, members[0].offset, name, members))
            size += sum(member.packed for member in members)
            if size > PIECE_BYTES // 4:
                yield Piece(str(source.path), source.kind, tuple(places), source.told, size)
                places, size = [], 0
        if places:
            yield Piece(str(source.path), source.kind, tuple(places), source.told, size)


def _of_lines(source: Source, digest: hashlib._Hash) -> Iterator[Piece]:
    seen: dict[bytes, int] = {}
    places, size, at, number = list[Place](), 0, 0, 0
    with source.path.open("rb") as stream:
        while whole := stream.readline(LONGEST_LINE):
            number += 1
            digest.update(whole)
            start, at = at, at + len(whole)
            size += len(whole)
            if len(whole) == LONGEST_LINE and not whole.endswith(b"\n"):
                what = f"the line is longer than {LONGEST_LINE >> 20} MiB"
                refused = Refusal(number, "", what, "is it JSON Lines, one record a line?")
                at += _skip_rest(stream, digest)
                yield Piece(str(source.path), source.kind, tuple(places), source.told, size, (refused,))
                places, size = [], 0
                continue
            data = whole.rstrip(b"\r\n")
            data = data.removeprefix(BOM) if number == 1 else data
            if not data.strip():
                continue
            key = hashlib.sha256(data).digest()
            times = seen.get(key, 0)
            seen[key] = times + 1
            places.append(Place(number, start, data=data, times=times))
            if size > PIECE_BYTES:
                yield Piece(str(source.path), source.kind, tuple(places), source.told, size)
                places, size = [], 0
    if places or size:
        yield Piece(str(source.path), source.kind, tuple(places), source.told, size)


def _skip_rest(stream: BinaryIO, digest: hashlib._Hash) -> int:
    skipped = 0
    while rest := stream.readline(LONGEST_LINE):
        digest.update(rest)
        skipped += len(rest)
        if rest.endswith(b"\n"):
            break
    return skipped
