"""Reading the records of a piece of a file, in this process or in any other: traces as rows, skeletons, refusals."""

from __future__ import annotations

import base64
import codecs
import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from studio.exchange import archive, formats, inspect_sample, skeleton
from studio.exchange.files import Kind, Piece, Place, Refusal, Result, Trap, parts_of
from studio.exchange.foreign import StepsBy
from studio.exchange.foreign_writer import ReadyRecord, ReadyTrace, ready_trace
from studio.exchange.formats import Told
from studio.exchange.inspect_log import MOST_TOGETHER, joined
from studio.exchange.reading import BrokenRecord, Read, parse, text_of

DONE = "[DONE]"  # the last line of a stream of chunks
NO_END = "a stream in which no response comes to its end: it may have been cut off"
UNKNOWN_EVENT = "events of unknown kinds in a stream: kept, not shown"
_LINE_END = re.compile(rb"\r\n|\n|\r")


def nothing(_: object) -> None:
    """A job that only tells that whoever does it is ready."""


def read_piece(piece: Piece) -> list[Result]:
    """Read the records of a piece; what cannot be read is a Refusal, and the rest goes on."""
    found: list[Result] = list(piece.refused)
    if piece.kind is Kind.DOCUMENT:
        found += _read_document(piece)
    elif piece.kind is Kind.STREAM:
        found += _read_stream(piece.places[0], piece.told)
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
        yield _of_read(value, formats.read(value, told, place.ordinal), place, place.data, told.steps)
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
            return _of_read(value, _sample(value, place, told), place, data, told.steps)
        parts = {name: parse(data) for name, data in contents.items()}
        found = _sample(joined(place.member, parts), place, told)
        return _of_read(parts, found, place, b"\n".join(contents.values()), told.steps)
    except BrokenRecord as error:
        return Refusal(abs(place.ordinal), place.member, error.what, error.remedy)


def _sample(value: object, place: Place, told: Told) -> Read:
    """The traces of a sample of a log. Raises BrokenRecord."""
    if not inspect_sample.is_sample(value):  # else read as something else, without what it refers to
        raise BrokenRecord("no sample of an Inspect log", "it needs id, epoch, and messages or events")
    return formats.read(value, told, place.ordinal)


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
            yield _of_read(value, formats.read(value, piece.told, ordinal), here, data, piece.told.steps)
            ordinals[id(value)] = ordinal
        except BrokenRecord as error:
            yield Refusal(ordinal, pointer, error.what, error.remedy)
    around = skeleton.pack(document, records=ordinals)
    yield _record(Place(0, 0), place.data, around, [])


def _read_stream(place: Place, told: Told) -> list[Result]:
    traps: list[str] = []
    events: list[Any] = []
    refused: list[Result] = []
    found = [] if _is_list(place.data) else list(_events(place.data, traps))
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
    said = [event["data"] for event in events if isinstance(event["data"], dict)]
    try:
        read = formats.read_stream(said)
    except BrokenRecord as error:
        return [*refused, Refusal(1, "", error.what, error.remedy)]
    traps += [UNKNOWN_EVENT for event in events if not _is_known(event["data"])]
    traps += [] if formats.has_ended(said) else [NO_END]
    if not read.traces:
        refused.append(Refusal(1, "", "no known events in the stream", f"looked for {formats.LOOKED_FOR}"))
        return refused
    return [*map(Trap, dict.fromkeys(traps)), *refused, _of_read(events, read, place, place.data, told.steps)]


def events_of(data: bytes) -> list[Any]:
    """The events of a stream that can be read. Raises BrokenRecord."""
    found = [] if _is_list(data) else [value for _, _, value in _events(data, [])]
    if not found:
        value = parse(data)
        found = value if isinstance(value, list) else [value]
    return found


def _is_known(event: object) -> bool:
    """Whether an event of a stream says what is read, or is known to say nothing."""
    if not isinstance(event, dict):
        return event == DONE
    return formats.is_stream_event(event) or event.get("type") == "ping"


def _is_list(data: bytes) -> bool:
    """Whether the events stand in one JSON list, not line by line."""
    return data.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"["


def _events(data: bytes, traps: list[str]) -> Iterator[tuple[int, str, Any]]:
    """The events of a stream: lines `data: JSON` with their name before, or one JSON value a line.

    A line ends at CR, LF or both; the other characters that Unicode counts as ends may stand within a string.
    """
    name = ""
    for number, line in enumerate(_LINE_END.split(data.removeprefix(codecs.BOM_UTF8)), 1):
        try:
            said = text_of(line).strip()
        except BrokenRecord as error:
            yield number, name, error
            continue
        if said.startswith("event:"):
            name = said[6:].strip()
            continue
        said = said.removeprefix("data:").strip()
        if not said or said.startswith((":", "id:", "retry:")):
            continue
        if said == DONE:
            yield number, name, said
            continue
        try:
            yield number, name, parse(said, traps.append)
        except BrokenRecord as error:
            yield number, name, error
        name = ""


def _of_read(value: object, found: Read, place: Place, data: bytes, steps: StepsBy) -> ReadyRecord:
    digest = hashlib.sha256(data).hexdigest()
    said = found.traces if any(trace.text for trace in found.traces) else ()
    traces = [ready_trace(trace, digest, number, place.times, steps) for number, trace in enumerate(said)]
    packed = skeleton.pack(value, found.taken, [trace.text for trace in said])
    return _record(place, data, packed, traces, digest)


def _record(place: Place, data: bytes, packed: bytes, traces: list[ReadyTrace], digest: str = "") -> ReadyRecord:
    digest = digest or hashlib.sha256(data).hexdigest()
    length = None if place.start is None else len(data)
    return ReadyRecord(abs(place.ordinal), place.member, place.start, length, digest, packed, traces)
