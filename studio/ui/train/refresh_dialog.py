"""With which PRM a stopped run goes on: the models of the workspace, the newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDialog, QHBoxLayout, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from studio.jobs import refresh
from studio.jobs.refresh import Choice
from studio.jobs.values import RunView
from studio.ui.train.words import local_time
from studio.ui.widgets.parts import GAP, MARGIN, Quiet, button, heading

if TYPE_CHECKING:
    from studio.ui.context import Context

_ABOUT = (
    "Step scores come from the chosen PRM from the last checkpoint on. The policy, its optimiser, the counters and the "
    "seeds go on as they are; the alarm counts as seen. The lineage of the run names both PRMs."
)
_NONE_NEWER = "No PRM was trained since the run stopped. Rate the contested steps, then train one on them."


class RefreshDialog(QDialog):
    """Lists PRMs, and resumes the run on the chosen one.

    Signals:
        resumed: the run is queued again.
        trainAsked: train a PRM first.
    """

    resumed = Signal()
    trainAsked = Signal()

    def __init__(self, context: Context, view: RunView, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context, self._view = context, view
        self.setWindowTitle("Resume on another PRM")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(620, 420)
        self.list = QListWidget(self)
        self.list.setAccessibleName("PRMs of this workspace, the newest first")
        self.note = Quiet("Looking for PRMs…", self)
        self.yes = button("Resume on this PRM", self._on_yes, primary=True, parent=self)
        self.train = button("Train a PRM…", self._on_train, tip="On the contested steps and what is rated", parent=self)
        self.no = button("Close", self.reject, parent=self)
        self.yes.setEnabled(False)
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(GAP)
        column.addWidget(heading(f"Resume {view.name} on another PRM", self, size=1.15))
        about = Quiet(_ABOUT, self)
        about.setWordWrap(True)
        column.addWidget(about)
        column.addWidget(self.list, 1)
        column.addWidget(self.note)
        foot = QHBoxLayout()
        foot.addWidget(self.train)
        foot.addStretch(1)
        foot.addWidget(self.no)
        foot.addWidget(self.yes)
        column.addLayout(foot)
        self.note.setWordWrap(True)
        self.list.itemSelectionChanged.connect(lambda: self.yes.setEnabled(bool(self.list.selectedItems())))
        self.list.itemActivated.connect(lambda _item: self._on_yes())
        workspace = context.workspace
        context.background.call(self, lambda: refresh.choices(workspace, view.id), self._fill, self._on_failed)

    def _fill(self, found: tuple[Choice, ...]) -> None:
        for choice in found:
            when = "after the run stopped" if choice.newer else "before the run stopped"
            text = f"{choice.model.name}   {local_time(choice.model.created_at)}, {when}"
            item = QListWidgetItem(text, self.list)
            item.setData(Qt.ItemDataRole.UserRole, choice.model.folder)
            item.setToolTip(f"{choice.model.folder}, checksum {choice.model.checksum[:12]}")
        newer = any(choice.newer for choice in found)
        self.note.setText("" if newer else _NONE_NEWER)
        if newer:
            self.list.setCurrentRow(0)

    def _on_yes(self) -> None:
        chosen = self.list.selectedItems()
        if not chosen or not self.isEnabled():
            return
        folder, jobs, run = str(chosen[0].data(Qt.ItemDataRole.UserRole)), self._context.jobs, self._view.id
        self.setEnabled(False)
        self.note.setText("Linking the PRM into the run folder…")
        self._context.background.call(
            self, lambda: jobs.resume_on(run, folder), lambda _ref: self._done(), self._failed
        )

    def _done(self) -> None:
        self._context.say(f"{self._view.name} goes on with another PRM")
        self.resumed.emit()
        self.accept()

    def _failed(self, error: Exception) -> None:
        self.setEnabled(True)
        self._on_failed(error)

    def _on_failed(self, error: Exception) -> None:
        self.note.setText(str(error))

    def _on_train(self) -> None:
        self.trainAsked.emit()
        self.accept()
