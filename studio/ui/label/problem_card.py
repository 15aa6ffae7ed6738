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
        self.wrong = KeyButton(actions, "reference_wrong")
        self.wrong.setCheckable(True)
        self.noted = QLabel()
        set_role(self.noted, "warning")
        under = QHBoxLayout()
        under.setContentsMargins(14, 0, 10, 0)
        under.setSpacing(10)
        under.addStretch(1)
        under.addWidget(self.noted)
        under.addWidget(self.wrong, 0, Qt.AlignmentFlag.AlignRight)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 6, 6, 8)
        column.setSpacing(0)
        column.addWidget(self.view)
        column.addLayout(under)

    def show_problem(self, prompt: str, reference: str | None, *, wrong: bool) -> None:
        """Show a problem and its reference answer, if it has one."""
        self.view.set_problem(prompt, reference)
        self.wrong.setVisible(bool(reference))
        self.show_wrong(wrong)

    def show_wrong(self, on: bool) -> None:
        """Show whether the annotator noted that the reference is wrong."""
        self.wrong.setChecked(on)
        self.noted.setText("△ you noted that the reference answer is wrong" if on else "")
