"""Work off the GUI thread, with its results delivered on it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import shiboken6
from PySide6.QtCore import QObject, Qt, QTimer, Signal, Slot
from sqlalchemy import Connection

from studio.domain import Changes
from studio.store.database import Database

log = logging.getLogger(__name__)
T = TypeVar("T")

READERS = 3
POLL_MS = 500


@dataclass(frozen=True, slots=True)
class _Delivery:
    """A piece of work on its way back to its owner."""

    owner: QObject
    future: Future[Any]
    done: Callable[[Any], None] | None
    failed: Callable[[Exception], None] | None
    writes: bool = False


class Background(QObject):
    """Reads, writes and calls off the GUI thread.

    Results come back on the GUI thread, in the order in which they ended, and are dropped when their owner is gone.

    Signals:
        changed(Changes): something was committed, here or (as EVERYTHING) by another process.
        failed(Exception): work without a failure handler raised.
        idle(): the last write that was waiting has been committed.
        busy(): a write is waiting while none was before.
    """

    changed = Signal(object)
    failed = Signal(object)
    idle = Signal()
    busy = Signal()
    _ended = Signal(object)
    _heard = Signal(object)

    def __init__(self, database: Database, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._database = database
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="studio")
        self._writes = 0
        self._closed = False
        self._ended.connect(self._on_ended, Qt.ConnectionType.QueuedConnection)
        self._heard.connect(self._on_heard, Qt.ConnectionType.QueuedConnection)
        self._unsubscribe = database.subscribe(self._heard.emit)
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self.poll)

    @property
    def writes_waiting(self) -> int:
        """How many writes have not returned from their commit."""
        return self._writes

    def watch(self) -> None:
        """Begin to look for commits of other processes, twice a second."""
        self._timer.start()

    def read(
        self,
        owner: QObject,
        work: Callable[[Connection], T],
        done: Callable[[T], None],
        failed: Callable[[Exception], None] | None = None,
    ) -> None:
        """Run `work` on one consistent snapshot in a thread."""

        def run() -> T:
            with self._database.read() as connection:
                return work(connection)

        self._start(owner, run, done, failed)

    def call(
        self,
        owner: QObject,
        work: Callable[[], T],
        done: Callable[[T], None] | None = None,
        failed: Callable[[Exception], None] | None = None,
    ) -> None:
        """Run `work` in a thread."""
        self._start(owner, work, done, failed)

    def write(
        self,
        owner: QObject,
        verb: Callable[[Connection], T],
        done: Callable[[T], None] | None = None,
        failed: Callable[[Exception], None] | None = None,
    ) -> None:
        """Queue `verb` for the writer thread; `done` is called after its commit returned."""
        if self._closed:
            return
        self._writes += 1
        if self._writes == 1:
            self.busy.emit()
        self._deliver_later(_Delivery(owner, self._database.submit(verb), done, failed, writes=True))

    @Slot()
    def poll(self) -> None:
        """Look whether another process has committed."""
        self._database.poll()

    def close(self) -> None:
        """Stop delivering and taking work; waits for what is running."""
        if self._closed:
            return
        self._closed = True
        self._timer.stop()
        self._unsubscribe()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(
        self,
        owner: QObject,
        run: Callable[[], T],
        done: Callable[[T], None] | None,
        failed: Callable[[Exception], None] | None,
    ) -> None:
        if not self._closed:
            self._deliver_later(_Delivery(owner, self._pool.submit(run), done, failed))

    def _deliver_later(self, delivery: _Delivery) -> None:
        def on_done(_future: Future[Any]) -> None:
            if not self._closed:
                self._ended.emit(delivery)

        delivery.future.add_done_callback(on_done)

    def _on_ended(self, delivery: _Delivery) -> None:
        if self._closed:
            return
        if delivery.writes:
            self._writes -= 1
        try:
            self._hand_over(delivery)
        finally:
            if delivery.writes and not self._writes:
                self.idle.emit()

    def _hand_over(self, delivery: _Delivery) -> None:
        present = shiboken6.isValid(delivery.owner)
        error = delivery.future.exception()
        if error is None:
            if present and delivery.done is not None:
                delivery.done(delivery.future.result())
        elif not isinstance(error, Exception):
            raise error
        elif present and delivery.failed is not None:
            delivery.failed(error)
        else:
            log.error("work in the background failed", exc_info=error)
            self.failed.emit(error)

    def _on_heard(self, changes: Changes) -> None:
        self.changed.emit(changes)
