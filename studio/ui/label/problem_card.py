"""The problem with its reference answer, and the way to say that the reference is wrong."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from studio.render.maths import MathsRenderer
from studio.ui.actions import Actions
from studio.ui.dialogs import set_role
from studio.ui.label.key_button import KeyButton
from studio.ui.theme import Theme
from studio.ui.widgets.problem_view import ProblemView


class ProblemCard(QFrame):
    """Problem and boxed reference, and under them the one thing an annotator may say of them."""

    def __init__(self, maths: MathsRenderer, theme: Theme, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("card", True)
        self.setAccessibleName("Problem")
        self.view = ProblemView(maths, theme)
        self.wrong = KeyButton(actions, theme, "reference_wrong")
        self.wrong.setCheckable(True)
        self.noted = QLabel("△ noted as wrong")
        self.noted.setToolTip("You noted that the reference answer is wrong")
        set_role(self.noted, "warning")
        side = QVBoxLayout()
        side.setContentsMargins(0, 10, 10, 8)
        side.setSpacing(6)
        side.addWidget(self.wrong)
        side.addWidget(self.noted, 0, Qt.AlignmentFlag.AlignHCenter)
        side.addStretch(1)
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 4, 6, 4)
        row.setSpacing(10)
        row.addWidget(self.view, 1)
        row.addLayout(side)

    def show_problem(self, prompt: str, reference: str | None, *, wrong: bool) -> None:
        """Show a problem and its reference answer, if it has one."""
        self.view.set_problem(prompt, reference)
        self.wrong.setVisible(bool(reference))
        self.show_wrong(wrong)

    def show_wrong(self, on: bool) -> None:
        """Show whether the annotator noted that the reference is wrong."""
        self.wrong.setChecked(on)
        self.noted.setVisible(on)
