"""Flag a step: what it is, how grave, and which of its words show it."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPlainTextEdit,
    QVBoxLayout,
    QWidget,
)

from studio.store.flag_words import NewFlag
from studio.ui.widgets.parts import GAP, MARGIN, Quiet, align_labels, button
from trainer.reasoning.safety import CATEGORIES, Category
from trainer.reasoning.segment import Span

SEVERITIES = ("0 worth a look", "1 slight", "2 serious", "3 grave")
ASK = "Select the words that show it; with nothing selected the whole step is quoted."
# Qt turns these into line breaks or blanks of its own; as many code units stand in for them, so that places agree.
PLAIN = str.maketrans({"\r": "␍", "\u2028": "␤", "\u2029": "␤", "\x00": "␀", "\xa0": " "})
PLAIN |= {code: "·" for code in (0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF)}


class FlagDialog(QDialog):
    """Asks for a finding of a person.

    Signals:
        flagged(NewFlag): the person said so.
    """

    flagged = Signal(object)

    def __init__(self, trace_id: int, text: str, span: Span, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._trace_id, self._span = trace_id, span
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Flag this step")
        self.setAccessibleName("Flag this step")
        letter = self.fontMetrics()
        self.resize(70 * letter.averageCharWidth(), 24 * letter.height())
        self.category, self.severity = QComboBox(self), QComboBox(self)
        for category in CATEGORIES:
            self.category.addItem(category.value.capitalize(), category)
        for number, name in enumerate(SEVERITIES):
            self.severity.addItem(name, number)
        self.severity.setCurrentIndex(2)
        self.about = Quiet("", self)
        self.words = QPlainTextEdit(span.of(text).translate(PLAIN), self)
        self.words.setReadOnly(True)
        self.words.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByKeyboard | Qt.TextInteractionFlag.TextSelectableByMouse
        )
        self.words.setTabChangesFocus(True)
        self.words.setAccessibleName("The step; select the words that show it")
        self.why = QLineEdit(self)
        self.why.setPlaceholderText("why, if it does not speak for itself")
        self.yes = button("Flag", self._on_yes, primary=True, parent=self)
        self.no = button("Close", self.reject, parent=self)
        self.category.currentIndexChanged.connect(self._on_category)
        self._on_category()
        self._lay_out()
        self.yes.setDefault(True)

    def new_flag(self) -> NewFlag:
        """What the form says."""
        cursor, text = self.words.textCursor(), self.words.toPlainText()
        start, end = self._span.start, self._span.end
        if cursor.hasSelection():
            units = text.encode("utf-16-le")
            first, last = (
                len(units[: 2 * at].decode("utf-16-le")) for at in (cursor.selectionStart(), cursor.selectionEnd())
            )
            start, end = self._span.start + first, self._span.start + last
        category, severity = Category(self.category.currentData()), int(self.severity.currentData())
        return NewFlag(self._trace_id, category, start, end, self.why.text().strip(), severity)

    def _on_category(self) -> None:
        self.about.setText(Category(self.category.currentData()).definition)

    def _on_yes(self) -> None:
        self.flagged.emit(self.new_flag())
        self.accept()

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setHorizontalSpacing(14)
        form.addRow("Category", self.category)
        form.addRow("", self.about)
        form.addRow("Severity", self.severity)
        form.addRow("Why", self.why)
        align_labels(form)
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(GAP)
        column.addLayout(form)
        column.addWidget(Quiet(ASK, self))
        column.addWidget(self.words, 1)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(self.no)
        foot.addWidget(self.yes)
        column.addLayout(foot)
