"""Small dialogs of the shell: errors with Copy, keys of a page, the guideline, a line of text."""

from __future__ import annotations

import platform
import traceback
from html import escape

from PySide6.QtCore import Qt, qVersion
from PySide6.QtGui import QGuiApplication, QTextBlockFormat, QTextCursor, QTextDocument, QTextTable
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from studio import __version__
from studio.errors import SteplensError
from studio.ui.actions import Actions, Page, shown_key
from studio.ui.theme import Theme

EDGE = 60  # pixels of the screen that a dialog leaves to its frame


def open_at(dialog: QWidget, theme: Theme, width: int, height: int) -> None:
    """Give a dialog this size of the 100 % layout, larger with larger text, but within the screen."""
    parent = dialog.parentWidget()
    room = dialog.screen().availableSize().expandedTo((parent or dialog).window().size())
    dialog.resize(min(theme.px(width), room.width() - EDGE), min(theme.px(height), room.height() - EDGE))


def plain_tip(text: str) -> str:
    """A tool tip that shows these words as they are: Qt takes what looks like markup for markup."""
    return f"<qt>{escape(text).replace(chr(10), '<br>')}</qt>" if "<" in text else text


def set_role(widget: QWidget, role: str) -> None:
    """Give a label its look in the style sheet: caption, error, good, key."""
    if widget.property("role") == role:
        return
    widget.setProperty("role", role)
    widget.style().unpolish(widget)
    widget.style().polish(widget)


class ErrorDialog(QDialog):
    """What went wrong, with the details to copy. Not modal: work goes on."""

    def __init__(self, error: BaseException, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        expected = isinstance(error, SteplensError)
        self.setWindowTitle("This did not work" if expected else "Something unexpected happened")
        self.setAccessibleName(self.windowTitle())
        self.details = describe(error)
        message = QLabel(str(error) or type(error).__name__)
        message.setWordWrap(True)
        message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        message.setAccessibleName("What went wrong")
        self._box = QPlainTextEdit(self.details)
        self._box.setReadOnly(True)
        self._box.setAccessibleName("Details")
        self._box.setVisible(False)
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 20, 24, 16)
        column.setSpacing(14)
        column.addWidget(message)
        if not expected:
            note = QLabel("The window goes on; your ratings are in the workspace. Copy the details into a report.")
            note.setWordWrap(True)
            set_role(note, "caption")
            column.addWidget(note)
        column.addWidget(self._box, 1)
        column.addLayout(self._buttons())
        self.resize(560, self.sizeHint().height())

    def _buttons(self) -> QHBoxLayout:
        row = QHBoxLayout()
        more = QPushButton("Details")
        more.setCheckable(True)
        more.toggled.connect(self._box.setVisible)
        copy = QPushButton("Copy")
        copy.setToolTip("Copy the details to the clipboard")
        copy.clicked.connect(self._on_copy)
        close = QPushButton("Go on")
        close.setDefault(True)
        close.setProperty("primary", True)
        close.clicked.connect(self.accept)
        row.addWidget(more)
        row.addStretch(1)
        row.addWidget(copy)
        row.addWidget(close)
        return row

    def _on_copy(self) -> None:
        QGuiApplication.clipboard().setText(self.details)


def describe(error: BaseException) -> str:
    """An error with its trace and the versions a report needs."""
    head = f"Steplens {__version__} · Python {platform.python_version()} · Qt {qVersion()} · {platform.platform()}"
    return head + "\n\n" + "".join(traceback.format_exception(error)).rstrip()


class KeysDialog(QDialog):
    """The keys of a page and those that work everywhere."""

    def __init__(self, actions: Actions, page: Page, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Keys of this page")
        self.setAccessibleName(self.windowTitle())
        inside = QWidget()
        columns = QHBoxLayout(inside)
        columns.setSpacing(40)
        columns.addLayout(_key_grid(actions, page, page.value.capitalize()))
        columns.addLayout(_key_grid(actions, Page.ANY, "Everywhere"))
        area = QScrollArea()
        area.setWidget(inside)
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 20, 24, 16)
        column.addWidget(area, 1)
        column.addWidget(buttons)
        self.resize(760, 560)


def _key_grid(actions: Actions, page: Page, title: str) -> QVBoxLayout:
    from studio.ui.actions import ACTIONS

    grid = QGridLayout()
    grid.setVerticalSpacing(6)
    grid.setHorizontalSpacing(14)
    entries = [a for a in ACTIONS if a.page == page and actions.keys(a.id)]
    for row, action in enumerate(entries):
        keys = QHBoxLayout()
        keys.setSpacing(4)
        for key in actions.keys(action.id):
            cap = QLabel(shown_key(key))
            set_role(cap, "key")
            keys.addWidget(cap)
        keys.addStretch(1)
        grid.addLayout(keys, row, 0)
        grid.addWidget(QLabel(action.name), row, 1)
    grid.setColumnStretch(1, 1)
    head = QLabel(title)
    font = head.font()
    font.setBold(True)
    head.setFont(font)
    column = QVBoxLayout()
    column.setSpacing(12)
    column.addWidget(head)
    column.addLayout(grid)
    column.addStretch(1)
    return column


class GuidelineDialog(QDialog):
    """The guideline of a project, beside the work: not modal."""

    def __init__(self, title: str, markdown: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(title)
        self.setAccessibleName(title)
        text = QTextBrowser()
        text.setObjectName("reading")
        text.setOpenExternalLinks(True)
        text.setAccessibleName("Guideline")
        text.setMarkdown(markdown)
        _set_apart(text.document())
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 16, 20, 16)
        column.setSpacing(12)
        column.addWidget(text, 1)
        column.addWidget(buttons)
        buttons.button(QDialogButtonBox.StandardButton.Close).setFocus()
        self.resize(760, 720)


def _set_apart(document: QTextDocument) -> None:
    """Room between paragraphs, above headings and in tables: Markdown comes without any."""
    document.setDocumentMargin(18)
    cursor = QTextCursor(document)
    block = document.begin()
    while block.isValid():
        look = block.blockFormat()
        cursor.setPosition(block.position())
        heading = look.headingLevel() > 0
        in_table = cursor.currentTable() is not None
        look.setTopMargin(18 if heading and block.position() else 0)
        look.setBottomMargin(0 if in_table else 8)
        look.setLineHeight(118, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
        cursor.setBlockFormat(look)
        block = block.next()
    for frame in document.rootFrame().childFrames():
        if isinstance(frame, QTextTable):
            table = frame.format().toTableFormat()
            table.setCellPadding(7)
            table.setBorderCollapse(True)
            table.setBorder(0.5)
            table.setBottomMargin(10)
            frame.setFormat(table)


class LineDialog(QDialog):
    """Asks for one line of text."""

    def __init__(self, title: str, ask: str, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setAccessibleName(title)
        self.line = QLineEdit(text)
        self.line.setAccessibleName(ask)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        self._ok = buttons.button(QDialogButtonBox.StandardButton.Ok)
        self.line.textChanged.connect(self._on_text)
        self._on_text(text)
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 20, 24, 16)
        column.setSpacing(10)
        column.addWidget(QLabel(ask))
        column.addWidget(self.line)
        column.addWidget(buttons)
        self.setMinimumWidth(380)

    @property
    def text(self) -> str:
        """What was typed, trimmed."""
        return self.line.text().strip()

    def _on_text(self, text: str) -> None:
        self._ok.setEnabled(bool(text.strip()))
