"""News of runs, brought from the follower's thread to the GUI thread at most ten times a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt, QTimer, Signal

from studio.jobs.values import RunTopic, RunUpdate

if TYPE_CHECKING:
    from studio.jobs.service import Jobs

FLUSH_MS = 100


class RunFeed(QObject):
    """Gathers updates and hands them over together.

    Signals:
        flushed(dict[int, frozenset[RunTopic]]): what changed of which run since the last time.
    """

    flushed = Signal(object)
    _heard = Signal(object)

    def __init__(self, jobs: Jobs, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._waiting: dict[int, frozenset[RunTopic]] = {}
        self._timer = QTimer(self)
        self._timer.setInterval(FLUSH_MS)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._on_flush)
        self._heard.connect(self._on_heard, Qt.ConnectionType.QueuedConnection)
        stop = jobs.subscribe(self._heard.emit)
        self.destroyed.connect(lambda _gone: stop())

    def _on_heard(self, update: RunUpdate) -> None:
        self._waiting[update.run_id] = self._waiting.get(update.run_id, frozenset()) | update.topics
        if not self._timer.isActive():
            self._timer.start()

    def _on_flush(self) -> None:
        waiting, self._waiting = self._waiting, {}
        self.flushed.emit(waiting)
