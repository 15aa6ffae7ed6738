"""The score strip with its command and, while a trace is being scored, its progress."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from studio.ui.context import Context
from studio.ui.dialogs import set_role
from studio.ui.inspect.lane import LaneSays, LaneState
from studio.ui.inspect.opened import Opened
from studio.ui.inspect.scoring import Scoring
from studio.ui.widgets.cut_label import CutLabel
from studio.ui.widgets.score_strip import ScoreStrip

NOT_SCORED = "Not scored yet. Press S, or “Score this trace”, to ask a PRM."
NOT_HERE = "Traces that are followed are not in the workspace yet: import the file to have them scored."


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
        self.words, self.note = CutLabel(), CutLabel()
        set_role(self.words, "caption")
        set_role(self.note, "caption")
        head = QHBoxLayout()
        head.setContentsMargins(10, 4, 8, 0)
        head.setSpacing(10)
        head.addWidget(self.note, 3)
        head.addWidget(self.words, 2)
        self.words.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
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
        marks = opened.marks
        empty = NOT_SCORED if opened.trace.id > 0 else NOT_HERE
        self.strip.set_trace(opened.lines, marks.standing, disputed=marks.disputed, empty=empty)
        says = _says(opened)
        self.note.setText(says.text)
        set_role(self.note, "warning" if says.state is LaneState.FOREIGN else "caption")
        notes = [f"{line.name}: {line.note}" for line in opened.lines if line.note]
        self.note.setToolTip("\n".join(notes) or says.text)
        self.button.setEnabled(opened.trace.id > 0)  # a trace that is not stored cannot be asked about
        self.words.clear()
        self.words.hide()
        self._show_running(False)
        if scoring is not None:
            self.show_scoring(scoring)

    def show_scoring(self, scoring: Scoring) -> None:
        """Show how the scoring of this trace stands."""
        if scoring.running:
            self.note.setText(LaneSays(LaneState.SCORING, "").text)
        self.words.setText(scoring.text)
        self.words.setVisible(bool(scoring.text))
        self.bar.setRange(0, scoring.total)
        self.bar.setValue(scoring.done)
        self._show_running(scoring.running)

    def _show_running(self, on: bool) -> None:
        self.bar.setVisible(on)
        self.cancel.setVisible(on)
        self.button.setVisible(not on)


def _says(opened: Opened) -> LaneSays:
    """How far the first scorer's scores can be trusted here."""
    if not opened.lines:
        return LaneSays(LaneState.ABSENT, "no PRM has scored this trace")
    foreign = [line for line in opened.lines if line.note]
    if foreign:
        return LaneSays(LaneState.FOREIGN, f"{foreign[0].name}: {foreign[0].note}")
    return LaneSays(LaneState.MEASURED, f"by {', '.join(line.name for line in opened.lines)}")
