"""What the Inspect page shows when there is no trace: the actions that fill it."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from studio.ui.context import Context
from studio.ui.dialogs import set_role


class EmptyPanel(QWidget):
    """Two sentences and a button for each."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        title = QLabel("No traces here yet")
        title.setObjectName("doneTitle")
        words = QLabel(
            "Import files or folders of traces, or drop them here: each appears with its steps and scores.\n"
            "A file that is still being written can be followed as it grows."
        )
        words.setAlignment(Qt.AlignmentFlag.AlignCenter)
        set_role(words, "quiet")
        self.button = QPushButton(context.theme.icon("import", "on_accent"), "Import traces…")
        self.button.setProperty("primary", True)
        self.button.clicked.connect(lambda _checked: context.actions.run("import"))
        self.follow = QPushButton("Follow a growing file…")
        self.follow.clicked.connect(lambda _checked: context.actions.run("follow_file"))
        column = QVBoxLayout(self)
        column.addStretch(1)
        for widget in (title, words, self.button, self.follow):
            column.addWidget(widget, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addStretch(2)
        column.setSpacing(12)
