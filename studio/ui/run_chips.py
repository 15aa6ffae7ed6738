"""The runs that work on a device, as chips in the status bar; one that waits for requests does not."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtWidgets import QWidget

from studio.ui.context import Context
from studio.ui.status import JobChip

if TYPE_CHECKING:
    from studio.jobs.values import RunUpdate, RunView

REFRESH_MS = 500


class RunChips(QObject):
    """Follows `context.jobs`; reads the views off the GUI thread, at most twice a second."""

    _updated = Signal()

    def __init__(self, context: Context, place: QWidget, parent: QObject) -> None:
        super().__init__(parent)
        self._context, self._place = context, place
        self._chips: dict[int, JobChip] = {}
        self._timer = QTimer(self, singleShot=True, interval=REFRESH_MS)
        self._timer.timeout.connect(self._refresh)
        self._updated.connect(self._on_updated)
        self._stop = context.jobs.subscribe(self._hear)
        self._refresh()

    def _hear(self, _update: RunUpdate) -> None:
        self._updated.emit()  # from the follower's thread to this one

    def _on_updated(self) -> None:
        if not self._timer.isActive():
            self._timer.start()

    def _refresh(self) -> None:
        self._context.background.call(self, self._context.jobs.runs, self._show)

    def _show(self, views: tuple[RunView, ...]) -> None:
        busy = {view.id: view for view in views if view.state.holds_device and view.idle_end is None}
        for id in self._chips.keys() - busy.keys():
            self._chips.pop(id).deleteLater()
        for id, view in busy.items():
            if id not in self._chips:
                self._chips[id] = self._make(view)
            text = f"{view.name}: {view.state.value} {view.phase}".strip()
            self._chips[id].show_progress(text, view.done, view.total)
            if view.asked:
                self._chips[id].show_cancelling()

    def _make(self, view: RunView) -> JobChip:
        chip = JobChip(self._context, view.name, self._place)
        chip.cancelAsked.connect(partial(self._on_cancel, view.id))
        layout = self._place.layout()
        assert layout is not None
        layout.addWidget(chip)
        return chip

    def _on_cancel(self, run_id: int) -> None:
        self._context.background.call(self, partial(self._context.jobs.cancel, run_id), None, self._context.fail)
