"""What stands on the Label page when the queue is empty, with the ways on."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from studio.domain import Project
from studio.ui.actions import by_id
from studio.ui.context import Context
from studio.ui.dialogs import set_role


class DonePanel(QWidget):
    """A sentence and two or three buttons."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._icon = QLabel()
        self.title = QLabel()
        self.title.setObjectName("doneTitle")
        self.title.setAccessibleName("State of the queue")
        self.note = QLabel()
        self.note.setWordWrap(True)
        self.today = QLabel()
        set_role(self.note, "quiet")
        set_role(self.today, "quiet")
        self.buttons = {id: self._button(id) for id in ("import", "choose_project", "page_inspect")}
        row = QHBoxLayout()
        row.setSpacing(10)
        row.addStretch(1)
        for button in self.buttons.values():
            row.addWidget(button)
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setSpacing(10)
        column.addStretch(2)
        for label in (self._icon, self.title, self.note, self.today):
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
            column.addWidget(label, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addSpacing(10)
        column.addLayout(row)
        column.addStretch(3)
        context.theme.switched.connect(self._dress)
        self._dress()

    def show_for(self, project: Project | None) -> None:
        """Say why there is nothing to rate."""
        if project is None:
            self.title.setText("There is no project yet")
            self.note.setText("Import a file of traces: its steps come here to be rated.")
        elif not project.traces:
            self.title.setText(f"{project.name} has no traces")
            self.note.setText("Import a file of traces into it, or choose another project.")
        else:
            self.title.setText("All done")
            self.note.setText(
                f"Nothing is left for you in {project.name}. Read what you said on Inspect, choose another project, "
                "or train a PRM on it."
            )
        width = self._context.theme.px(440)
        self.note.setFixedSize(width, self.note.heightForWidth(width))
        self.buttons["choose_project"].setVisible(project is not None)
        self._set_primary("choose_project" if project is not None and project.traces else "import")

    def show_today(self, today: int) -> None:
        """How much was done today."""
        self.today.setText(f"{today:,} submitted today" if today else "")

    def _button(self, id: str) -> QPushButton:
        name = "Go to Inspect" if id == "page_inspect" else by_id(id).name
        button = QPushButton(name)
        button.clicked.connect(partial(self._on_clicked, id))
        return button

    def _on_clicked(self, id: str, _checked: bool = False) -> None:
        self._context.actions.run(id)

    def _set_primary(self, id: str) -> None:
        for name, button in self.buttons.items():
            button.setProperty("primary", name == id)
            button.style().unpolish(button)
            button.style().polish(button)

    def _dress(self) -> None:
        theme = self._context.theme
        self._icon.setPixmap(theme.icon("check", "positive").pixmap(theme.px(48), theme.px(48)))
