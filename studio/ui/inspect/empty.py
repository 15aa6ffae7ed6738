"""What the Inspect page shows when there is no trace: the one action that fills it."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from studio.ui.context import Context
from studio.ui.dialogs import set_role


class EmptyPanel(QWidget):
    """A sentence and a button."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        title = QLabel("No traces here yet")
        title.setObjectName("doneTitle")
        words = QLabel("Import a file of traces; each then appears here with its steps, ratings and scores.")
        set_role(words, "quiet")
        self.button = QPushButton(context.theme.icon("import", "on_accent"), "Import traces…")
        self.button.setProperty("primary", True)
        self.button.clicked.connect(lambda _checked: context.actions.run("import"))
        column = QVBoxLayout(self)
        column.addStretch(1)
        for widget in (title, words, self.button):
            column.addWidget(widget, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addStretch(2)
        column.setSpacing(12)
