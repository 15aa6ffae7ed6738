"""Knowing when a trace can be read: every part of a page has been painted with all its maths."""

from __future__ import annotations

from typing import Protocol

from PySide6.QtCore import QObject, Signal, SignalInstance


class Painted(Protocol):
    """A widget that says when it has been painted whole."""

    paintedReady: SignalInstance

    @property
    def is_ready(self) -> bool:
        """Whether it has."""
        ...


class PaintGate(QObject):
    """Opens once for each trace, when all its parts are painted whole. Call `shut` before giving them new content.

    Signals:
        opened(): sent from within the last part's paint event: receivers must not repaint.
    """

    opened = Signal()

    def __init__(self, *parts: Painted, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._parts = parts
        self._open = True
        for part in parts:
            part.paintedReady.connect(self._on_painted)

    @property
    def is_open(self) -> bool:
        """Whether what is on screen can be read."""
        return self._open

    def shut(self) -> None:
        """New content is coming."""
        self._open = False

    def _on_painted(self) -> None:
        if not self._open and all(part.is_ready for part in self._parts):
            self._open = True
            self.opened.emit()
