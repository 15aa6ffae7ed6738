"""Receiving spans over OTLP/HTTP from programs on this machine: a post is read whole, or refused and not stored.

What comes in is kept byte by byte in the folder `received` of the workspace and imported from there as any file of
spans is, a request in protobuf as the same request in JSON that is put beside it: a trace a call of a model, published
at once. The same post sent twice adds nothing. Spans of one trace id that come in several posts stand together in the
log of the first.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import sqlite3
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import Connection, func, select, update
from sqlalchemy.exc import DBAPIError

from studio.errors import ImportFormatError, SteplensError
from studio.exchange import file_records, otel_spans, otlp_protobuf
from studio.exchange.files import Kind, Piece, Refusal, Result, Source
from studio.exchange.foreign import Json
from studio.exchange.foreign_import import ForeignImporter
from studio.exchange.formats import Told
from studio.exchange.reading import BrokenRecord, parse
from studio.exchange.report import ImportReport
from studio.exchange.telling import CANCELLED, cancellable
from studio.store import batches
from studio.store import schema as s
from studio.workspace import Workspace
from trainer.contract.run_folder import write_atomic

HOST = "127.0.0.1"
PATH = "/v1/traces"
LARGEST_BODY = 32 << 20  # bytes, as sent and unpacked
DISCARDED = 4 * LARGEST_BODY  # of a body that is too large: a client that still writes does not read the answer
SECONDS_OF_SILENCE = 30.0
FOLDER = "received"
JSON, PROTOBUF = "application/json", "application/x-protobuf"
USE_HTTP = "set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf or http/json"
SHAPE = 'send {"resourceSpans": [{"scopeSpans": [{"spans": [...]}]}]}'
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Received:
    """What has come: posts, their spans, new traces, calls that were here already, spans without a conversation."""

    posts: int = 0
    spans: int = 0
    traces: int = 0
    known: int = 0
    without: int = 0

    def plus(self, other: Received) -> Received:
        """Both together."""
        return Received(
            self.posts + other.posts,
            self.spans + other.spans,
            self.traces + other.traces,
            self.known + other.known,
            self.without + other.without,
        )

    def sentence(self) -> str:
        """For a person."""
        said = f"{counted(self.posts, 'post')}, {counted(self.spans, 'span')}: {counted(self.traces, 'trace')}"
        said += f", {self.known:,} were here already" if self.known else ""
        return said + (f", {self.without:,} without a conversation, kept" if self.without else "")


def counted(number: int, noun: str) -> str:
    """`1 trace`, `2 traces`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


class Refused(Exception):
    """A post that is not taken: the status of HTTP, and what to do."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status


class Receiver:
    """Listens on 127.0.0.1 while it is open; `told` hears in the thread of a post what has come so far."""

    def __init__(self, workspace: Workspace, port: int, told: Callable[[Received], None] = lambda _: None) -> None:
        """Bind, and begin to listen; port 0: any that is free. Raises SteplensError."""
        self._workspace, self._told = workspace, told
        self._lock = threading.Lock()
        self._closed = False
        self.total = Received()
        try:
            self._server = _Server((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise SteplensError(f"{HOST}:{port}: {why}; choose another port for the OTLP receiver") from error
        self._server.receiver = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="otlp", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def address(self) -> str:
        """What OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set to."""
        return f"http://{HOST}:{self.port}{PATH}"

    def take(self, body: bytes, kind: str = JSON) -> Received:
        """Store one post. Raises Refused, with nothing of it stored."""
        try:
            document = otlp_protobuf.request_of(body) if kind == PROTOBUF else parse(body)
            spans = _spans_in(document)
        except BrokenRecord as error:
            raise Refused(400, f"{error.what}; {error.remedy}") from error
        said = json.dumps(document, separators=(",", ":")).encode() if kind == PROTOBUF else body
        with self._lock:  # one after the other: a slow disk is no reason to mix two batches
            if self._closed:
                raise Refused(503, "the receiver is being closed; send it again later")
            report = self._store(body, said) if spans else ImportReport("")
            here = report.imported + report.known
            came = Received(1, spans, report.imported, report.known, spans - here)
            self.total = self.total.plus(came)
            self._told(self.total)
        return came

    def close(self) -> None:
        """Stop listening; a post that is being stored is stored."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        with self._lock:
            self._closed = True

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _store(self, body: bytes, said: bytes) -> ImportReport:
        """Import `said`, the JSON of a post; the post itself stands beside it where it is something else."""
        folder = self._workspace.path / FOLDER
        path = folder / f"otlp-{hashlib.sha256(body).hexdigest()[:16]}.json"
        was_here = path.exists()
        report = ImportReport("")
        done = False
        try:
            folder.mkdir(exist_ok=True)
            if said is not body:
                write_atomic(path.with_suffix(".pb"), body)
            write_atomic(path, said)
            source = Source(path, Kind.DOCUMENT, otel_spans.FORMAT, Told({}), len(said))
            together = partial(_put_together, f"{folder.resolve()}{os.sep}")
            ForeignImporter(self._workspace.database, None, report, spread=_whole, publishing=together).run(source)
            done = True
        except ImportFormatError as error:
            raise Refused(400, f"{error.problem}; {error.remedy}") from error
        except (OSError, sqlite3.Error, DBAPIError, SteplensError) as error:
            log.exception("a post of %d bytes could not be stored", len(body))
            raise Refused(503, f"{error}; nothing of it was stored, send it again later") from error
        finally:
            if not done and not was_here:
                path.unlink(missing_ok=True)
                path.with_suffix(".pb").unlink(missing_ok=True)
        return report


def _put_together(folder: str, c: Connection, log_id: int) -> None:
    """Spans whose trace id came in an earlier post go to that post's log, as if one file had held them all."""
    t, log = s.trace.c, s.log.c
    mine = select(t.sample).where(t.log_id == log_id, t.sample.is_not(None)).distinct()
    received = select(log.id).where(log.path.startswith(folder, autoescape=True), log.id < log_id)
    first = (
        select(t.sample, func.min(t.log_id).label("log_id"))
        .where(t.log_id.in_(received.where(batches.visible(log.batch_id))), t.sample.in_(mine))
        .group_by(t.sample)
    )
    for row in c.execute(first).all():
        c.execute(update(s.trace).where(t.log_id == log_id, t.sample == row.sample).values(log_id=row.log_id))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    receiver: Receiver


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout: ClassVar[float] = SECONDS_OF_SILENCE

    def do_POST(self) -> None:
        """Take a post, or say why not."""
        try:
            body = _unpacked(self._body(), self.headers.get("Content-Encoding", ""))
            self.server.receiver.take(body, self._kind())
        except Refused as error:
            self._answer(error.status, 3 if error.status < 500 else 14, str(error))  # the codes of gRPC
        else:
            self._answer(200)

    def do_GET(self) -> None:
        """Say what it is here for."""
        self._answer(405, 12, f"POST spans as JSON or protobuf to {self.server.receiver.address}")

    def _kind(self) -> str:
        return self.headers.get("Content-Type", "").split(";")[0].strip().lower()

    def _body(self) -> bytes:
        """The bytes of a post that may be sent. A page of a browser may neither name this host nor skip asking."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise Refused(411, "the post has no Content-Length; send it in one piece")
        if int(length) > LARGEST_BODY:
            self._discard(min(int(length), DISCARDED))
            raise Refused(
                413, f"the post has {int(length):,} bytes, at most {LARGEST_BODY:,} are taken; send fewer spans"
            )
        body = self.rfile.read(int(length))
        if self.headers.get("Host", "").rsplit(":", 1)[0] not in (HOST, "localhost"):
            raise Refused(403, f"only posts to {self.server.receiver.address} are taken")
        if self.path.split("?")[0] != PATH:
            raise Refused(404, f"there is nothing at {self.path[:80]}; post to {PATH}")
        kind = self._kind()
        if kind not in (JSON, PROTOBUF):
            raise Refused(415, f"{kind or 'no Content-Type'} is not read here, only {JSON} and {PROTOBUF}; {USE_HTTP}")
        if len(body) < int(length):
            raise Refused(400, f"the post ended after {len(body):,} of {int(length):,} bytes; send it again")
        return body

    def _discard(self, left: int) -> None:
        while left > 0 and (data := self.rfile.read(min(left, 1 << 20))):
            left -= len(data)

    def _answer(self, status: int, code: int = 0, message: str = "") -> None:
        """Answer in the encoding of the post; nothing is said of one that was taken."""
        binary = self._kind() == PROTOBUF
        if binary:
            data = otlp_protobuf.status(code, message) if message else b""
        else:
            data = json.dumps({"code": code, "message": message} if message else {}).encode()
        self.send_response(status)
        self.send_header("Content-Type", PROTOBUF if binary else JSON)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: ANN401 - as the base names them
        """To the log of the program."""
        log.debug(format, *args)


def _unpacked(body: bytes, encoding: str) -> bytes:
    if encoding.lower() in ("", "identity"):
        return body
    if encoding.lower() != "gzip":
        raise Refused(415, f"Content-Encoding {encoding[:40]} is not read here; send gzip, or none")
    try:
        packed = zlib.decompressobj(wbits=31)
        data = packed.decompress(body, LARGEST_BODY + 1)
    except zlib.error as error:
        raise Refused(400, f"the body is no gzip ({error}); send it again") from error
    if len(data) > LARGEST_BODY:
        raise Refused(413, f"the post unpacks to over {LARGEST_BODY:,} bytes; send fewer spans")
    if not packed.eof:
        raise Refused(400, "the gzip of the body ends too early; send it again")
    return data


def _whole(pieces: Iterator[Piece]) -> Iterator[list[Result]]:
    """Read a post; unlike a file it is refused as a whole, as its sender can mend it."""
    for piece in pieces:
        results = file_records.read_piece(piece)
        for result in results:
            if isinstance(result, Refusal):
                raise BrokenRecord(result.what, result.remedy)
        yield results


def _spans_in(document: object) -> int:
    """How many spans a request of OTLP holds. Raises BrokenRecord that says where it is none."""
    if not isinstance(document, dict) or (document and not {"resourceSpans", "resource_spans"} & document.keys()):
        raise BrokenRecord("no resourceSpans in it", SHAPE)
    return sum(
        1
        for where, resource in _each(document, "resourceSpans", "resource_spans", "")
        for inner, scope in _each(resource, "scopeSpans", "scope_spans", where)
        for _ in _each(scope, "spans", "spans", inner)
    )


def _each(value: Json, name: str, other: str, where: str) -> Iterator[tuple[str, Json]]:
    said = value.get(name, value.get(other))
    said = [] if said is None else said
    if not isinstance(said, list):
        raise BrokenRecord(f"{where}{name} is not a list", SHAPE)
    for at, each in enumerate(said):
        if not isinstance(each, dict):
            raise BrokenRecord(f"{where}{name}[{at}] is not an object", SHAPE)
        yield f"{where}{name}[{at}].", each


def receive(args: argparse.Namespace) -> int:
    """`steplens receive`: listen until it is told to stop; exit code 130 then."""
    path: Path = args.workspace
    with (
        cancellable() as stop,
        Workspace.open(path, create=True) as workspace,
        Receiver(workspace, args.port, lambda total: _say(total.sentence())) as receiver,
    ):
        _say(f"spans are taken at {receiver.address}; {USE_HTTP}; Ctrl+C ends")
        pause = threading.Event()
        while not stop():
            pause.wait(0.2)
    return CANCELLED


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
