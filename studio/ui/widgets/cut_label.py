"""A label that gives way: text without room ends in an ellipsis, and is whole for those who hear or hover."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget


class CutLabel(QLabel):
    """One line of plain text; `text()` is all of it."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._whole = ""
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setText(text)

    def text(self) -> str:
        """What it says, also where it is cut on the screen."""
        return self._whole

    def setText(self, text: str) -> None:
        """Say this."""
        self._whole = text
        self.setAccessibleName(text)
        self.setToolTip(text)
        self._cut()

    def clear(self) -> None:
        """Say nothing."""
        self.setText("")

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Cut where there is no more room."""
        super().resizeEvent(event)
        self._cut()

    def changeEvent(self, event: QEvent) -> None:
        """Another font takes other room."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._cut()

    @property
    def shown(self) -> str:
        """What is on the screen."""
        return super().text()

    def _cut(self) -> None:
        words = self.fontMetrics().elidedText(self._whole, Qt.TextElideMode.ElideRight, self.contentsRect().width())
        if words != super().text():
            super().setText(words)
