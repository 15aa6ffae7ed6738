"""The loop of a recipe that stays: requests are taken in order, each is answered once, an idle time ends the run."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable

import msgspec

from trainer.contract import events
from trainer.contract.events import Level, Outcome
from trainer.contract.requests import (
    CANCELLED,
    WAITING,
    AnyRequest,
    CancelRequest,
    answered,
    decoder,
    head_decoder,
)
from trainer.contract.run_folder import RunFolderError, complete_lines
from trainer.runtime.worker import RunFailed, Stopped, Worker

POLL_SECONDS = 0.008
"""How often requests and control are looked at: two system calls that cost some 20 microseconds."""
AWAKE_SECONDS, AWAKE_POLL_SECONDS = 60.0, 0.0005
"""For so long after an answer the next question is expected, and looked for so often."""

Check = Callable[[], None]
Answer = Callable[[AnyRequest, Check], None]


class RequestCancelled(Exception):
    """Nobody wants the answer that is being made any more."""


class Resident:
    """Reads requests.jsonl and says `Answered`.

    What a handler writes to the records before it returns belongs to its answer; should the worker die in between, the
    request is handled again in the next attempt, so a handler must know the records that are there already.
    """

    def __init__(self, worker: Worker, idle_minutes: float) -> None:
        self._worker = worker
        self._idle_seconds = 60.0 * idle_minutes
        self._before = worker.step
        self._offset = 0
        self._answered = answered(worker.folder.events)
        self._waiting: dict[str, AnyRequest] = {}
        self._current = ""
        self._current_is_cancelled = False

    @property
    def answers(self) -> int:
        """How many requests have an answer, of whatever attempt."""
        return len(self._answered)

    def serve(self, answer: Answer) -> None:
        """Answer until no request has come for the idle time. Raises Stopped.

        `answer(request, check)` writes records; it calls `check` now and then, which raises Stopped or
        RequestCancelled. Whatever else it raises is the request's error, and the loop goes on.
        """
        self._worker.step = self._before + self.answers
        try:
            self._read()
            if not self._waiting:
                self._tell(WAITING)
            idle_since = time.monotonic()
            while time.monotonic() - idle_since < self._idle_seconds:
                self._worker.check()
                self._read()
                if self._waiting:
                    self._answer_next(answer)
                    idle_since = time.monotonic()
                else:
                    awake = self.answers and time.monotonic() - idle_since < AWAKE_SECONDS
                    time.sleep(AWAKE_POLL_SECONDS if awake else POLL_SECONDS)
        except Stopped as stop:
            if stop.outcome is Outcome.CANCELLED:  # a pause leaves them to the next attempt
                for request in list(self._waiting):
                    self._say_answered(request, 0.0, "the run was cancelled")
            raise

    def check(self) -> None:
        """For handlers: raise Stopped when the run is asked to stop, RequestCancelled when this request is."""
        self._worker.check()
        self._read()
        if self._current_is_cancelled:
            raise RequestCancelled(self._current)

    def _answer_next(self, answer: Answer) -> None:
        request = next(iter(self._waiting.values()))
        self._current, self._current_is_cancelled = request.id, False
        began, error = time.monotonic(), ""
        try:
            self.check()
            answer(request, self.check)
        except Stopped:
            raise
        except RequestCancelled:
            error = CANCELLED
        except (RunFailed, RunFolderError) as failure:
            error = str(failure)
        except Exception as failure:
            self._worker.log(traceback.format_exc())
            error = f"{type(failure).__name__}: {failure}"
        finally:
            self._current = ""
        self._say_answered(request.id, time.monotonic() - began, error)
        self._worker.system()
        self._tell("answering" if self._waiting else WAITING)

    def _say_answered(self, request: str, seconds: float, error: str = "") -> None:
        self._waiting.pop(request, None)
        self._answered.add(request)
        self._worker.step = self._before + self.answers
        self._worker.say(events.Answered, request=request, seconds=seconds, error=error)
        if error:
            self._worker.log(f"request {request}: {error}")

    def _tell(self, phase: str) -> None:
        total = self.answers + len(self._waiting)
        self._worker.say(events.Progress, phase=phase, done=self.answers, total=total, unit="requests")

    def _read(self) -> None:
        path = self._worker.folder.requests
        try:
            if path.stat().st_size <= self._offset:
                return
        except FileNotFoundError:
            return
        lines, self._offset = complete_lines(path, self._offset)
        for line in lines:
            self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            request = decoder.decode(line)
        except msgspec.MsgspecError as error:
            self._refuse(line, error)
            return
        if isinstance(request, CancelRequest):
            if request.target == self._current:
                self._current_is_cancelled = True
            elif request.target in self._waiting:
                self._say_answered(request.target, 0.0, CANCELLED)
        elif request.id not in self._answered:
            self._waiting[request.id] = request

    def _refuse(self, line: bytes, error: msgspec.MsgspecError) -> None:
        """A line of another version of the studio, or no request at all."""
        text = f"a request cannot be read: {error}; this worker is of another version than the program that asked"
        try:
            head = head_decoder.decode(line)
        except msgspec.MsgspecError:
            self._worker.notice(Level.WARNING, "unreadable_request", f"{self._worker.folder.requests}: {text}")
            return
        if head.id not in self._answered:
            self._say_answered(head.id, 0.0, text)
