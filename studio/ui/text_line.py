"""A line of text that changes with every key: it repaints itself and never asks for a new layout of the page."""

from __future__ import annotations

import re

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QFont, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from studio.ui.theme import Theme

DIGIT = re.compile(r"\d")  # all as wide as a 0, so that counting does not move what stands beside


class TextLine(QWidget):
    """As wide as `widest`, or without it as its text, or (with `stretches`) as wide as there is room.

    A new layout is asked for only when the number of characters is another. Text without room ends in an ellipsis.
    """

    def __init__(self, theme: Theme, widest: str, name: str, *, stretches: bool = False, right: bool = False) -> None:
        super().__init__()
        self._theme, self._widest, self._right = theme, widest, right
        self._text, self._colour = "", "secondary"
        across = QSizePolicy.Policy.Expanding if stretches else QSizePolicy.Policy.Preferred
        self.setSizePolicy(across, QSizePolicy.Policy.Fixed)
        self._stretches = stretches
        self.setAccessibleName(name)
        theme.switched.connect(self.updateGeometry)

    def text(self) -> str:
        """What it says."""
        return self._text

    def set_text(self, text: str, colour: str = "secondary") -> None:
        """Say this, in a colour of the theme."""
        if (text, colour) != (self._text, self._colour):
            longer = not self._widest and len(text) != len(self._text)
            self._text, self._colour = text, colour
            self.setAccessibleDescription(text)
            self.setToolTip(text if self._stretches else "")
            self.update()
            if longer:
                self.updateGeometry()

    def sizeHint(self) -> QSize:
        """Room for the text, or for the widest that is expected."""
        text = self._widest or DIGIT.sub("0", self._text)
        return QSize(self.fontMetrics().horizontalAdvance(text) + 4, self.fontMetrics().height() + 4)

    def minimumSizeHint(self) -> QSize:
        """None is needed where it stretches."""
        hint = self.sizeHint()
        return QSize(0 if self._stretches else hint.width(), hint.height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the text."""
        painter = QPainter(self)
        if self._colour in ("negative", "positive"):
            font = QFont(self.font())
            font.setWeight(QFont.Weight.Medium)
            painter.setFont(font)
        painter.setPen(self._theme.colours.q(self._colour))
        text = painter.fontMetrics().elidedText(self._text, Qt.TextElideMode.ElideRight, self.width())
        side = Qt.AlignmentFlag.AlignRight if self._right else Qt.AlignmentFlag.AlignLeft
        painter.drawText(self.rect(), side | Qt.AlignmentFlag.AlignVCenter, text)
        painter.end()
