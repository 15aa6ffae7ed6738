"""Text as it was written, laid out in lines, with code points that can be found on the screen and back."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QTextCharFormat, QTextLayout, QTextOption

from studio.render.layout import LEADING, NEW_LINE, utf16
from studio.render.prose import is_rtl, visible


@dataclass(frozen=True, slots=True)
class Dyed:
    """A stretch of the text, in code points from its beginning, with its format."""

    start: int
    end: int
    look: QTextCharFormat


class RawLayout:
    """One text at one width. Controls are shown by name, so what is on the screen may be longer than the text."""

    def __init__(self, text: str, font: QFont, width: float, dyed: Sequence[Dyed] = ()) -> None:
        self._places = _places(text)
        shown = visible(text) if self._places is None else "".join(visible(each) for each in text)
        self._layout = QTextLayout(shown.replace("\n", NEW_LINE), font)
        self._layout.setFormats([self._format(each) for each in dyed])
        self._layout.setCacheEnabled(True)
        self._height = self._lay_out(max(width, 40.0), QFontMetricsF(font), is_rtl(text[:400]))

    @property
    def height(self) -> float:
        """Height in logical pixels."""
        return self._height

    def draw(self, painter: QPainter, at: QPointF, colour: QColor) -> None:
        """Draw with the top left corner at `at`."""
        painter.setPen(colour)
        self._layout.draw(painter, at)

    def point_at(self, place: QPointF) -> int | None:
        """The code point under a place of the layout; None beside the text."""
        for number in range(self._layout.lineCount()):
            line = self._layout.lineAt(number)
            if line.y() <= place.y() < line.y() + line.height() and 0 <= place.x() <= line.naturalTextWidth():
                unit = int(_number(line.xToCursor(place.x(), line.CursorPosition.CursorOnCharacter)))
                return unit if self._places is None else bisect_right(self._places, unit) - 1
        return None

    def boxes(self, start: int, end: int) -> list[QRectF]:
        """Where code points [start, end) stand, a box a line."""
        first, last = self._unit(start), self._unit(end)
        found = []
        for number in range(self._layout.lineCount()):
            line = self._layout.lineAt(number)
            begin, stop = max(first, line.textStart()), min(last, line.textStart() + line.textLength())
            if begin < stop:
                left, right = sorted((_number(line.cursorToX(begin)), _number(line.cursorToX(stop))))
                found.append(QRectF(left, line.y(), right - left, line.height()))
        return found

    def _unit(self, point: int) -> int:
        return point if self._places is None else self._places[min(point, len(self._places) - 1)]

    def _format(self, dyed: Dyed) -> QTextLayout.FormatRange:
        part = QTextLayout.FormatRange()
        first = self._unit(dyed.start)
        part.start, part.length, part.format = first, self._unit(dyed.end) - first, dyed.look
        return part

    def _lay_out(self, width: float, metrics: QFontMetricsF, rtl: bool) -> float:
        option = QTextOption(Qt.AlignmentFlag.AlignLeft)
        option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        option.setTextDirection(Qt.LayoutDirection.RightToLeft if rtl else Qt.LayoutDirection.LeftToRight)
        option.setTabStopDistance(metrics.horizontalAdvance(" ") * 4)
        self._layout.setTextOption(option)
        self._layout.beginLayout()
        y, least = 0.0, metrics.height() * LEADING
        while (line := self._layout.createLine()).isValid():
            line.setLineWidth(width)
            spare = max(0.0, least - line.height())
            line.setPosition(QPointF(0.0, y + spare / 2))
            y += line.height() + spare
        self._layout.endLayout()
        return y or least


def _places(text: str) -> list[int] | None:
    """Where each code point begins in what Qt is shown, in UTF-16 units; None where the two are the same."""
    if text.isascii() and visible(text) == text:
        return None
    places, at = [0], 0
    for each in text:
        at += utf16(visible(each))
        places.append(at)
    return places


def _number(found: object) -> float:
    """Qt's answer, which some versions give with the cursor's place."""
    return float(found[0]) if isinstance(found, tuple) else float(found)  # type: ignore[arg-type]
