"""The bar under the steps: Submit with what is missing, the other commands with their keys, the panel for a reason."""

from __future__ import annotations

from enum import StrEnum
from functools import partial

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from studio.ui.actions import Actions
from studio.ui.label.key_button import KeyButton
from studio.ui.text_line import TextLine
from studio.ui.theme import Theme

WIDEST = "88 of 88 rated · first negative, or all"
OTHERS = ("give_up", "bad_problem", "unsure", "comment", "undo", "guideline")


class BottomBar(QFrame):
    """Drawn from the table of commands; says what stands between the annotator and Submit."""

    def __init__(self, actions: Actions, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("card", True)
        self.setAccessibleName("Commands")
        self.submit = KeyButton(actions, theme, "submit", primary=True)
        self.missing = TextLine(theme, WIDEST, "What is missing", stretches=True)
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.submit)
        row.addSpacing(12)
        self._beside = QHBoxLayout()
        row.addLayout(self._beside, 1)
        row.addStretch()
        self.buttons = [KeyButton(actions, theme, id) for id in OTHERS]
        for button in self.buttons:
            row.addWidget(button)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(12, 10, 12, 10)
        self._column.addLayout(row)
        self._beside.addWidget(self.missing)
        self._below = False

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Where there is no room beside the buttons, what is missing stands below them."""
        super().resizeEvent(event)
        taken = self.submit.sizeHint().width() + sum(button.sizeHint().width() + 4 for button in self.buttons)
        room = event.size().width() - 24
        for button in self.buttons:  # all names, or only keys
            button.setFixedWidth((button.sizeHint() if taken < room else button.minimumSizeHint()).width())
        below = room - taken < self.fontMetrics().horizontalAdvance(WIDEST) + 26
        if below != self._below:
            self._below = below
            (self._column if below else self._beside).addWidget(self.missing)

    def show_missing(self, text: str, *, trouble: bool) -> None:
        """What is missing; `trouble`: something could not be saved."""
        self.missing.set_text(text, "negative" if trouble else "secondary")


class Ask(StrEnum):
    """What the panel asks for."""

    GIVE_UP = "give_up"
    BAD_PROBLEM = "bad_problem"
    COMMENT = "comment"


QUESTIONS = {
    Ask.GIVE_UP: "Why do you give up on this trace?",
    Ask.BAD_PROBLEM: "What is wrong with the problem?",
    Ask.COMMENT: "Your comment on this trace",
}
OFFERED = {
    Ask.GIVE_UP: ("beyond what I know", "cannot be checked in reasonable time", "too long to follow"),
    Ask.BAD_PROBLEM: (
        "refers to something missing",
        "states something false",
        "asks nothing definite",
        "has four or more parts",
    ),
    Ask.COMMENT: (),
}


class ReasonPanel(QFrame):
    """Asks for a few words in line with the page; Enter takes them, Escape leaves.

    Signals:
        answered(Ask, str): the words; empty only for a comment that is taken away.
        left(): closed without an answer.
    """

    answered = Signal(object, str)
    left = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("card", True)
        self._ask = Ask.COMMENT
        self._question = QLabel()
        font = self._question.font()
        font.setBold(True)
        self._question.setFont(font)
        self.line = QLineEdit()
        self.line.setAccessibleName("Reason")
        self.line.installEventFilter(self)
        self.take = QPushButton("⏎ Take")
        self.take.setProperty("primary", True)
        self.take.clicked.connect(self._on_take)
        leave = QPushButton("Esc Leave")
        leave.setProperty("flat", True)
        leave.clicked.connect(self._on_leave)
        self.offers: list[QPushButton] = []
        self._offers = QHBoxLayout()
        self._offers.setSpacing(6)
        entry = QHBoxLayout()
        entry.setSpacing(8)
        entry.addWidget(self.line, 1)
        entry.addWidget(self.take)
        entry.addWidget(leave)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 12, 16, 14)
        column.setSpacing(10)
        column.addWidget(self._question)
        column.addLayout(self._offers)
        column.addLayout(entry)
        self.line.textChanged.connect(self._on_text)
        self.hide()

    def ask(self, what: Ask, text: str = "") -> None:
        """Open with this question."""
        self._ask = what
        self._question.setText(QUESTIONS[what])
        self.setAccessibleName(QUESTIONS[what])
        self.line.setAccessibleName(QUESTIONS[what])
        self._fill_offers(OFFERED[what])
        self.line.setText(text)
        self._on_text(text)
        self.show()
        self.line.setFocus()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Enter takes, Escape leaves."""
        if watched is self.line and isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if event.key() == Qt.Key.Key_Escape:
                self._on_leave()
                return True
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._on_take()
                return True
        return super().eventFilter(watched, event)

    def _fill_offers(self, offers: tuple[str, ...]) -> None:
        while (item := self._offers.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.deleteLater()
        self.offers = [QPushButton(text) for text in offers]
        for text, button in zip(offers, self.offers, strict=True):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.clicked.connect(partial(self._on_offer, text))
            self._offers.addWidget(button)
        self._offers.addStretch(1)

    def _on_offer(self, text: str, _checked: bool = False) -> None:
        self.line.setText(text)
        self.line.setFocus()

    def _on_text(self, text: str) -> None:
        self.take.setEnabled(self._ask is Ask.COMMENT or bool(text.strip()))

    def _on_take(self) -> None:
        if self.take.isEnabled():
            self.hide()
            self.answered.emit(self._ask, self.line.text().strip())

    def _on_leave(self) -> None:
        self.hide()
        self.left.emit()
