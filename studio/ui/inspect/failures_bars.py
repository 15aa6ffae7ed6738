"""Horizontal bars that are counted and chosen: by cause, by position, by cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QAccessible, QAccessibleEvent, QFont, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from studio.ui.theme import Theme

ROW, LABEL, COUNT = 20, 92, 46


@dataclass(frozen=True, slots=True)
class Bar:
    """A name and how many."""

    name: str
    count: int


class Bars(QWidget):
    """One bar a row; a click or Enter chooses a bar, the same again lets go of it.

    Signals:
        chosen(str): only this one is wanted; "" = all.
    """

    chosen = Signal(str)

    def __init__(self, theme: Theme, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._name = name
        self.bars: tuple[Bar, ...] = ()
        self.current = ""
        self._focused = 0
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(name)
        theme.switched.connect(self.updateGeometry)

    def show_bars(self, bars: Sequence[Bar], current: str = "") -> None:
        """Show these, one of them chosen."""
        taller = len(bars) != len(self.bars)
        self.bars, self.current = tuple(bars), current
        self._focused = min(self._focused, max(0, len(bars) - 1))
        self.setAccessibleDescription(", ".join(f"{bar.name} {bar.count}" for bar in bars))
        if taller:
            self.updateGeometry()
        self.update()

    def choose(self, name: str) -> None:
        """Want only this one, or all of them if it is the one already."""
        self.current = "" if name == self.current else name
        self.update()
        self.chosen.emit(self.current)

    def sizeHint(self) -> QSize:
        """All rows."""
        return QSize(self._theme.px(200), self._theme.px(ROW) * max(1, len(self.bars)) + 4)

    def minimumSizeHint(self) -> QSize:
        """All rows."""
        return QSize(self._theme.px(160), self.sizeHint().height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the rows."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        most = max((bar.count for bar in self.bars), default=0)
        for place, bar in enumerate(self.bars):
            self._row(painter, place, bar, most)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the bar under the pointer."""
        place = int((event.position().y() - 2) // self._theme.px(ROW))
        if event.button() == Qt.MouseButton.LeftButton and 0 <= place < len(self.bars):
            self._focused = place
            self.choose(self.bars[place].name)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Up and down move, Enter chooses, Escape lets go."""
        key = event.key()
        if key in (Qt.Key.Key_Up, Qt.Key.Key_Down) and self.bars:
            by = 1 if key == Qt.Key.Key_Down else -1
            self._focused = max(0, min(len(self.bars) - 1, self._focused + by))
            bar = self.bars[self._focused]
            self.setAccessibleName(f"{self._name}: {bar.name} {bar.count}")
            QAccessible.updateAccessibility(QAccessibleEvent(self, QAccessible.Event.NameChanged))
            self.update()
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.bars:
            self.choose(self.bars[self._focused].name)
        elif key == Qt.Key.Key_Escape and self.current:
            self.choose(self.current)
        else:
            super().keyPressEvent(event)

    def _row(self, painter: QPainter, place: int, bar: Bar, most: int) -> None:
        px, colours = self._theme.px, self._theme.colours
        line = QRectF(2, 2 + place * px(ROW), self.width() - 4, px(ROW))
        wanted = not self.current or bar.name == self.current
        if bar.name == self.current:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(colours.q("accent_soft"))
            painter.drawRoundedRect(line, px(4), px(4))
        if self.hasFocus() and place == self._focused:
            painter.setPen(QPen(colours.q("focus"), 1.2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(line.adjusted(0.5, 0.5, -0.5, -0.5), px(4), px(4))
        painter.setFont(
            self._theme.font(9.4, QFont.Weight.DemiBold if bar.name == self.current else QFont.Weight.Normal)
        )
        painter.setPen(colours.q("text" if bar.count and wanted else "faint"))
        label = QRectF(line.left() + px(6), line.top(), px(LABEL), line.height())
        painter.drawText(label, Qt.AlignmentFlag.AlignVCenter, bar.name)
        painter.drawText(
            line.adjusted(0, 0, -px(6), 0),
            Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight,
            f"{bar.count:,}",
        )
        room = line.width() - px(LABEL) - px(COUNT) - px(10)
        if most and bar.count and room > 0:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(colours.q("accent" if wanted else "border"))
            length = max(2.0, room * bar.count / most)
            painter.drawRoundedRect(
                QRectF(label.right() + px(4), line.center().y() - px(4), length, px(8)), px(2), px(2)
            )
