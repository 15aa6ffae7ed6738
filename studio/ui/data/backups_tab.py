"""Backups: what there is, one now, and going back to one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QHBoxLayout,
    QHeaderView,
    QMessageBox,
    QProgressBar,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from studio.domain import Changes, Topic
from studio.store import backup
from studio.store.backup import Backup
from studio.ui.widgets.parts import GAP, Quiet, button, plural, size_text

if TYPE_CHECKING:
    from studio.ui.context import Context


class BackupsTab(QWidget):
    """Copies of the workspace's database, newest first. Runs and models are not in them."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._found: tuple[Backup, ...] = ()
        self._busy = False
        self.note = Quiet("", self)
        self.tree = QTreeWidget(self)
        self.tree.setHeaderLabels(["Made", "Size", "File"])
        self.tree.setAccessibleName("Backups")
        self.tree.setRootIsDecorated(False)
        self.tree.setUniformRowHeights(True)
        self.tree.header().setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        self.tree.itemSelectionChanged.connect(self._show_buttons)
        self.bar = QProgressBar(self)
        self.bar.setRange(0, 0)
        self.bar.setAccessibleName("Working on a backup")
        self.make = button(
            "Back up now", self.back_up, tip="Copies the database while work goes on", primary=True, parent=self
        )
        self.restore = button(
            "Go back to this…", self._on_restore, tip="The present content is kept as a backup", parent=self
        )
        self._lay_out()
        self._set_busy(False)
        context.background.changed.connect(self._on_changed)
        self.reload()

    def reload(self) -> None:
        """Look into the folder, in the background."""
        folder = self._context.workspace.backups
        self._context.background.call(self, lambda: backup.all_backups(folder), self._show)

    def back_up(self) -> None:
        """Make a backup in the background; nobody is held up."""
        workspace = self._context.workspace
        self._set_busy(True)
        self._context.background.call(
            self, lambda: backup.make(workspace.database, workspace.backups), self._on_made, self._on_failed
        )

    def go_back_to(self, chosen: Backup) -> None:
        """Put a backup in the place of the present content, which becomes a backup first."""
        workspace = self._context.workspace
        self._set_busy(True)
        self._context.background.call(
            self,
            lambda: backup.restore(workspace.database, chosen.path, workspace.backups),
            lambda kept: self._on_restored(chosen, kept),
            self._on_failed,
        )

    def chosen(self) -> Backup | None:
        """The selected backup."""
        rows = [self.tree.indexOfTopLevelItem(item) for item in self.tree.selectedItems()]
        return self._found[rows[0]] if rows else None

    def _on_made(self, made: Backup) -> None:
        self._set_busy(False)
        self._context.say(f"Backup of {size_text(made.size)} made")
        self.reload()

    def _on_restored(self, chosen: Backup, kept: Backup) -> None:
        self._set_busy(False)
        self._context.workspace.database.publish(Changes(frozenset({Topic.EVERYTHING})))
        self._context.say(
            f"The workspace is as it was {_moment(chosen)}; what it was before is kept as {kept.path.name}"
        )
        self.reload()

    def _on_failed(self, error: Exception) -> None:
        self._set_busy(False)
        self._context.fail(error)
        self.reload()

    def _on_restore(self) -> None:
        chosen = self.chosen()
        if chosen is None:
            return
        box = QMessageBox(self)
        box.setWindowTitle("Go back to a backup")
        box.setText(f"Go back to the backup of {_moment(chosen)}?")
        box.setInformativeText(
            "Ratings, projects, scores and runs will be as they were then. What is there now is kept as a backup first."
        )
        yes = box.addButton("Go back", QMessageBox.ButtonRole.AcceptRole)
        box.addButton("Cancel", QMessageBox.ButtonRole.RejectRole)
        yes.clicked.connect(lambda: self.go_back_to(chosen))
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.open()

    def _on_changed(self, changes: Changes) -> None:
        if Topic.EVERYTHING in changes.topics and self.isVisible():
            self.reload()

    def _show(self, found: tuple[Backup, ...]) -> None:
        self._found = found
        self.tree.clear()
        for each in found:
            item = QTreeWidgetItem(self.tree, [_moment(each), size_text(each.size), each.path.name])
            item.setToolTip(2, str(each.path))
        self.note.setText(
            f"{plural(len(found), 'backup')}, {size_text(sum(each.size for each in found))}, "
            "the newest first. Older ones are thinned out: the last of each day, then of each week, stay."
            if found
            else "No backup yet. A backup holds all problems, traces, ratings, scores and projects."
        )
        self._show_buttons()

    def _set_busy(self, busy: bool) -> None:
        self._busy = busy
        self.bar.setVisible(busy)
        self._show_buttons()

    def _show_buttons(self) -> None:
        self.make.setEnabled(not self._busy)
        self.restore.setEnabled(not self._busy and self.chosen() is not None)

    def _lay_out(self) -> None:
        foot = QHBoxLayout()
        foot.addWidget(self.bar, 1)
        foot.addStretch(1)
        foot.addWidget(self.restore)
        foot.addWidget(self.make)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, GAP, 0, 0)
        column.setSpacing(8)
        column.addWidget(self.note)
        column.addWidget(self.tree, 1)
        column.addLayout(foot)


def _moment(made: Backup) -> str:
    return made.made_at.astimezone().strftime("%d %b %Y %H:%M:%S")
