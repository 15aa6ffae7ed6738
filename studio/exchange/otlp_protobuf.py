"""A request of OTLP in protobuf as the same request in JSON: what most exporters send unless they are told otherwise.

Only what the request's definition (opentelemetry-proto, trace/v1) names is taken; fields it does not know are passed
over, and whoever stores the request keeps its bytes beside. Ids become hex, bytes base64, 64-bit integers strings.
"""

from __future__ import annotations

import base64
from typing import Any

from studio.exchange.foreign import Json
from studio.exchange.reading import BrokenRecord

REMEDY = "send an ExportTraceServiceRequest of OTLP"
IDS = ("traceId", "spanId", "parentSpanId")


def request_of(data: bytes) -> Json:
    """The request as OTLP's JSON. Raises BrokenRecord."""
    from google.protobuf.json_format import MessageToDict
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    try:
        message = ExportTraceServiceRequest.FromString(data)
    except DecodeError as error:
        raise BrokenRecord(f"the protobuf cannot be read: {error}", REMEDY) from error
    request: Json = MessageToDict(message, use_integers_for_enums=True)
    for resource in request.get("resourceSpans", ()):
        for scope in resource.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                for told in (span, *span.get("links", ())):
                    _name(told)
    return request


def status(code: int, message: str) -> bytes:
    """A google.rpc.Status, as the answer to a request that was refused."""
    said = message.encode()
    return b"\x08" + _written(code) + b"\x12" + _written(len(said)) + said


def _name(told: dict[str, Any]) -> None:
    """Ids are hex in OTLP's JSON, where protobuf's own has base64."""
    for name in IDS:
        if name in told:
            told[name] = base64.b64decode(told[name]).hex()


def _written(value: int) -> bytes:
    said = bytearray()
    while value > 0x7F:
        said.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*said, value))
