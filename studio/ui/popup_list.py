"""A line of text over a list of what it finds: the shape of the command palette and of Find everywhere."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QEvent, QModelIndex, QObject, QPersistentModelIndex, QRect, QSize, Qt, Signal
from PySide6.QtGui import QIcon, QKeyEvent, QPainter, QPalette, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import (
    QDialog,
    QLabel,
    QLineEdit,
    QListView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from studio.ui.dialogs import set_role
from studio.ui.theme import Theme

TO_LIST = {Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown}
ROW, MOST_SHOWN = 34, 12
ID_ROLE = Qt.ItemDataRole.UserRole
SIDE_ROLE = Qt.ItemDataRole.UserRole + 1
Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the list: what it stands for, its text, what is said at its right, its icon."""

    id: str
    text: str
    side: str = ""
    icon: QIcon | None = None


class PopupList(QDialog):
    """Type to narrow, arrows to move, Enter to take, Escape to leave.

    Signals:
        typed(str): the text changed.
        taken(str): the id of the entry that was chosen; the list closes.
    """

    typed = Signal(str)
    taken = Signal(str)

    def __init__(self, theme: Theme, title: str, hint: str, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup | Qt.WindowType.FramelessWindowHint)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setObjectName("popup")
        self._theme = theme
        self.setWindowTitle(title)
        self.setAccessibleName(title)
        self.line = QLineEdit()
        self.line.setPlaceholderText(hint)
        self.line.setAccessibleName(hint)
        self.line.setClearButtonEnabled(True)
        self.line.setMinimumHeight(theme.px(36))
        self._model = QStandardItemModel(self)
        self.list = QListView()
        self.list.setModel(self._model)
        self.list.setItemDelegate(_EntryDelegate(theme, self.list))
        self.list.setAccessibleName(title)
        self.list.setUniformItemSizes(True)
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setEditTriggers(QListView.EditTrigger.NoEditTriggers)
        self.list.setFrameShape(QListView.Shape.NoFrame)
        self.list.clicked.connect(self._on_clicked)
        self.note = QLabel()
        set_role(self.note, "caption")
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 12, 12, 10)
        column.setSpacing(8)
        for widget in (self.line, self.list, self.note):
            column.addWidget(widget)
        self.line.installEventFilter(self)
        self.line.textChanged.connect(self.typed)
        width = min(theme.px(680), parent.width() - 40)
        self.setFixedWidth(width)
        top = parent.mapToGlobal(parent.rect().topLeft())
        self.move(top.x() + (parent.width() - width) // 2, top.y() + theme.px(64))

    def fill(self, entries: tuple[Entry, ...], note: str = "") -> None:
        """Show these; the first is current."""
        self._model.clear()
        for entry in entries:
            item = QStandardItem(entry.text)
            item.setData(entry.id, ID_ROLE)
            item.setData(entry.side, SIDE_ROLE)
            item.setAccessibleText(f"{entry.text} {entry.side}".strip())
            if entry.icon is not None:
                item.setIcon(entry.icon)
            self._model.appendRow(item)
        self.list.setCurrentIndex(self._model.index(0, 0))
        self.note.setText(note)
        self.note.setVisible(bool(note))
        self.list.setVisible(bool(entries))
        self.list.setFixedHeight(min(len(entries), MOST_SHOWN) * self._theme.px(ROW) + 4)
        self.setFixedHeight(self.sizeHint().height())

    def texts(self) -> tuple[str, ...]:
        """What the list shows."""
        return tuple(self._model.item(row).text() for row in range(self._model.rowCount()))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Arrows typed into the line move in the list; Enter takes."""
        if watched is self.line and isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if event.key() in TO_LIST:
                self.list.keyPressEvent(event)
                return True
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._take(self.list.currentIndex())
                return True
        return super().eventFilter(watched, event)

    def _on_clicked(self, index: QModelIndex) -> None:
        self._take(index)

    def _take(self, index: QModelIndex) -> None:
        if index.isValid():
            id = str(index.data(ID_ROLE))
            self.close()
            self.taken.emit(id)


class _EntryDelegate(QStyledItemDelegate):
    """Icon, text, and at the right a quiet hint."""

    def __init__(self, theme: Theme, view: QListView) -> None:
        super().__init__(view)
        self._theme, self._view = theme, view

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(100, self._theme.px(ROW))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        px, colours = self._theme.px, self._theme.colours
        rect: QRect = option.rect
        palette: QPalette = option.palette
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if index == self._view.currentIndex():
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(colours.q("accent_soft"))
            painter.drawRoundedRect(rect.adjusted(2, 1, -2, -1), px(6), px(6))
        icon = index.data(Qt.ItemDataRole.DecorationRole)
        size = px(18)
        if isinstance(icon, QIcon):
            icon.paint(painter, rect.left() + px(12), rect.center().y() - size // 2, size, size)
        side = str(index.data(SIDE_ROLE))
        metrics = painter.fontMetrics()
        side_width = metrics.horizontalAdvance(side) + px(14) if side else px(8)
        inner = rect.adjusted(px(42), 0, -px(12), 0)
        painter.setPen(colours.q("secondary"))
        painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, side)
        painter.setPen(palette.color(QPalette.ColorRole.Text))
        room = inner.width() - side_width
        text = metrics.elidedText(str(index.data()), Qt.TextElideMode.ElideRight, room)
        painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)
        painter.restore()
