"""Best-of-n of a small model against one pass of a larger: asked of resident runs, compared out of the store."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QObject, Qt, Signal
from sqlalchemy import Connection

from studio.domain import new_uid
from studio.errors import RunError
from studio.jobs.asking import row_of
from studio.jobs.streams import Streamed
from studio.jobs.values import Reply, Stage
from studio.ui.context import Context
from studio.ui.play.contest_store import Ask, Compared, Found, Wanted, compare, made_before
from trainer.contract.requests import SearchRequest


class ContestRun(QObject):
    """Asks search after search, first all of the small model; one contest at a time.

    What the workspace has already is not asked again: after Cancel, or another day, it goes on where it was.

    Signals:
        told(int, int, str): so many searches of so many are done; what the next one waits for.
        ended(Compared): compared.
        failed(str): it cannot be, and why.
    """

    told = Signal(int, int, str)
    ended = Signal(object)
    failed = Signal(str)
    _replied = Signal(int, object)

    def __init__(self, context: Context, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._wanted: Wanted | None = None
        self._asks: tuple[Ask, ...] = ()
        self._done: dict[int, Found] = {}  # by place of the ask: a search, or run and request
        self._round = 0
        self._place = 0
        self._request = ""
        self.before = 0  # searches of this contest that were there already
        self._replied.connect(self._on_reply, Qt.ConnectionType.QueuedConnection)

    @property
    def is_running(self) -> bool:
        """Whether searches are being made or compared."""
        return self._wanted is not None

    def start(self, wanted: Wanted) -> None:
        """Begin, or go on. Raises ValueError for nothing to compare."""
        if not wanted.problems:
            raise ValueError("there is no problem with a reference answer to compare on")
        self._wanted, self._asks, self._done = wanted, wanted.asks, {}
        self._round += 1
        read = partial(made_before, asks=self._asks)
        number = self._round
        self._context.background.read(self, read, partial(self._on_known, number), partial(self._fail, number))

    def cancel(self) -> None:
        """Stop; nothing is compared, and what was searched stays."""
        self._round += 1
        self._wanted = None
        if self._request:
            self._context.background.call(self, partial(self._context.jobs.cancel_request, self._request))
            self._request = ""

    def _on_known(self, number: int, known: dict[int, int]) -> None:
        if number == self._round:
            self._done |= known
            self.before = len(known)
            self._next()

    def _next(self) -> None:
        self._round += 1
        self._request = ""
        number, done = self._round, len(self._done)
        self.told.emit(done, len(self._asks), "")
        if done == len(self._asks):
            assert self._wanted is not None
            read = partial(_compare, context=self._context, wanted=self._wanted, found=dict(self._done))
            heard = partial(self._on_compared, number), partial(self._fail, number)
            self._context.background.read(self, read, *heard)
            return
        self._place = next(place for place in range(len(self._asks)) if place not in self._done)
        ask = partial(self._put, self._asks[self._place], number)
        heard = partial(self._on_asked, number), partial(self._fail, number)
        self._context.background.call(self, ask, *heard)

    def _put(self, ask: Ask, number: int) -> str:
        """In a background thread."""
        row = row_of(ask.example.problem, ask.example.reference)
        request = SearchRequest(id=new_uid(), row=row, settings=ask.planned.settings)

        def hear(said: Reply | Streamed) -> None:
            if isinstance(said, Reply):
                self._replied.emit(number, said)

        return self._context.jobs.ask("search", ask.planned.models, request, hear)

    def _on_asked(self, number: int, request: str) -> None:
        if number == self._round:
            self._request = request
        elif self._wanted is None:
            self._context.background.call(self, partial(self._context.jobs.cancel_request, request))

    def _on_reply(self, number: int, reply: Reply) -> None:
        if number != self._round or self._wanted is None:
            return
        if reply.stage is Stage.WAITING:
            self.told.emit(len(self._done), len(self._asks), reply.text)
        elif reply.stage is Stage.DONE:
            self._done[self._place] = reply.run_id, reply.request
            self._next()
        else:
            self._fail(number, RunError(reply.text))

    def _fail(self, number: int, error: Exception) -> None:
        if number == self._round and self._wanted is not None:
            self._wanted = None
            self.failed.emit(str(error))

    def _on_compared(self, number: int, made: Compared) -> None:
        if number == self._round:
            self._wanted = None
            self.ended.emit(made)


def _compare(c: Connection, context: Context, wanted: Wanted, found: dict[int, Found]) -> Compared:
    """In a background thread."""
    return compare(c, context.workspace, wanted, found)
