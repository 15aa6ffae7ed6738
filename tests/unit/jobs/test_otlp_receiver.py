"""Spans that come over HTTP: real posts to a real receiver."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from studio.errors import SteplensError
from studio.exchange import foreign_export, otlp_protobuf
from studio.exchange.reading import BrokenRecord
from studio.jobs import otlp_receiver
from studio.jobs.otlp_receiver import PATH, Received, Receiver
from studio.store import batches, schema, trace_list
from studio.store.schema_inspect import source_record
from studio.workspace import Workspace

FORMATS = Path(__file__).parents[2] / "fixtures" / "formats"
GENAI = (FORMATS / "otel_genai.json").read_bytes()
OPENINFERENCE = (FORMATS / "openinference_otlp.json").read_bytes()
PROTOBUF = "application/x-protobuf"
REQUEST = FORMATS.with_name("otlp") / "request.pb"  # written by opentelemetry-sdk, read by google.protobuf


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path / "w", create=True) as made:
        yield made


@pytest.fixture
def receiver(workspace: Workspace) -> Iterator[Receiver]:
    with Receiver(workspace, 0) as made:
        yield made


def post(receiver: Receiver, body: bytes, path: str = PATH, **headers: str) -> tuple[int, dict[str, Any]]:
    named = {"Content-Type": "application/json"} | {name.replace("_", "-"): said for name, said in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=60)
    try:
        connection.request("POST", path, body, named)
        answer = connection.getresponse()
        said = answer.read()
        assert answer.headers["Content-Type"] == named["Content-Type"].replace("text/plain", "application/json")
        if named["Content-Type"] == PROTOBUF:  # a google.rpc.Status, or an answer without fields
            return answer.status, {"message": said[4:].decode()} if said else {}
        return answer.status, json.loads(said)
    finally:
        connection.close()


def texts(workspace: Workspace) -> list[tuple[str, str]]:
    with workspace.database.read() as c:
        shown = select(schema.trace.c.model, schema.trace.c.text).where(batches.visible(schema.trace.c.batch_id))
        return [(row.model, row.text) for row in c.execute(shown.order_by(schema.trace.c.id))]


def kept(workspace: Workspace) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((workspace.path / "received").glob("*"))}


def rows(workspace: Workspace) -> int:
    tables = (schema.batch, schema.log, schema.trace, schema.problem, source_record)
    with workspace.database.read() as c:
        return sum(c.scalar(select(func.count()).select_from(table)) or 0 for table in tables)


def test_both_dialects_come_in_each_with_its_bytes(workspace: Workspace, receiver: Receiver) -> None:
    assert post(receiver, GENAI) == (200, {})
    assert post(receiver, OPENINFERENCE) == (200, {})
    found = texts(workspace)
    assert [model for model, _ in found] == ["m-2", "m-3"]
    assert "17 × 3?" in found[1][1]
    assert "30 + 21" in found[1][1]
    assert sorted(kept(workspace).values()) == sorted((GENAI, OPENINFERENCE))
    other = OPENINFERENCE.count(b'"spanId"') + GENAI.count(b'"spanId"') - 2
    assert receiver.total == Received(posts=2, spans=2 + other, traces=2, without=other)
    assert other > 0
    assert f"{other} without a conversation, kept" in receiver.total.sentence()


def test_names_of_protobuf_are_taken_too(workspace: Workspace, receiver: Receiver) -> None:
    body = OPENINFERENCE.replace(b"resourceSpans", b"resource_spans").replace(b"scopeSpans", b"scope_spans")
    assert post(receiver, body)[0] == 200
    assert receiver.total.traces == 1


def test_protobuf_is_the_same_request_as_json(workspace: Workspace, receiver: Receiver) -> None:
    body, said = REQUEST.read_bytes(), json.loads(REQUEST.with_suffix(".json").read_text(encoding="utf-8"))
    assert otlp_protobuf.request_of(body) == said
    assert post(receiver, gzip.compress(body), Content_Type=PROTOBUF, Content_Encoding="gzip") == (200, {})
    assert post(receiver, body, Content_Type=PROTOBUF) == (200, {})
    assert (receiver.total.traces, receiver.total.known, receiver.total.without) == (1, 1, 2)
    assert texts(workspace) == [("m-1", "2+2? é𝔸\n\ntwo and two\n\n4")]
    read, raw = kept(workspace).values()
    assert json.loads(read) == said
    assert raw == body


def test_protobuf_cut_anywhere_or_nested_without_end_is_refused_or_shorter() -> None:
    body = REQUEST.read_bytes()
    for end in range(len(body)):
        with pytest.raises(BrokenRecord) if end else nullcontext():
            otlp_protobuf.request_of(body[:end])
    for at in range(0, len(body), 3):  # whatever a byte is changed to, nothing but this is raised
        for value in (0x00, 0x7F, 0xFF):
            with suppress(BrokenRecord):
                otlp_protobuf.request_of(body[:at] + bytes([value]) + body[at + 1 :])
    deep = b""
    for _ in range(60):
        inner = b"\x0a" + _length(deep) + deep
        deep = b"\x2a" + _length(inner) + inner
    for number in (0x12, 0x4A, 0x12, 0x12, 0x0A):  # value of an attribute of a span of a scope of a resource
        deep = bytes([number]) + _length(deep) + deep
    with pytest.raises(BrokenRecord, match="cannot be read"):
        otlp_protobuf.request_of(deep)


def _length(data: bytes) -> bytes:
    size, said = len(data), bytearray()
    while size > 0x7F:
        said.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes((*said, size))


def test_a_packed_post_is_the_same_as_a_plain_one(workspace: Workspace, receiver: Receiver) -> None:
    assert post(receiver, gzip.compress(GENAI), Content_Encoding="gzip") == (200, {})
    assert list(kept(workspace).values()) == [GENAI]
    assert post(receiver, GENAI) == (200, {})
    assert (receiver.total.traces, receiver.total.known) == (1, 1)
    assert len(texts(workspace)) == 1


def test_the_same_post_after_a_restart_adds_nothing(tmp_path: Path) -> None:
    for known in (0, 1):
        with Workspace.open(tmp_path / "w", create=True) as workspace, Receiver(workspace, 0) as receiver:
            assert post(receiver, GENAI)[0] == 200
            assert receiver.total.known == known
            assert len(texts(workspace)) == 1
            before = rows(workspace)
            assert post(receiver, GENAI)[0] == 200
            assert rows(workspace) == before


@pytest.mark.parametrize(
    ("body", "headers", "status", "said"),
    [
        (b"\x0a\x12", {"Content_Type": PROTOBUF}, 400, "cannot be read"),
        (GENAI, {"Content_Type": PROTOBUF}, 400, "cannot be read"),
        (GENAI, {"Content_Type": "text/plain"}, 415, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf or http/json"),
        (GENAI, {"Content_Encoding": "br"}, 415, "gzip"),
        (GENAI, {"Host": "evil.example:4318"}, 403, "127.0.0.1"),
        (GENAI, {"path": "/v1/logs"}, 404, "/v1/traces"),
        (b'{"resourceSpans": [', {}, 400, "character 19"),
        (b'{"spans": []}', {}, 400, "no resourceSpans"),
        (b"[]", {}, 400, "no resourceSpans"),
        (b'{"resourceSpans": [{"scopeSpans": {}}]}', {}, 400, "resourceSpans[0].scopeSpans is not a list"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [7]}]}]}', {}, 400, "scopeSpans[0].spans[0] is not an object"),
        (GENAI, {"Content_Encoding": "gzip"}, 400, "no gzip"),
        (gzip.compress(GENAI)[:-9], {"Content_Encoding": "gzip"}, 400, "ends too early"),
    ],
)
def test_what_is_refused_says_why_and_leaves_nothing(
    workspace: Workspace, receiver: Receiver, body: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    got, answer = post(receiver, body, **headers)
    assert (got, said in answer["message"]) == (status, True), answer
    assert rows(workspace) == 0
    assert kept(workspace) == {}
    assert receiver.total == Received()


def test_a_span_that_cannot_be_read_refuses_its_whole_post(workspace: Workspace, receiver: Receiver) -> None:
    document = json.loads(GENAI)
    spans = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
    spans.append(
        {
            "traceId": "1",
            "name": "chat",
            "attributes": {"gen_ai.input.messages": [{"role": "user"}, 3], "gen_ai.output.messages": 5},
        }
    )
    got, answer = post(receiver, json.dumps(document).encode())
    assert got == 400
    assert "field" in answer["message"]
    assert rows(workspace) == 0
    assert kept(workspace) == {}


def test_a_post_over_the_limit_is_refused_plain_or_packed(
    workspace: Workspace, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp_receiver, "LARGEST_BODY", 1000)
    assert post(receiver, b" " * 1001)[0] == 413
    assert post(receiver, gzip.compress(b" " * 100_000), Content_Encoding="gzip")[0] == 413
    assert rows(workspace) == 0


def test_a_post_without_spans_is_taken_and_nothing_is_kept(workspace: Workspace, receiver: Receiver) -> None:
    assert post(receiver, b"{}") == (200, {})
    assert post(receiver, b'{"resourceSpans": []}') == (200, {})
    assert (rows(workspace), kept(workspace)) == (0, {})


def test_it_listens_on_this_machine_alone_and_a_taken_port_is_told(workspace: Workspace, receiver: Receiver) -> None:
    assert receiver._server.server_address[0] == "127.0.0.1"
    with socket.socket() as other:
        other.settimeout(5)
        assert other.connect_ex(("127.0.0.2", receiver.port)) != 0  # loopback too, but not the address it is bound to
    with pytest.raises(SteplensError, match="choose another port"):
        Receiver(workspace, receiver.port)
    with pytest.raises(SteplensError, match="choose another port"):
        Receiver(workspace, 70_000)


def test_the_verb_listens_until_it_is_told_to_stop(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "studio", "receive", "--workspace", str(tmp_path / "w"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline().split(PATH)[0].rsplit(":", 1)[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", PATH, GENAI, {"Content-Type": "application/json"})
        assert connection.getresponse().status == 200
        connection.close()
        assert "1 post, 2 spans: 1 trace, 1 without" in child.stdout.readline()
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 130
    with Workspace.open(tmp_path / "w") as workspace:
        assert len(texts(workspace)) == 1


def test_spans_of_one_trace_id_that_come_in_several_posts_stand_in_one_log(
    workspace: Workspace, receiver: Receiver
) -> None:
    def sent(number: int, trace_id: str) -> bytes:
        document = json.loads(GENAI)
        for span in document["resourceSpans"][0]["scopeSpans"][0]["spans"]:
            span["traceId"], span["spanId"] = trace_id, f"{span['spanId'][:8]}{number:08x}"
        return json.dumps(document).encode()

    bodies = [sent(1, "a" * 32), sent(2, "b" * 32), sent(3, "a" * 32), sent(4, "b" * 32), sent(5, "a" * 32)]
    for body in bodies:
        assert post(receiver, body) == (200, {})
    assert receiver.total.traces == 5
    with workspace.database.read() as c:
        t = schema.trace.c
        found = c.execute(select(t.sample, t.log_id, func.count()).group_by(t.sample, t.log_id).order_by(t.sample))
        logs = [tuple(row) for row in found]
        assert [(sample, number) for sample, _, number in logs] == [("a" * 32, 3), ("b" * 32, 2)]
        assert [log.traces for log in trace_list.logs(c)] == [2, 3]
        for log in foreign_export.logs(c):
            again = b"".join(foreign_export.rebuilt(c, log))
            assert json.loads(again) == json.loads(log.path.read_bytes()), "every post can still be given back"
    assert len(kept(workspace)) == 5
    assert post(receiver, bodies[4]) == (200, {})
    assert (receiver.total.traces, receiver.total.known) == (5, 1)
