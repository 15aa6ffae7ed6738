"""A request of OTLP in protobuf as the same request in JSON: what most exporters send unless they are told otherwise.

Only what the request's definition (opentelemetry-proto, trace/v1) names is taken; fields it does not know are passed
over, and whoever stores the request keeps its bytes beside. Ids become hex, bytes base64, 64-bit integers strings.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from studio.exchange.foreign import Json
from studio.exchange.reading import BrokenRecord

DEEPEST = 60  # messages within messages
REMEDY = "send an ExportTraceServiceRequest of OTLP"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class _Field:
    """What a field is called in JSON, how it lies on the wire, and how its value is read."""

    name: str
    wire: int
    value: Callable[[Any, int], Any]
    many: bool = False


def request_of(data: bytes) -> Json:
    """The request as OTLP's JSON. Raises BrokenRecord."""
    try:
        return _message("request", data, 0)
    except (IndexError, struct.error) as error:
        raise BrokenRecord("the protobuf ends within a field", REMEDY) from error
    except UnicodeDecodeError as error:
        raise BrokenRecord("a text of the protobuf is not UTF-8", REMEDY) from error


def status(code: int, message: str) -> bytes:
    """A google.rpc.Status, as the answer to a request that was refused."""
    said = message.encode()
    return b"\x08" + _written(code) + b"\x12" + _written(len(said)) + said


def _message(kind: str, data: bytes, depth: int) -> Json:
    if depth > DEEPEST:
        raise BrokenRecord("it is nested too deeply", REMEDY)
    fields, found = _FIELDS[kind], dict[str, Any]()
    for number, wire, value in _wired(data):
        field = fields.get(number)
        if field is None:
            continue
        if field.wire != wire:
            raise BrokenRecord(f"{kind}.{field.name} is of wire type {wire}, not {field.wire}", REMEDY)
        read = field.value(value, depth + 1)
        if field.many:
            found.setdefault(field.name, []).append(read)
        else:
            found[field.name] = read
    return found


def _wired(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """Number, wire type and value of each field. Raises IndexError, struct.error where the data end too early."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, wire, value
        elif wire == _BYTES:
            length, at = _varint(data, at)
            if at + length > len(data):
                raise IndexError
            yield number, wire, data[at : at + length]
            at += length
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
            yield number, wire, struct.unpack_from("<Q" if size == 8 else "<L", data, at)[0]
            at += size
        else:
            raise BrokenRecord(f"wire type {wire} is none of protobuf", REMEDY)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
    raise BrokenRecord("a number of the protobuf has over ten bytes", REMEDY)


def _written(value: int) -> bytes:
    said = bytearray()
    while value > 0x7F:
        said.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*said, value))


def _text(name: str) -> _Field:
    return _Field(name, _BYTES, lambda value, _depth: value.decode())


def _id(name: str) -> _Field:
    return _Field(name, _BYTES, lambda value, _depth: value.hex())


def _number(name: str, wire: int = _VARINT) -> _Field:
    return _Field(name, wire, lambda value, _depth: value)


def _nanoseconds(name: str) -> _Field:
    return _Field(name, _FIXED64, lambda value, _depth: str(value))


def _inner(name: str, kind: str, *, many: bool = False) -> _Field:
    return _Field(name, _BYTES, partial(_message, kind), many)


def _signed(value: int, _depth: int) -> str:
    return str(value - (1 << 64) if value >> 63 else value)


def _double(value: int, _depth: int) -> float:
    return float(struct.unpack("<d", struct.pack("<Q", value))[0])


_ATTRIBUTES = _inner("attributes", "pair", many=True)
_FIELDS: dict[str, dict[int, _Field]] = {
    "request": {1: _inner("resourceSpans", "resourceSpans", many=True)},
    "resourceSpans": {
        1: _inner("resource", "resource"),
        2: _inner("scopeSpans", "scopeSpans", many=True),
        3: _text("schemaUrl"),
    },
    "resource": {1: _ATTRIBUTES, 2: _number("droppedAttributesCount")},
    "scopeSpans": {1: _inner("scope", "scope"), 2: _inner("spans", "span", many=True), 3: _text("schemaUrl")},
    "scope": {1: _text("name"), 2: _text("version"), 3: _ATTRIBUTES, 4: _number("droppedAttributesCount")},
    "span": {
        1: _id("traceId"),
        2: _id("spanId"),
        3: _text("traceState"),
        4: _id("parentSpanId"),
        5: _text("name"),
        6: _number("kind"),
        7: _nanoseconds("startTimeUnixNano"),
        8: _nanoseconds("endTimeUnixNano"),
        9: _ATTRIBUTES,
        10: _number("droppedAttributesCount"),
        11: _inner("events", "event", many=True),
        12: _number("droppedEventsCount"),
        13: _inner("links", "link", many=True),
        14: _number("droppedLinksCount"),
        15: _inner("status", "status"),
        16: _number("flags", _FIXED32),
    },
    "event": {
        1: _nanoseconds("timeUnixNano"),
        2: _text("name"),
        3: _ATTRIBUTES,
        4: _number("droppedAttributesCount"),
    },
    "link": {
        1: _id("traceId"),
        2: _id("spanId"),
        3: _text("traceState"),
        4: _ATTRIBUTES,
        5: _number("droppedAttributesCount"),
        6: _number("flags", _FIXED32),
    },
    "status": {2: _text("message"), 3: _number("code")},
    "pair": {1: _text("key"), 2: _inner("value", "value")},
    "value": {
        1: _text("stringValue"),
        2: _Field("boolValue", _VARINT, lambda value, _depth: bool(value)),
        3: _Field("intValue", _VARINT, _signed),
        4: _Field("doubleValue", _FIXED64, _double),
        5: _inner("arrayValue", "list"),
        6: _inner("kvlistValue", "pairs"),
        7: _Field("bytesValue", _BYTES, lambda value, _depth: base64.b64encode(value).decode()),
    },
    "list": {1: _inner("values", "value", many=True)},
    "pairs": {1: _inner("values", "pair", many=True)},
}
