"""The shortcut editor: every command, its keys, and a refusal where a key is taken."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QHeaderView,
    QKeySequenceEdit,
    QLabel,
    QLineEdit,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from studio.errors import ConflictError
from studio.ui.actions import ACTIONS, Page, by_id, shown_key
from studio.ui.context import Context
from studio.ui.dialogs import set_role

SEPARATOR = "   "


class ShortcutEditor(QDialog):
    """Keys apply at once and are kept in the settings."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._context = context
        self.setWindowTitle("Shortcuts")
        self.setAccessibleName("Shortcuts")
        self.filter = QLineEdit(placeholderText="Find a command", clearButtonEnabled=True)
        self.filter.setAccessibleName("Find a command")
        self.tree = QTreeWidget()
        self.tree.setHeaderLabels(["Command", "Keys"])
        self.tree.setRootIsDecorated(False)
        self.tree.setAccessibleName("Commands and their keys")
        self.tree.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.keys = QKeySequenceEdit()
        self.keys.setMaximumSequenceLength(1)
        self.keys.setAccessibleName("New key")
        self.note = QLabel()
        self.note.setWordWrap(True)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 16, 20, 16)
        column.setSpacing(10)
        column.addWidget(self.filter)
        column.addWidget(self.tree, 1)
        column.addLayout(self._edit_row())
        column.addWidget(self.note)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        column.addWidget(buttons)
        self.filter.textChanged.connect(self._on_filter)
        self.tree.currentItemChanged.connect(self._on_current)
        self._fill()
        self.resize(640, 640)

    def choose(self, id: str) -> None:
        """Make a command the one whose keys are edited."""
        for item in self._items():
            if item.data(0, Qt.ItemDataRole.UserRole) == id:
                self.tree.setCurrentItem(item)

    def _edit_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.addWidget(QLabel("New key"))
        row.addWidget(self.keys, 1)
        self.set_button = QPushButton("Set")
        self.set_button.setProperty("primary", True)
        self.add_button = QPushButton("Add")
        self.default_button = QPushButton("Default")
        self.set_button.clicked.connect(partial(self._on_set, False))
        self.add_button.clicked.connect(partial(self._on_set, True))
        self.default_button.clicked.connect(self._on_default)
        for button, says in (
            (self.set_button, "Use this key alone"),
            (self.add_button, "Use this key, too"),
            (self.default_button, "The keys it came with"),
        ):
            button.setToolTip(says)
            button.setAutoDefault(False)
            row.addWidget(button)
        return row

    def _fill(self) -> None:
        self.tree.clear()
        for action in ACTIONS:
            place = action.page.value.capitalize() if action.page != Page.ANY else "Everywhere"
            item = QTreeWidgetItem([f"{action.name}  ·  {place}", self._shown(action.id)])
            item.setData(0, Qt.ItemDataRole.UserRole, action.id)
            self.tree.addTopLevelItem(item)
        self.tree.setCurrentItem(self._items()[0])

    def _shown(self, id: str) -> str:
        return SEPARATOR.join(shown_key(key) for key in self._context.actions.keys(id))

    def _items(self) -> list[QTreeWidgetItem]:
        found = (self.tree.topLevelItem(row) for row in range(self.tree.topLevelItemCount()))
        return [item for item in found if item is not None]

    def _on_filter(self, text: str) -> None:
        for item in self._items():
            item.setHidden(text.lower() not in f"{item.text(0)} {item.text(1)}".lower())

    def _on_current(self) -> None:
        self.keys.clear()
        self._say("", "caption")

    def _on_set(self, keep: bool) -> None:
        item, key = self.tree.currentItem(), self._typed()
        if item is None or not key:
            return
        id = str(item.data(0, Qt.ItemDataRole.UserRole))
        self._give(item, id, (*self._context.actions.keys(id), key) if keep else (key,))

    def _on_default(self) -> None:
        if (item := self.tree.currentItem()) is not None:
            id = str(item.data(0, Qt.ItemDataRole.UserRole))
            self._give(item, id, by_id(id).keys)

    def _give(self, item: QTreeWidgetItem, id: str, keys: tuple[str, ...]) -> None:
        try:
            self._context.actions.set_keys(id, tuple(dict.fromkeys(keys)))
        except ConflictError as error:
            self._say(str(error), "error")
            return
        self._context.settings.update(shortcuts=self._context.actions.overrides())
        item.setText(1, self._shown(id))
        self.keys.clear()
        self._say(f"{by_id(id).name}: {self._shown(id)}", "good")

    def _typed(self) -> str:
        return self.keys.keySequence().toString(QKeySequence.SequenceFormat.PortableText)

    def _say(self, text: str, role: str) -> None:
        self.note.setText(text)
        set_role(self.note, role)
