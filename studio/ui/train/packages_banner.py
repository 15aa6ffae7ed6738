"""Above the runs while the training packages are not there: what happens, how far it is, and what one can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QDialog, QFrame, QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from studio.ui.train.packages import PackagesState
from studio.ui.widgets.child_process import Progress
from studio.ui.widgets.parts import GAP, MARGIN, Quiet, button, heading, monospace

if TYPE_CHECKING:
    from studio.ui.context import Context

_TITLES = {
    PackagesState.MISSING: "Training needs packages that are not there",
    PackagesState.INSTALLING: "Training packages are being installed",
    PackagesState.BROKEN: "Training cannot start",
}


class PackagesBanner(QFrame):
    """Shown while runs cannot start; labelling and reading need none of it."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._packages = context.packages
        self.setProperty("card", True)
        self.title = heading("", self)
        self.text = Quiet("", self)
        self.bar = QProgressBar(self)
        self.bar.setTextVisible(False)
        self.bar.setRange(0, 0)
        self.bar.setFixedWidth(180)
        self.bar.setAccessibleName("Progress of the installation")
        self.install = button("Install", self._packages.install, primary=True, parent=self)
        self.cancel = button("Cancel", self._packages.cancel, parent=self)
        self.log = button("Log…", self._on_log, tip="What pip wrote", parent=self)
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addWidget(self.title)
        words.addWidget(self.text)
        row = QHBoxLayout(self)
        row.setContentsMargins(MARGIN, GAP, MARGIN, GAP)
        row.setSpacing(8)
        row.addLayout(words, 1)
        for widget in (self.bar, self.log, self.cancel, self.install):
            row.addWidget(widget)
        self._packages.changed.connect(self._show)
        self._packages.progressed.connect(self._on_progress)
        self._show()

    def _show(self) -> None:
        state = self._packages.state
        self.setVisible(state in _TITLES)
        self.title.setText(_TITLES.get(state, ""))
        self.text.setText(self._packages.text)
        installing = state is PackagesState.INSTALLING
        self.bar.setVisible(installing)
        self.cancel.setVisible(installing)
        self.install.setVisible(state is PackagesState.MISSING)

    def _on_progress(self, progress: Progress) -> None:
        self.bar.setRange(0, progress.total)
        self.bar.setValue(progress.done)

    def _on_log(self) -> None:
        self._context.background.call(self, self._packages.log_text, self._show_log)

    def _show_log(self, text: str) -> None:
        dialog = QDialog(self)
        dialog.setWindowTitle(str(self._packages.log))
        dialog.resize(820, 480)
        box = monospace(text or "pip has written nothing yet", dialog)
        column = QVBoxLayout(dialog)
        column.addWidget(box)
        dialog.open()
