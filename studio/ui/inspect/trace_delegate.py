"""How a line of the list of traces is drawn: two lines of the problem, and what is known."""

from __future__ import annotations

import math

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QLinearGradient, QPainter, QPen
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from studio.domain import TraceRow
from studio.render import prose
from studio.render.layout import Ink
from studio.render.maths import MathsRenderer
from studio.ui.inspect.trace_model import ROW_ROLE, Index, facts
from studio.ui.theme import Theme
from studio.ui.widgets import faces
from studio.ui.widgets.layouts import LayoutCache
from studio.ui.widgets.text_style import TITLE_POINTS, text_style
from trainer.contract.records import Rating

CUT = 150  # the store cuts titles: what is open at the cut is left away


class TraceDelegate(QStyledItemDelegate):
    """Draws TraceRows; all lines have one height."""

    def __init__(self, maths: MathsRenderer, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme
        self._layouts = LayoutCache(maths, text_style(theme, TITLE_POINTS, parent.devicePixelRatioF()))
        self._view = parent
        theme.switched.connect(self._on_theme_switched)
        maths.rendered.connect(self._on_rendered)

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """The height of every line."""
        return QSize(1, math.ceil(2 * self._line() + self._theme.px(44)))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one trace."""
        row: TraceRow | None = index.data(ROW_ROLE)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rect = QRectF(option.rect)
        px, colours = self._theme.px, self._theme.colours
        ground = colours.q("surface")
        if option.state & QStyle.StateFlag.State_Selected:
            ground = colours.q("accent_soft")
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(ground)
            painter.drawRoundedRect(rect.adjusted(px(3), 1, -px(3), -1), px(6), px(6))
            if option.state & QStyle.StateFlag.State_HasFocus:
                painter.setPen(QPen(colours.q("focus"), 1.2))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRoundedRect(rect.adjusted(px(3), 1, -px(3), -1), px(6), px(6))
        if row is not None:
            self._sign(painter, rect, row)
            self._title(painter, rect, row, ground)
            self._facts(painter, rect, row)
        painter.restore()

    def _sign(self, painter: QPainter, rect: QRectF, row: TraceRow) -> None:
        px, colours = self._theme.px, self._theme.colours
        box = QRectF(rect.left() + px(12), rect.top() + px(10), px(11), px(11))
        if not row.annotations and row.outcome is not None:
            word, name = ("done", "positive") if row.outcome else ("error", "negative")
            faces.draw_mark(painter, box.adjusted(-px(2), -px(2), px(2), px(2)), word, colours.q(name))
            return
        if not row.annotations:
            painter.setPen(QPen(colours.q("hatch"), 1.2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawEllipse(box)
            return
        value = Rating.POSITIVE if row.first_error is None else Rating.NEGATIVE
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colours.rating(value))
        painter.drawPath(faces.shape(box, value))

    def _title(self, painter: QPainter, rect: QRectF, row: TraceRow, ground: QColor) -> None:
        px, colours = self._theme.px, self._theme.colours
        left, width = rect.left() + px(32), rect.width() - px(46)
        laid = self._layouts.get(title(row.title), int(width))
        shown = min(laid.height, 2 * self._line() + px(8))
        if laid.height > shown:  # no third line peeps out
            shown = min(shown, max(laid.bottom_of(1) + px(4), 2 * self._line()))
        box = QRectF(left, rect.top() + px(6), width, shown)
        painter.save()
        painter.setClipRect(box)
        ink = Ink(colours.q("text"), colours.q("secondary"), colours.q("secondary"))
        laid.draw(painter, box.topLeft(), ink)
        if laid.height > box.height() + 4:  # there is more of it
            fade = QLinearGradient(QPointF(box.right() - px(48), 0), QPointF(box.right(), 0))
            clear = QColor(ground)
            clear.setAlpha(0)
            fade.setColorAt(0, clear)
            fade.setColorAt(1, ground)
            last = QRectF(box.left(), box.top() + self._line(), box.width(), box.height() - self._line())
            painter.fillRect(last, fade)
        painter.restore()

    def _facts(self, painter: QPainter, rect: QRectF, row: TraceRow) -> None:
        px = self._theme.px
        painter.setFont(self._theme.font(8.8))
        painter.setPen(self._theme.colours.q("secondary"))
        box = QRectF(rect.left() + px(32), rect.bottom() - px(26), rect.width() - px(46), px(20))
        words = QFontMetricsF(painter.font()).elidedText(facts(row), Qt.TextElideMode.ElideRight, box.width())
        painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, words)

    def _line(self) -> float:
        return QFontMetricsF(self._layouts.style.font).height() * 1.28

    def _on_rendered(self, formulas: object) -> None:
        if isinstance(formulas, frozenset) and self._layouts.drop(formulas):
            self._update()

    def _on_theme_switched(self) -> None:
        self._layouts.restyle(text_style(self._theme, TITLE_POINTS, self._view.devicePixelRatioF()))
        self._update()

    def _update(self) -> None:
        self._view.update()


def title(text: str) -> str:
    """A problem's beginning without the formula or word that the store cut in two."""
    line = " ".join(text.split())
    if len(line) < CUT:
        return line
    last = prose.pieces(line)[-1]
    if last.kind is not prose.PieceKind.TEXT:
        return line
    opened = last.source.find("$")
    if opened >= 0 and not last.source[opened + 1 : opened + 2].isdigit():
        return line[: len(line) - len(last.source) + opened].rstrip()
    return line.rsplit(" ", 1)[0]
