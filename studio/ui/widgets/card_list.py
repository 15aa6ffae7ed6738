"""Values as cards of a list: a bold line with a word at its right, and below whatever belongs to the kind of value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, QRectF, QSize, Qt
from PySide6.QtGui import QFont, QPainter, QPen
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from studio.ui.theme import Theme

Index = QModelIndex | QPersistentModelIndex
ROW_ROLE = int(Qt.ItemDataRole.UserRole)
NO_PARENT = QModelIndex()
HEAD = 18  # height of the bold line
SPOKEN = (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole, Qt.ItemDataRole.ToolTipRole)


class CardModel(QAbstractListModel):
    """Values under ROW_ROLE; who inherits says each in a sentence, for screen readers and as a tip."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.rows: tuple[Any, ...] = ()

    def sentence(self, row: Any) -> str:  # noqa: ANN401 - of who inherits
        """The value in words."""
        raise NotImplementedError

    def set_rows(self, rows: Sequence[Any]) -> None:
        """Show these; where they begin as what stands already, that stays as it is."""
        given, kept = tuple(rows), len(self.rows)
        if not kept or given[:kept] != self.rows:
            self.beginResetModel()
            self.rows = given
            self.endResetModel()
        elif len(given) > kept:
            self.beginInsertRows(NO_PARENT, kept, len(given) - 1)
            self.rows = given
            self.endInsertRows()

    def rowCount(self, parent: Index = NO_PARENT) -> int:
        """How many there are."""
        return 0 if parent.isValid() else len(self.rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """The value under ROW_ROLE; its sentence."""
        if not index.isValid():
            return None
        row = self.rows[index.row()]
        if role == ROW_ROLE:
            return row
        return self.sentence(row) if role in SPOKEN else None


class CardDelegate(QStyledItemDelegate):
    """Draws the ground and the bold line; who inherits says what stands there and draws the rest."""

    height = 66

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme

    def heads(self, row: Any) -> tuple[str, str]:  # noqa: ANN401 - of who inherits
        """The bold line, and the word at its right."""
        raise NotImplementedError

    def draw(self, painter: QPainter, box: QRectF, row: Any) -> None:  # noqa: ANN401
        """What stands below, in this box."""
        raise NotImplementedError

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """As high as the kind is."""
        return QSize(1, self._theme.px(self.height))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one."""
        row = index.data(ROW_ROLE)
        colours, px = self._theme.colours, self._theme.px
        rect = QRectF(option.rect).adjusted(px(3), 1, -px(3), -1)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if option.state & QStyle.StateFlag.State_Selected:
            focused = bool(option.state & QStyle.StateFlag.State_HasFocus)
            painter.setPen(QPen(colours.q("focus"), 1.2) if focused else Qt.PenStyle.NoPen)
            painter.setBrush(colours.q("accent_soft"))
            painter.drawRoundedRect(rect, px(6), px(6))
        name, word = self.heads(row)
        head = QRectF(rect.left() + px(10), rect.top() + px(5), rect.width() - px(20), px(HEAD))
        painter.setFont(self._theme.font(9.6, QFont.Weight.DemiBold))
        painter.setPen(colours.q("text"))
        painter.drawText(head, Qt.AlignmentFlag.AlignVCenter, name)
        painter.setFont(self._theme.font(9))
        painter.setPen(colours.q("secondary"))
        painter.drawText(head, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, word)
        self.draw(painter, QRectF(head.left(), head.bottom() + px(1), head.width(), rect.bottom() - head.bottom()), row)
        painter.restore()
