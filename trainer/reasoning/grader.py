"""Whether a predicted answer equals the reference, strictly or by value, decided in processes that may be killed.

What rational numbers and equal texts decide is decided in the caller's process; the rest goes to child processes with
sympy. An expression that hangs costs its time-out and its process, and its grade is None: undecided, never wrong.
"""

from __future__ import annotations

import logging
import os
import queue
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

import msgspec

from trainer.reasoning.arithmetic import StepCheck
from trainer.reasoning.compare import lenient, strict
from trainer.reasoning.notation import TooBig
from trainer.reasoning.values import ExactAlgebra, NeedsAlgebra

log = logging.getLogger(__name__)

TIMEOUT_S = 5.0
LOADING_S = 120.0  # a child imports sympy, on a machine that may be busy
STARTS = 3
CACHED = 1 << 16


class GraderError(RuntimeError):
    """The grading processes cannot be started, or the grader was closed."""


class GradeForm(StrEnum):
    """Which answers are equal: in the manner of the PRM800K grader, or by value."""

    STRICT = "strict"
    LENIENT = "lenient"


@dataclass(frozen=True, slots=True)
class Pair:
    """A predicted answer (None: the text holds none) and the reference."""

    predicted: str | None
    reference: str


@dataclass(frozen=True, slots=True)
class Grade:
    """Whether the prediction is correct; None when that could not be decided. `why` is for people."""

    correct: bool | None
    why: str


NO_ANSWER = Grade(False, "no answer")
NO_REFERENCE = Grade(None, "no reference answer")
TIMED_OUT = "timed out"
_WORDS = {True: "equal", False: "not equal", None: "algebra could not decide"}


def grade_exactly(pair: Pair, form: GradeForm) -> Grade | None:
    """The grade where texts and rational numbers decide it, without any process; None where algebra is needed."""
    if not pair.reference.strip():
        return NO_REFERENCE
    if pair.predicted is None or not pair.predicted.strip():
        return NO_ANSWER
    if pair.predicted.strip() == pair.reference.strip():
        return Grade(True, "the same text")
    try:
        correct = (strict if form is GradeForm.STRICT else lenient)(pair.predicted, pair.reference, ExactAlgebra())
    except NeedsAlgebra:
        return None
    except TooBig as error:
        return Grade(None, f"not decided: {error}")
    return Grade(correct, f"{_WORDS[correct]} ({form})")


class Grader:
    """Grades pairs and checks algebra in up to `workers` child processes, which start when they are first needed.

    Any thread may ask. Children end with `close` (the end of the `with` block), with the parent process, and, each by
    itself, when a question takes longer than `timeout` seconds.
    """

    def __init__(self, workers: int = 0, *, timeout: float = TIMEOUT_S) -> None:
        if timeout <= 0:
            raise ValueError(f"a time-out of {timeout} s leaves no time to grade")
        self._most = workers or min(4, os.cpu_count() or 1)
        self._timeout = timeout
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._desks: list[_Desk] = []
        self._lock = threading.Lock()
        self._closed = False
        self._known: OrderedDict[tuple[str, str, str], Future[dict[str, Any]]] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def grade(self, pairs: Sequence[Pair], *, form: GradeForm = GradeForm.STRICT) -> tuple[Grade, ...]:
        """A grade for each pair, in order; waits until all are decided or timed out."""
        found: list[Grade | Future[dict[str, Any]]] = []
        for pair in pairs:
            exact = grade_exactly(pair, form)
            if exact is None:
                assert pair.predicted is not None
                found.append(self._ask(str(form), pair.predicted, pair.reference))
            else:
                found.append(exact)
        return tuple(f if isinstance(f, Grade) else _grade_of(f.result(), form) for f in found)

    def check_algebra(self, texts: Sequence[str]) -> tuple[StepCheck | None, ...]:
        """`arithmetic.check_algebra` of each text in the children; None for one that timed out or could not be read."""
        waiting = [self._ask("algebra", text, "") for text in texts]
        replies = [future.result() for future in waiting]
        return tuple(msgspec.convert(r["step"], StepCheck) if "step" in r else None for r in replies)

    def close(self) -> None:
        """End the children; what was still waiting is undecided."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            desks = list(self._desks)
        for _ in desks:
            self._jobs.put(None)
        for desk in desks:
            desk.end()

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    @property
    def timeout(self) -> float:
        """Seconds for one question."""
        return self._timeout

    def next_job(self) -> _Job | None:
        """The next question; waits for one. None: the grader was closed. Called by the desks."""
        while (job := self._jobs.get()) is not None and self._closed:
            job.reply.set_result({"failed": "the grader was closed"})
        return job

    def forget(self, job: _Job) -> None:
        """Ask again the next time: the answer says nothing about the question."""
        with self._lock:
            self._known.pop(job.key, None)

    def _ask(self, kind: str, text: str, reference: str) -> Future[dict[str, Any]]:
        """The reply to a question, asked once however many wait for it."""
        key = (kind, _encodable(text), _encodable(reference))
        with self._lock:
            if self._closed:
                raise GraderError("the grader has been closed")
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
            job = _Job(key, Future())
            self._known[key] = job.reply
            if len(self._known) > CACHED:
                self._known.popitem(last=False)
            if len(self._desks) < self._most:
                self._desks.append(_Desk(self, f"grader-{len(self._desks)}"))
            self._jobs.put(job)
        return job.reply


@dataclass(frozen=True, slots=True)
class _Job:
    key: tuple[str, str, str]
    reply: Future[dict[str, Any]]

    @property
    def line(self) -> bytes:
        kind, text, reference = self.key
        if kind == "algebra":
            return msgspec.json.encode({"kind": kind, "text": text}) + b"\n"
        return msgspec.json.encode({"kind": "grade", "form": kind, "predicted": text, "reference": reference}) + b"\n"


class _Desk:
    """One child process and the thread that hands it questions; a child that was killed is replaced."""

    def __init__(self, grader: Grader, name: str) -> None:
        self._grader = grader
        self._process: subprocess.Popen[bytes] | None = None
        self._guard = threading.Lock()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Kill the child and wait for the thread."""
        with self._guard:
            if self._process is not None:
                self._process.kill()
        self._thread.join(10)

    def _serve(self) -> None:
        while (job := self._grader.next_job()) is not None:
            try:
                reply = self._reply(job)
            except (OSError, EOFError, GraderError) as error:
                self._grader.forget(job)
                self._tidy()
                reply = {"failed": f"{type(error).__name__}: {error}"}
                if isinstance(error, GraderError) and not self._grader.is_closed:
                    job.reply.set_exception(error)
                    continue
            job.reply.set_result(reply)
        self._tidy()

    def _reply(self, job: _Job) -> dict[str, Any]:
        for attempt in range(STARTS):
            if self._process is None:
                self._start()
            line = self._exchange(job.line, self._grader.timeout)
            if line:
                return dict(msgspec.json.decode(line))
            self._tidy()
            if line is None:
                log.info("a question to the grader was given up after %g s: %.200r", self._grader.timeout, job.key)
                return {"failed": f"{TIMED_OUT} after {self._grader.timeout:g} s"}
            if self._grader.is_closed:
                return {"failed": "the grader was closed"}
            log.warning("a grading process ended by itself at attempt %d: %.200r", attempt + 1, job.key)
        self._grader.forget(job)
        return {"failed": "the grading process ended"}

    def _start(self) -> None:
        """A fresh child that has loaded sympy; started here, as the kernel ends it with the thread that started it."""
        for _ in range(STARTS):
            command = [sys.executable, "-m", "trainer.reasoning.grader_child", str(os.getpid())]
            with self._guard:
                if self._grader.is_closed:
                    raise GraderError("the grader has been closed")
                self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            if self._exchange(b"", LOADING_S):
                return
            code = self._process.poll()
            self._tidy()
        raise GraderError(
            f"the grading process cannot be started (exit status {code}); try `{' '.join(command[:3])} {os.getppid()}`"
        )

    def _exchange(self, line: bytes, seconds: float) -> bytes | None:
        """Say a line and hear one; empty when the child ended by itself, None when it was killed for its time."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        over = threading.Event()

        def give_up() -> None:
            over.set()
            process.kill()

        timer = threading.Timer(seconds, give_up)
        timer.daemon = True
        timer.start()
        try:
            process.stdin.write(line)
            process.stdin.flush()
            heard = process.stdout.readline()
        except BrokenPipeError:
            heard = b""
        finally:
            timer.cancel()
        if heard.endswith(b"\n"):
            return heard
        return None if over.is_set() else b""

    def _tidy(self) -> None:
        with self._guard:
            process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:  # its reader is gone: what was buffered cannot be delivered
                    log.debug("a grading process's pipe was closed already")
        process.wait()


def _encodable(text: str) -> str:
    """The text with lone surrogates replaced: they cannot be sent."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _grade_of(reply: dict[str, Any], form: GradeForm) -> Grade:
    if "failed" in reply:
        return Grade(None, f"not decided: {reply['failed']}")
    correct = reply["correct"]
    return Grade(correct, f"{_WORDS[correct]} by algebra ({form})")
