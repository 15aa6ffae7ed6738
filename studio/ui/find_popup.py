"""Find everywhere (Ctrl+K): traces in whose text or problem the words stand; taking one opens it on Inspect."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QWidget
from sqlalchemy import Connection

from studio.store import find
from studio.ui.actions import Page
from studio.ui.context import Context
from studio.ui.popup_list import Entry, PopupList

PAUSE_MS = 60
LIMIT = 60


class FindPopup(PopupList):
    """Searches while one types, off the GUI thread; an older answer never replaces a newer one."""

    def __init__(self, context: Context, parent: QWidget) -> None:
        super().__init__(
            context.theme, "Find everywhere", "Words of a problem or a trace; “quotes” keep words together", parent
        )
        self._context = context
        self._number = 0
        self._pause = QTimer(self, singleShot=True, interval=PAUSE_MS)
        self._pause.timeout.connect(self._search)
        self.typed.connect(lambda _text: self._pause.start())
        self.taken.connect(self._on_taken)
        self.fill((), "Type to search every trace of this workspace.")

    def _search(self) -> None:
        self._number += 1
        text = self.line.text()

        def work(c: Connection) -> tuple[find.Hit, ...]:
            return find.search(c, text, limit=LIMIT)

        self._context.background.read(self, work, partial(self._show, self._number, text), self._on_failed)

    def _show(self, number: int, text: str, hits: tuple[find.Hit, ...]) -> None:
        if number != self._number:
            return
        note = f"{len(hits)}{'+' if len(hits) == LIMIT else ''} traces" if hits else f"Nothing holds “{text}”."
        self.fill(
            tuple(Entry(str(h.trace_id), _plain(h.snippet), f"#{h.trace_id}") for h in hits), note if text else ""
        )

    def _on_failed(self, error: Exception) -> None:
        self.fill((), str(error))

    def _on_taken(self, id: str) -> None:
        self._context.open_trace(Page.INSPECT, int(id))


def _plain(snippet: str) -> str:
    return " ".join(snippet.replace(find.MARK_START, "").replace(find.MARK_END, "").split())
