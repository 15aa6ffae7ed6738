"""A foreign file as records: found by what it holds, cut into pieces that can be read anywhere and in any number.

Kinds: an archive (a log of Inspect), JSON Lines, one JSON document, and a stream of events.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from studio.errors import ImportFormatError
from studio.exchange import archive, formats, mapped, skeleton
from studio.exchange.archive import Member
from studio.exchange.foreign import Json
from studio.exchange.foreign_writer import ReadyRecord, ReadyTrace, ready_trace
from studio.exchange.formats import Told
from studio.exchange.inspect_log import MOST_TOGETHER, InspectLog, joined
from studio.exchange.reading import BrokenRecord, Read, parse, text_of

HEAD = 256 * 1024
LONGEST_LINE = 64 * 1024 * 1024
LARGEST_DOCUMENT = 1 << 30
PIECE_BYTES = 512 * 1024
LOOKED_AT = 20
BOM = b"\xef\xbb\xbf"


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
    refused: tuple[Refusal, ...] = ()


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
        raise ImportFormatError(path, 1, error.what, error.remedy) from error
    except OSError as error:
        raise ImportFormatError(path, 0, f"cannot be read ({error.strerror})", "check the path and rights") from error


def _look_at_text(path: Path, head: bytes, size: int, words: tuple[str, ...]) -> Source:
    if not head.strip():
        raise ImportFormatError(path, 1, "the file is empty", f"looked for {formats.LOOKED_FOR}")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or head[:4].count(0) >= 2:
        return _of_document(path, size, words)
    body = head.removeprefix(BOM).lstrip()
    if body.startswith((b"data:", b"event:", b": ", b"id:")):
        return Source(path, Kind.STREAM, "stream", Told({}), size)
    lines = body.splitlines()[: LOOKED_AT + 1]
    first = [value for line in lines if (value := _parsed(line)) is not None and isinstance(value, dict)]
    whole = len(lines) == 1 and size <= HEAD
    alone = body[:1] in b"[{" and not isinstance(_parsed(lines[0]), dict) and lines[0].strip() in (b"{", b"[")
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
        if stream.read(1) and isinstance(value := _parsed(line), dict) and "samples" not in value:
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
    if names and not words:
        return Source(path, kind, max(set(names), key=names.count), Told({}), size, shown)
    fields = mapped.from_words(words, mapped.guess([each for each in records if isinstance(each, dict)]))
    if not fields.is_enough:
        what = f"no known format; fields: {', '.join(list(shown[0])[:12])}" if shown else "no known format"
        raise ImportFormatError(
            path, 1, what, f"looked for {formats.LOOKED_FOR}; name the fields by --map answer=FIELD"
        )
    return Source(path, kind, mapped.FORMAT, Told({}, fields), size, shown)


def _parsed(line: bytes) -> object:
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


def read_piece(piece: Piece) -> list[Result]:
    """Read the records of a piece; what cannot be read is a Refusal, and the rest goes on."""
    found: list[Result] = list(piece.refused)
    if piece.kind is Kind.DOCUMENT:
        found += _read_document(piece)
    elif piece.kind is Kind.STREAM:
        found += _read_stream(piece.places[0])
    elif piece.kind is Kind.LINES:
        for place in piece.places:
            found += _read_line(place, piece.told)
    else:
        with open(piece.path, "rb") as stream:
            found += [_read_member(stream, place, piece.told) for place in piece.places]
    return found


def _read_line(place: Place, told: Told) -> Iterator[Result]:
    traps: list[str] = []
    try:
        value = parse(place.data, traps.append)
        yield _of_read(value, formats.read(value, told, place.ordinal), place, place.data)
    except BrokenRecord as error:
        yield Refusal(place.ordinal, "", error.what, error.remedy)
    yield from map(Trap, dict.fromkeys(traps))


def _read_member(stream: BinaryIO, place: Place, told: Told) -> Result:
    try:
        if sum(member.size for member in place.members) > MOST_TOGETHER:
            raise BrokenRecord(f"its chunks are over {MOST_TOGETHER:,} bytes", "open the log with its own viewer")
        contents = {member.name: archive.read_member(stream, member) for member in place.members}
        if place.ordinal < 0:
            data = contents[place.member]
            return _record(place, data, skeleton.pack(_lenient(data)), [])
        if place.member in contents:
            data = contents[place.member]
            value = parse(data)
            return _of_read(value, formats.read(value, told, place.ordinal), place, data)
        parts = {name: parse(data) for name, data in contents.items()}
        found = formats.read(joined(place.member, parts), told, place.ordinal)
        return _of_read(parts, found, place, b"\n".join(contents.values()))
    except BrokenRecord as error:
        return Refusal(abs(place.ordinal), place.member, error.what, error.remedy)


def _lenient(data: bytes) -> object:
    """A member that is no sample: its JSON, or its bytes where it is none."""
    try:
        return {"json": parse(data)}
    except BrokenRecord:
        return {"bytes": base64.b64encode(data).decode()}


def _read_document(piece: Piece) -> Iterator[Result]:
    place = piece.places[0]
    traps: list[str] = []
    try:
        document = parse(place.data, traps.append)
    except BrokenRecord as error:
        yield Refusal(0, "", error.what, error.remedy)
        return
    yield from map(Trap, dict.fromkeys(traps))
    _, records = parts_of(document)
    ordinals: dict[int, int] = {}
    seen: dict[bytes, int] = {}
    for ordinal, (pointer, value) in enumerate(records, 1):
        try:
            data = json.dumps(value).encode()
            key = hashlib.sha256(data).digest()
            here = Place(ordinal, None, pointer, times=seen.get(key, 0))
            seen[key] = here.times + 1
            yield _of_read(value, formats.read(value, piece.told, ordinal), here, data)
            ordinals[id(value)] = ordinal
        except BrokenRecord as error:
            yield Refusal(ordinal, pointer, error.what, error.remedy)
    around = skeleton.pack(document, records=ordinals)
    yield _record(Place(0, 0), place.data, around, [])


def _read_stream(place: Place) -> list[Result]:
    traps: list[str] = []
    events: list[Any] = []
    refused: list[Result] = []
    try:
        text = text_of(place.data)
    except BrokenRecord as error:
        return [Refusal(1, "", error.what, error.remedy)]
    found = [] if text.lstrip()[:1] == "[" else list(_events(text, traps))
    if not found:
        try:
            found = [(1, "", value) for value in parse(place.data)]
        except (BrokenRecord, TypeError) as error:
            return [Refusal(1, "", str(error), "a stream of events is expected")]
    for line, name, value in found:
        if isinstance(value, BrokenRecord):
            refused.append(Refusal(line, "", value.what, value.remedy))
        else:
            events.append({"event": name, "data": value} if name else {"data": value})
    read = formats.read_stream([event["data"] for event in events if isinstance(event["data"], dict)])
    if not read.traces:
        refused.append(Refusal(1, "", "no known events in the stream", f"looked for {formats.LOOKED_FOR}"))
        return refused
    return [*map(Trap, dict.fromkeys(traps)), *refused, _of_read(events, read, place, place.data)]


def _events(text: str, traps: list[str]) -> Iterator[tuple[int, str, Any]]:
    """The events of a stream: lines `data: JSON` with their name before, or one JSON value a line."""
    name = ""
    for number, line in enumerate(text.splitlines(), 1):
        said = line.strip()
        if said.startswith("event:"):
            name = said[6:].strip()
            continue
        said = said.removeprefix("data:").strip()
        if not said or said.startswith((":", "id:", "retry:")):
            continue
        if said == "[DONE]":
            yield number, name, said
            continue
        try:
            yield number, name, parse(said, traps.append)
        except BrokenRecord as error:
            yield number, name, error
        name = ""


def _of_read(value: object, found: Read, place: Place, data: bytes) -> ReadyRecord:
    digest = hashlib.sha256(data).hexdigest()
    traces = [ready_trace(trace, digest, number, place.times) for number, trace in enumerate(found.traces)]
    packed = skeleton.pack(value, found.taken, [trace.text for trace in found.traces])
    return _record(place, data, packed, traces, digest)


def _record(place: Place, data: bytes, packed: bytes, traces: list[ReadyTrace], digest: str = "") -> ReadyRecord:
    digest = digest or hashlib.sha256(data).hexdigest()
    length = None if place.start is None else len(data)
    return ReadyRecord(abs(place.ordinal), place.member, place.start, length, digest, packed, traces)
