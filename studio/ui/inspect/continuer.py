"""Asks a resident policy for continuations on behalf of a dialog, and brings what came of them to the GUI thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import shiboken6
from PySide6.QtCore import QObject, Signal

from studio.jobs.continuing import Continuation, read_continuations
from studio.jobs.streams import Streamed
from studio.jobs.values import Reply, Stage
from studio.ui.context import Context
from trainer.contract.events import Wrote
from trainer.contract.requests import GenerateRequest

if TYPE_CHECKING:
    from studio.jobs.service import Jobs

Judge = Callable[[Sequence[Continuation]], tuple[Continuation, ...]]


class Continuer(QObject):
    """One request at a time.

    Signals:
        told(str): what it waits for.
        wrote(int, int): tokens drawn, and continuations finished, of the present request.
        came(object, float): the continuations (a tuple of Continuation), and the seconds that they took.
        failed(str): why none came.
    """

    told = Signal(str)
    wrote = Signal(int, int)
    came = Signal(object, float)
    failed = Signal(str)
    _heard = Signal(object)

    def __init__(self, context: Context, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._request: GenerateRequest | None = None
        self._unwanted = threading.Event()
        self._judge: Judge = tuple
        self._began = 0.0
        self._tokens: dict[int, int] = {}
        self._done: set[int] = set()
        self._heard.connect(self._on_heard)

    @property
    def is_busy(self) -> bool:
        """Whether a request waits for its answer."""
        return self._request is not None

    def ask(self, model: str, request: GenerateRequest, judge: Judge = tuple) -> None:
        """Ask this policy (by uid); `judge` grades what came, in a thread."""
        assert self._request is None, "one request at a time"
        self._request, self._judge, self._unwanted = request, judge, threading.Event()
        self._tokens, self._done, self._began = {}, set(), time.monotonic()
        jobs, unwanted = self._context.jobs, self._unwanted
        self._context.background.call(
            self,
            partial(_ask, jobs, model, request, partial(self._listen, unwanted), unwanted),
            failed=lambda error: self._end(str(error)),
        )

    def cancel(self) -> None:
        """Take the request back; nothing more is told of it."""
        if self._request is not None:
            self._unwanted.set()
            jobs, id = self._context.jobs, self._request.id
            self._request = None
            self._context.background.call(self._context, partial(jobs.cancel_request, id))

    def _listen(self, unwanted: threading.Event, said: Reply | Streamed) -> None:
        """In a thread of the jobs."""
        if not unwanted.is_set() and shiboken6.isValid(self):
            self._heard.emit(said)

    def _on_heard(self, said: Reply | Streamed) -> None:
        if self._request is None or said.request != self._request.id:
            return
        if isinstance(said, Streamed):
            if isinstance(said.event, Wrote):
                self._count(said.event)
        elif said.stage is Stage.WAITING:
            self.told.emit(said.text)
        elif said.stage is Stage.DONE:
            self._read(said.run_id, self._request)
        else:
            self._end(said.text)

    def _count(self, event: Wrote) -> None:
        self._tokens[event.trace] = self._tokens.get(event.trace, 0) + len(event.starts)
        if event.done:
            self._done.add(event.trace)
        self.wrote.emit(sum(self._tokens.values()), len(self._done))

    def _read(self, run_id: int, request: GenerateRequest) -> None:
        number, judge, took = int(request.settings["n"]), self._judge, time.monotonic() - self._began
        database = self._context.workspace.database

        def work() -> tuple[Continuation, ...]:
            with database.read() as c:
                found = read_continuations(c, run_id, request.id, number)
            return judge(found)

        self._context.background.call(
            self, work, partial(self._on_read, request, took), lambda error: self._end(str(error))
        )

    def _on_read(self, request: GenerateRequest, took: float, found: tuple[Continuation, ...]) -> None:
        if self._request is request:
            self._request = None
            self.came.emit(found, took)

    def _end(self, why: str) -> None:
        if self._request is not None:
            self._request = None
            self.failed.emit(why)


def _ask(
    jobs: Jobs,
    model: str,
    request: GenerateRequest,
    listen: Callable[[Reply | Streamed], None],
    unwanted: threading.Event,
) -> None:
    jobs.ask("generate", {"model": model}, request, listen)
    if unwanted.is_set():  # it was taken back before anybody could be told
        jobs.cancel_request(request.id)
