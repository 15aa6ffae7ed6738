"""The score strip with its command and, while a trace is being scored, its progress."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from studio.ui.context import Context
from studio.ui.dialogs import set_role
from studio.ui.inspect.opened import Opened
from studio.ui.inspect.scoring import Scoring
from studio.ui.widgets.score_strip import ScoreStrip

NOT_SCORED = "Not scored yet. Press S, or “Score this trace”, to ask a PRM."


class StripPanel(QWidget):
    """Scores over the steps.

    Signals:
        scoreAsked(): the person wants this trace scored.
        cancelAsked(): the person wants the scoring to stop.
    """

    scoreAsked = Signal()
    cancelAsked = Signal()

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.strip = ScoreStrip(context.theme)
        self.button = QPushButton(context.theme.icon("score"), "Score this trace")
        self.button.setToolTip(f"Ask a PRM for step scores · {context.actions.hint('score_this')}")
        self.cancel = QPushButton("Cancel")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Scoring")
        self.words = QLabel()
        self.note = QLabel()
        set_role(self.words, "caption")
        set_role(self.note, "warning")
        head = QHBoxLayout()
        head.setContentsMargins(10, 4, 8, 0)
        title = QLabel("Scores")
        set_role(title, "caption")
        head.setSpacing(10)
        head.addWidget(title)
        head.addWidget(self.note, 1)
        head.addWidget(self.words, 2)
        self.words.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        for label in (self.note, self.words):
            label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)  # the words may be cut
        for widget in (self.bar, self.cancel, self.button):
            head.addWidget(widget)
        self.bar.setFixedWidth(context.theme.px(140))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(head)
        column.addWidget(self.strip)
        self.button.clicked.connect(lambda _checked: self.scoreAsked.emit())
        self.cancel.clicked.connect(lambda _checked: self.cancelAsked.emit())
        context.theme.switched.connect(lambda: self.button.setIcon(context.theme.icon("score")))
        self._show_running(False)

    def show_trace(self, opened: Opened, scoring: Scoring | None = None) -> None:
        """Show another trace's scores and ratings, and how its scoring stands."""
        ratings = tuple(opened.standing(ordinal) for ordinal in range(opened.count))
        self.strip.set_trace(opened.lines, ratings, empty=NOT_SCORED)
        notes = [f"{line.name}: {line.note}" for line in opened.lines if line.note]
        self.note.setText("▨ " + notes[0] if notes else "")
        self.note.setToolTip("\n".join(notes))
        self.words.clear()
        self._show_running(False)
        if scoring is not None:
            self.show_scoring(scoring)

    def show_scoring(self, scoring: Scoring) -> None:
        """Show how the scoring of this trace stands."""
        self.words.setText(scoring.text)
        self.words.setToolTip(scoring.text)
        self.bar.setRange(0, scoring.total)
        self.bar.setValue(scoring.done)
        self._show_running(scoring.running)

    def _show_running(self, on: bool) -> None:
        self.bar.setVisible(on)
        self.cancel.setVisible(on)
        self.button.setVisible(not on)
