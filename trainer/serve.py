"""Step scores over HTTP, on this machine alone: what `steplens-trainer serve MODEL` answers.

    GET  /health           {"status": "ready"}
    GET  /model            {"name", "version", "domain", "separator", "max_length", "classes"}
    POST /score            {"rows": [{"problem": "...", "steps": ["...", ...]}, ...]}
                           -> {"scores": [[0.98, 0.12], ...], "cut": 0, "seconds": 0.01}

A score is P(step is correct), null for steps beyond the model's longest row. One request is scored at a time, its rows
in padded batches. Bad input is answered with 400 and {"error": "..."}; nothing but loopback addresses is listened on.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from trainer.contract.run_folder import sha256_of_folder

HOST = "127.0.0.1"
LARGEST_BODY = 64 << 20  # bytes
PASS_TOKENS = 8192


class ServeError(Exception):
    """The server cannot start; the message says why and what to do."""


class Row(msgspec.Struct, frozen=True):
    """One trace to score."""

    problem: str
    steps: tuple[str, ...]


class ScoreRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /score."""

    rows: tuple[Row, ...]


class ScoreAnswer(msgspec.Struct, frozen=True):
    """The answer to POST /score: P(correct) of every step of every row, and how many steps lay beyond the cut."""

    scores: tuple[tuple[float | None, ...], ...]
    cut: int
    seconds: float


class ModelAnswer(msgspec.Struct, frozen=True):
    """The answer to GET /model."""

    name: str
    version: str
    domain: str
    separator: str
    max_length: int
    classes: int


class StepScorer:
    """A loaded PRM that scores rows, one request at a time."""

    def __init__(self, source: Path, *, device: str = "cpu") -> None:
        """Load the PRM. Raises ServeError."""
        from trainer.models.load import ModelError, load_prm

        try:
            loaded = load_prm(str(source))
        except ModelError as error:
            raise ServeError(str(error)) from None
        self._prm = loaded.prm.to(device).eval()
        settings = loaded.prm.settings
        self._encoder = loaded.encoder(settings.max_length)
        version = sha256_of_folder(source) if source.is_dir() else str(source)
        self.about = ModelAnswer(
            source.name, version, settings.domain, settings.separator, settings.max_length, settings.classes
        )
        self._turn = threading.Lock()

    def score(self, request: ScoreRequest) -> ScoreAnswer:
        """P(correct) of every step."""
        from trainer.models.judge import class_probabilities, p_correct

        began = time.perf_counter()
        encoded = [self._encoder.encode(row.problem, row.steps) for row in request.rows]
        with self._turn:
            parts = class_probabilities(self._prm, encoded, budget=PASS_TOKENS)
        scores = tuple(p_correct(part, len(row.steps)) for part, row in zip(parts, request.rows, strict=True))
        cut = sum(len(row.steps) - one.steps for row, one in zip(request.rows, encoded, strict=True))
        return ScoreAnswer(scores, cut, time.perf_counter() - began)


class _Handler(BaseHTTPRequestHandler):
    """One connection; the scorer hangs on the server."""

    server: StepServer
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        """/health and /model."""
        if self.path == "/health":
            self._answer(HTTPStatus.OK, {"status": "ready"})
        elif self.path == "/model":
            self._answer(HTTPStatus.OK, self.server.scorer.about)
        else:
            self._refuse(HTTPStatus.NOT_FOUND, f"no {self.path}; there are GET /health, GET /model and POST /score")

    def do_POST(self) -> None:
        """/score."""
        if self.path != "/score":
            self._refuse(HTTPStatus.NOT_FOUND, f"no {self.path}; post to /score")
            return
        size = self.headers.get("Content-Length", "")
        if not size.isdigit() or int(size) > LARGEST_BODY:
            self.close_connection = True  # what it sent has not been read
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"send Content-Length, at most {LARGEST_BODY} bytes")
            return
        try:
            request = msgspec.json.decode(self.rfile.read(int(size)), type=ScoreRequest)
        except msgspec.MsgspecError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, f"the body is not a score request: {error}")
            return
        try:
            self._answer(HTTPStatus.OK, self.server.scorer.score(request))
        except (RuntimeError, ValueError, MemoryError) as error:
            self.log_error("scoring failed: %s", error)
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, f"scoring failed: {error}")

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        self._answer(status, {"error": message})

    def _answer(self, status: HTTPStatus, value: object) -> None:
        body = msgspec.json.encode(value)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: ANN401 - the signature of the base class
        """Errors go to stderr, successful requests are not logged."""
        if "200" not in args:
            sys.stderr.write(f"{time.strftime('%H:%M:%S')} {format % args}\n")


class StepServer(ThreadingHTTPServer):
    """Listens on 127.0.0.1; `port` 0 takes a free one."""

    daemon_threads = True

    def __init__(self, scorer: StepScorer, port: int) -> None:
        self.scorer = scorer
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise ServeError(f"cannot listen on {HOST}:{port}: {error.strerror}; choose another --port") from None

    @property
    def address(self) -> str:
        """Where clients find it."""
        return f"http://{HOST}:{self.server_address[1]}"


def serve(source: Path, *, port: int, device: str = "cpu") -> int:
    """Answer until SIGTERM or SIGINT; prints one line with the address once it is ready. Raises ServeError."""
    with StepServer(StepScorer(source, device=device), port) as server:

        def stop(_number: int, _frame: FrameType | None) -> None:
            threading.Thread(target=server.shutdown, daemon=True).start()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        sys.stdout.write(f"{msgspec.json.encode({'address': server.address, 'model': str(source)}).decode()}\n")
        sys.stdout.flush()
        server.serve_forever(poll_interval=0.1)
    return 0
