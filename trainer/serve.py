"""Step scores over HTTP, on this machine alone: what `steplens-trainer serve MODEL` answers.

    GET  /health           {"status": "ready"}
    GET  /model            {"name", "version", "domain", "separator", "max_length", "classes"}
    POST /score            {"rows": [{"problem": "...", "steps": ["...", ...]}, ...]}
                           -> {"scores": [[0.98, 0.12], ...], "cut": 0, "seconds": 0.01}

A score is P(step is correct), null for steps beyond the model's longest row. One request is scored at a time, its rows
in padded batches. Bad input is answered with 400 and {"error": "..."}; nothing but loopback addresses is listened on.
"""

from __future__ import annotations

import threading
import time
from http import HTTPStatus
from pathlib import Path

import msgspec

from trainer.contract.run_folder import sha256_of_folder
from trainer.serve_frame import JsonHandler, LocalServer, ServeError, answer_until_stopped

PASS_TOKENS = 8192


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


class _Handler(JsonHandler):
    """One connection; the scorer hangs on the server."""

    server: StepServer

    def do_GET(self) -> None:
        """/health and /model."""
        if self.path == "/health":
            self.answer(HTTPStatus.OK, {"status": "ready"})
        elif self.path == "/model":
            self.answer(HTTPStatus.OK, self.server.scorer.about)
        else:
            self.refuse(HTTPStatus.NOT_FOUND, f"no {self.path}; there are GET /health, GET /model and POST /score")

    def do_POST(self) -> None:
        """/score."""
        if self.path != "/score":
            self.refuse(HTTPStatus.NOT_FOUND, f"no {self.path}; post to /score")
            return
        raw = self.body()
        if raw is None:
            return
        try:
            request = msgspec.json.decode(raw, type=ScoreRequest)
        except msgspec.MsgspecError as error:
            self.refuse(HTTPStatus.BAD_REQUEST, f"the body is not a score request: {error}")
            return
        try:
            self.answer(HTTPStatus.OK, self.server.scorer.score(request))
        except (RuntimeError, ValueError, MemoryError) as error:
            self.log_error("scoring failed: %s", error)
            self.refuse(HTTPStatus.INTERNAL_SERVER_ERROR, f"scoring failed: {error}")


class StepServer(LocalServer):
    """Scores; `port` 0 takes a free one."""

    def __init__(self, scorer: StepScorer, port: int) -> None:
        self.scorer = scorer
        super().__init__(port, _Handler)


def serve(source: Path, *, port: int, device: str = "cpu") -> int:
    """Answer until SIGTERM or SIGINT; prints one line with the address once it is ready. Raises ServeError."""
    return answer_until_stopped(lambda: StepServer(StepScorer(source, device=device), port), source)
