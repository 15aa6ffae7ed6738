"""The wrong traces behind a bar: trace, first bad step, cause and the quote that shows it."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, QRectF, QSize, Qt
from PySide6.QtGui import QFont, QFontMetricsF, QPainter, QPen
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from studio.store.failures import Explained
from studio.ui.theme import Theme

Index = QModelIndex | QPersistentModelIndex
ROW_ROLE = int(Qt.ItemDataRole.UserRole)
NO_PARENT = QModelIndex()
SHOWN_QUOTE = 200


class FailureModel(QAbstractListModel):
    """Explained traces, by trace."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.rows: tuple[Explained, ...] = ()

    def set_rows(self, rows: Sequence[Explained]) -> None:
        """Show these."""
        self.beginResetModel()
        self.rows = tuple(rows)
        self.endResetModel()

    def rowCount(self, parent: Index = NO_PARENT) -> int:
        """How many there are."""
        return 0 if parent.isValid() else len(self.rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """The trace under ROW_ROLE; a sentence for screen readers; the whole reason as tip."""
        if not index.isValid():
            return None
        row = self.rows[index.row()]
        if role == ROW_ROLE:
            return row
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole, Qt.ItemDataRole.ToolTipRole):
            return sentence(row)
        return None


def place_words(row: Explained) -> str:
    """Which step, of how many."""
    return "no step" if row.failure.step is None else f"step {row.failure.step + 1} of {row.steps}"


def sentence(row: Explained) -> str:
    """A failure in words."""
    old = ", of older steps or rules" if row.stale else ""
    said = "" if row.failure.step is None else f" (first bad step by {row.failure.basis.value})"
    return (
        f"trace {row.trace_id}, {place_words(row)}{said}: {row.failure.cause.value}, {row.failure.why}: "
        f"“{row.failure.quote[:SHOWN_QUOTE]}”{old}"
    )


class FailureDelegate(QStyledItemDelegate):
    """Trace, step and cause above the reason and the quote."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Three lines."""
        return QSize(1, self._theme.px(66))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one failure."""
        row: Explained = index.data(ROW_ROLE)
        colours, px = self._theme.colours, self._theme.px
        rect = QRectF(option.rect).adjusted(px(3), 1, -px(3), -1)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if option.state & QStyle.StateFlag.State_Selected:
            focused = bool(option.state & QStyle.StateFlag.State_HasFocus)
            painter.setPen(QPen(colours.q("focus"), 1.2) if focused else Qt.PenStyle.NoPen)
            painter.setBrush(colours.q("accent_soft"))
            painter.drawRoundedRect(rect, px(6), px(6))
        head = QRectF(rect.left() + px(10), rect.top() + px(4), rect.width() - px(20), px(18))
        painter.setFont(self._theme.font(9.6, QFont.Weight.DemiBold))
        painter.setPen(colours.q("text"))
        painter.drawText(head, Qt.AlignmentFlag.AlignVCenter, f"Trace {row.trace_id}")
        painter.setFont(self._theme.font(9))
        painter.setPen(colours.q("secondary"))
        right = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
        painter.drawText(head, right, f"{row.failure.cause.value} · {place_words(row)}")
        self._line(painter, head.translated(0, px(19)), row.failure.why, "secondary")
        self._line(painter, head.translated(0, px(37)), f"“{' '.join(row.failure.quote.split())}”", "text")
        painter.restore()

    def _line(self, painter: QPainter, box: QRectF, text: str, colour: str) -> None:
        font = self._theme.font(9.2)
        painter.setFont(font)
        painter.setPen(self._theme.colours.q(colour))
        cut = QFontMetricsF(font).elidedText(text[:SHOWN_QUOTE], Qt.TextElideMode.ElideRight, box.width())
        painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, cut)
