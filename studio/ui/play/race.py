"""Strategies that answer one problem, one after another: asked of resident runs, heard in the GUI thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from PySide6.QtCore import QObject, Qt, QTimer, Signal

from studio.jobs.asking import Asking
from studio.jobs.streams import Streamed
from studio.jobs.values import Reply, Stage
from studio.ui.context import Context
from studio.ui.play.outcome import Outcome, read_outcome
from studio.ui.play.values import Entrant, Play, asking

HEAD_START = 0.005  # seconds that a request has to leave before the window does anything else
GATHER_MS = 30  # between two deliveries of what is streamed; the first comes at once


@dataclass(frozen=True, slots=True)
class _Heard:
    """Something a run said, with the ask it belongs to and when it was heard (monotonic seconds)."""

    ask: int
    said: Reply | Streamed
    at: float


class Race(QObject):
    """Lanes are the places of the play's entrants. A cancelled race tells nothing more.

    Signals:
        asked(int): it is this lane's turn.
        waits(int, str): what the request of this lane waits for.
        streamed(int, list): events of this lane, those of the last 30 ms together.
        ended(int, Outcome): this lane has its answer.
        failed(int, str): this lane has none, and why.
        over(): nothing goes on any more.
    """

    asked = Signal(int)
    waits = Signal(int, str)
    streamed = Signal(int, object)
    ended = Signal(int, object)
    failed = Signal(int, str)
    over = Signal()
    _woke = Signal()

    def __init__(self, context: Context, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._play: Play | None = None
        self._lane = 0
        self._ask = 0  # counts asks; what is heard of an earlier one is dropped
        self._asking: Asking | None = None
        self._request = ""
        self._began = 0.0
        self._heard: deque[_Heard] = deque()
        self._timer = QTimer(self, singleShot=True)
        self._timer.timeout.connect(self._deliver)
        self._last = 0.0
        self._left = threading.Event()  # the request lies before the worker
        context.closing.connect(self.leave)
        self._woke.connect(self._on_woke, Qt.ConnectionType.QueuedConnection)

    @property
    def is_running(self) -> bool:
        """Whether a lane is being answered or waits for its turn."""
        return self._play is not None

    @property
    def lane(self) -> int:
        """The lane that is being answered."""
        return self._lane

    def start(self, play: Play) -> None:
        """Ask for every lane, the first one now."""
        self._play, self._lane = play, -1
        self._left.clear()
        self._next()
        self._left.wait(HEAD_START)  # threads take turns at the interpreter: what this one does now would hold it up

    def cancel(self) -> None:
        """Take the request back; lanes that have not ended stay as they are."""
        if self._play is None:
            return
        self._ask += 1
        self._play = None
        if self._request:
            self._context.background.call(self, partial(self._context.jobs.cancel_request, self._request))
        self._request = ""
        self.over.emit()

    def leave(self) -> None:
        """The window is closed: nobody will see the answer, and the next one must not wait for it."""
        self._ask += 1
        self._play = None
        if self._request:
            self._context.jobs.cancel_request(self._request)
            self._request = ""

    # -- asking -------------------------------------------------------------------------------------------------------

    def _next(self) -> None:
        play = self._play
        assert play is not None
        self._lane += 1
        if self._lane == len(play.entrants):
            self._play = None
            self.over.emit()
            return
        self._ask += 1
        self._request = ""
        number, entrant = self._ask, play.entrants[self._lane]
        self._began = time.monotonic()
        if self._lane:  # the first one's is yet to be made
            self.asked.emit(self._lane)
        background = self._context.background
        background.call(
            self, partial(self._put, play, entrant, number), partial(self._on_asked, number),
            partial(self._on_refused, number),
        )  # fmt: skip

    def _put(self, play: Play, entrant: Entrant, number: int) -> tuple[Asking, str]:
        """In a background thread."""
        made = asking(play, entrant)
        request = self._context.jobs.ask(
            made.recipe, made.models, made.request, partial(self._hear, number), settings=made.settings
        )
        self._left.set()
        if number != self._ask:  # the window may be gone, and hear nothing of this any more
            self._context.jobs.cancel_request(request)
        return made, request

    def _on_asked(self, number: int, made: tuple[Asking, str]) -> None:
        if number != self._ask:  # cancelled while it was being asked
            self._context.background.call(self, partial(self._context.jobs.cancel_request, made[1]))
            return
        self._asking, self._request = made
        self._deliver()

    def _on_refused(self, number: int, error: Exception) -> None:
        if number == self._ask:
            self._fail(str(error))

    def _fail(self, why: str) -> None:
        self.failed.emit(self._lane, why)
        if self._play is not None:
            self._next()

    # -- hearing ------------------------------------------------------------------------------------------------------

    def _hear(self, number: int, said: Reply | Streamed) -> None:
        """In a thread of the jobs."""
        self._heard.append(_Heard(number, said, time.monotonic()))
        self._woke.emit()

    def _on_woke(self) -> None:
        if self._timer.isActive() or not self._heard:
            return
        left = GATHER_MS - round(1000 * (time.monotonic() - self._last))
        if left <= 0:
            self._deliver()
        else:
            self._timer.start(left)

    def _deliver(self) -> None:
        """Tell what has been heard, in order; what is streamed together in one piece."""
        if not self._request:
            return  # the answer to the ask itself is still on its way
        events: list[object] = []
        while self._heard:
            heard = self._heard.popleft()
            if heard.ask != self._ask:
                continue
            if isinstance(heard.said, Streamed):
                events.append(heard.said.event)
            elif heard.said.stage is Stage.WAITING:
                self.waits.emit(self._lane, heard.said.text)
            else:
                self._stream(events)
                self._on_end(heard.said, heard.at - self._began)
                return
        self._stream(events)

    def _stream(self, events: Sequence[object]) -> None:
        if events:
            self._last = time.monotonic()
            self.streamed.emit(self._lane, list(events))

    def _on_end(self, reply: Reply, seconds: float) -> None:
        assert self._play is not None
        assert self._asking is not None
        self._request = ""
        if reply.stage is not Stage.DONE:
            self._fail(reply.text or reply.stage.value)
            return
        number, lane = self._ask, self._lane
        read = partial(
            read_outcome, asking=self._asking, run_id=reply.run_id, seconds=seconds,
            way=self._play.entrants[lane].way, problem=self._play.problem, annotator=self._context.annotator.id,
        )  # fmt: skip
        self._context.background.read(self, read, partial(self._on_read, number), partial(self._on_refused, number))

    def _on_read(self, number: int, outcome: Outcome) -> None:
        if number != self._ask or self._play is None:
            return
        self.ended.emit(self._lane, outcome)
        if self._play is not None:  # a receiver may have cancelled
            self._next()
