"""Mark a stretch of a trace, or say something else of one: its words, tags, and which text it is."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut, QTextCursor
from PySide6.QtWidgets import QDialog, QFormLayout, QHBoxLayout, QLineEdit, QPlainTextEdit, QVBoxLayout, QWidget

from studio.ui.inspect.flag_dialog import PLAIN
from studio.ui.widgets.parts import GAP, MARGIN, Quiet, align_labels, button
from trainer.reasoning.segment import Span

ASK = "Select the words that are meant; with nothing selected it is all of them. Ctrl+Return keeps it."


@dataclass(frozen=True, slots=True)
class Said:
    """What the form says."""

    start: int
    end: int
    comment: str
    tags: tuple[str, ...]


class BookmarkDialog(QDialog):
    """Asks for words and tags; the stretch can be narrowed while the bookmark is new.

    Signals:
        said(Said): the person said so.
    """

    said = Signal(object)

    def __init__(
        self,
        text: str,
        span: Span,
        *,
        comment: str = "",
        tags: tuple[str, ...] = (),
        new: bool = True,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._span, self._new = span, new
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        title = "Bookmark these words" if new else "Edit the bookmark"
        self.setWindowTitle(title)
        self.setAccessibleName(title)
        letter = self.fontMetrics()
        self.resize(70 * letter.averageCharWidth(), 22 * letter.height())
        self.comment, self.tags = QPlainTextEdit(comment, self), QLineEdit(", ".join(tags), self)
        self.words = QPlainTextEdit(span.of(text).translate(PLAIN), self)
        self.words.setReadOnly(True)
        self.words.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByKeyboard | Qt.TextInteractionFlag.TextSelectableByMouse
        )
        for box, name in ((self.comment, "Comment"), (self.words, "The words; select the ones that are meant")):
            box.setTabChangesFocus(True)
            box.setAccessibleName(name)
        self.tags.setPlaceholderText("separated by commas")
        self.yes = button("Keep", self._on_yes, primary=True, parent=self)
        for keys in ("Ctrl+Return", "Ctrl+Enter"):
            QShortcut(QKeySequence(keys), self, self._on_yes)
        self._lay_out()
        self.comment.moveCursor(QTextCursor.MoveOperation.End)
        self.comment.setFocus()

    def _on_yes(self) -> None:
        start, end = self._span.start, self._span.end
        cursor = self.words.textCursor()
        if self._new and cursor.hasSelection():
            units = self.words.toPlainText().encode("utf-16-le")
            first, last = (
                len(units[: 2 * at].decode("utf-16-le")) for at in (cursor.selectionStart(), cursor.selectionEnd())
            )
            start, end = start + first, start + last
        tags = tuple(self.tags.text().split(","))
        self.said.emit(Said(start, end, self.comment.toPlainText().strip(), tags))
        self.accept()

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setHorizontalSpacing(14)
        self.comment.setMaximumHeight(90)
        form.addRow("Comment", self.comment)
        form.addRow("Tags", self.tags)
        align_labels(form)
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(GAP)
        column.addLayout(form)
        if self._new:
            column.addWidget(Quiet(ASK, self))
        column.addWidget(self.words, 1)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(button("Close", self.reject, parent=self))
        foot.addWidget(self.yes)
        column.addLayout(foot)
