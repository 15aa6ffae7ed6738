"""The status bar: running jobs with Cancel, the annotator, and whether everything is saved."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QMenu,
    QProgressBar,
    QStatusBar,
    QToolButton,
    QWidget,
)

from studio.domain import Annotator
from studio.store import projects
from studio.ui.context import Context
from studio.ui.dialogs import LineDialog
from studio.ui.text_line import TextLine
from studio.ui.widgets.child_process import ChildProcess, Progress

SAID_MS = 6_000


class JobChip(QWidget):
    """One running job: name, progress, Cancel.

    Signals:
        cancelAsked(): the person wants it to stop.
    """

    cancelAsked = Signal()

    def __init__(self, context: Context, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(f"Job {name}")
        self._label = QLabel(name)
        self._bar = QProgressBar()
        self._bar.setFixedWidth(context.theme.px(120))
        self._bar.setMaximum(0)
        self._bar.setTextVisible(False)
        self._bar.setAccessibleName(f"Progress of {name}")
        self._cancel = QToolButton()
        self._cancel.setIcon(context.theme.icon("close"))
        self._cancel.setToolTip(f"Cancel {name}")
        self._cancel.setAccessibleName(f"Cancel {name}")
        self._cancel.clicked.connect(self.cancelAsked)
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 0, 0, 0)
        row.setSpacing(6)
        for widget in (self._label, self._bar, self._cancel):
            row.addWidget(widget)

    def show_progress(self, text: str, done: int, total: int) -> None:
        """Say how far it is; `total` 0 = unknown."""
        self._bar.setMaximum(1000 if total else 0)
        if total:
            self._bar.setValue(min(1000, done * 1000 // total))
        self.setToolTip(text)

    def show_cancelling(self) -> None:
        """The wish to stop was passed on."""
        self._cancel.setEnabled(False)
        self.setToolTip("stopping")


class StatusBar(QStatusBar):
    """Messages at the left; jobs, the annotator and *saved* at the right."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._unsaved = 0
        self.setSizeGripEnabled(False)
        self.setAccessibleName("Status")
        self._jobs = QWidget()
        self._job_row = QHBoxLayout(self._jobs)
        self._job_row.setContentsMargins(0, 0, 0, 0)
        self.annotator = QToolButton()
        self.annotator.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.annotator.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.annotator.setToolTip("Who rates")
        self._menu = QMenu(self.annotator)
        self._menu.aboutToShow.connect(self._on_menu)
        self.annotator.setMenu(self._menu)
        self.saved = TextLine(context.theme, "✕ 88 waiting", "Saved", right=True)
        self.receiving = TextLine(context.theme, "", "OTLP receiver")
        self.receiving.hide()
        for widget in (self._jobs, self.receiving, self.annotator, self.saved):
            self.addPermanentWidget(widget)
        self.setContentsMargins(6, 0, 12, 0)
        context.said.connect(self._on_said)
        context.annotatorSwitched.connect(self._show_annotator)
        context.background.busy.connect(self._show_saved)
        context.background.idle.connect(self._show_saved)
        context.unsavedChanged.connect(self._on_unsaved)
        context.childStarted.connect(self._on_child)
        context.receiving.changed.connect(self._show_receiving)
        context.theme.switched.connect(self.dress)
        self.dress()
        self._show_saved()

    def dress(self) -> None:
        """Take icons and colours of the present theme."""
        theme = self._context.theme
        self.annotator.setIcon(theme.icon("person", "secondary"))
        self.annotator.setIconSize(QSize(theme.px(16), theme.px(16)))
        self._show_annotator(self._context.annotator)

    def follow_runs(self) -> None:
        """From now on show the runs that hold a device."""
        from studio.ui.run_chips import RunChips

        RunChips(self._context, self._jobs, self)

    def _on_said(self, text: str) -> None:
        self.showMessage(text, SAID_MS)

    def _show_annotator(self, annotator: Annotator) -> None:
        self.annotator.setText(annotator.name)
        self.annotator.setAccessibleName(f"Annotator {annotator.name}")

    def _on_unsaved(self, count: int) -> None:
        self._unsaved = count
        self._show_saved()

    def _show_saved(self) -> None:
        if self._unsaved:
            self.saved.set_text(f"✕ {self._unsaved} waiting", "negative")
        else:
            self.saved.set_text("saving…" if self._context.background.writes_waiting else "✓ saved")

    def _show_receiving(self) -> None:
        receiving = self._context.receiving
        self.receiving.set_text(receiving.text, "negative" if receiving.trouble else "secondary")
        self.receiving.setToolTip(receiving.about)
        self.receiving.setVisible(bool(receiving.text))

    def _on_menu(self) -> None:
        with self._context.workspace.database.read() as c:  # a handful of rows
            people = projects.annotators(c)
        self._menu.clear()
        for person in people:
            if person.origin == "imported":
                continue
            entry = self._menu.addAction(person.name)
            entry.setCheckable(True)
            entry.setChecked(person.id == self._context.annotator.id)
            entry.triggered.connect(partial(self._on_chosen, person))
        self._menu.addSeparator()
        self._menu.addAction("New annotator…").triggered.connect(self._on_new)

    def _on_chosen(self, person: Annotator, _checked: bool = False) -> None:
        self._context.switch_annotator(person)

    def _on_new(self) -> None:
        dialog = LineDialog("New annotator", "Name", parent=self.window())
        if dialog.exec():
            name = dialog.text
            self._context.background.write(
                self, lambda c: projects.ensure_annotator(c, name), self._context.switch_annotator, self._context.fail
            )

    def _on_child(self, name: str, child: ChildProcess) -> None:
        chip = JobChip(self._context, name, self._jobs)
        self._job_row.addWidget(chip)
        chip.cancelAsked.connect(child.cancel)
        chip.cancelAsked.connect(chip.show_cancelling)
        child.progressed.connect(partial(_show_child, chip))
        child.ended.connect(chip.deleteLater)


def _show_child(chip: JobChip, progress: Progress) -> None:
    chip.show_progress(f"{progress.phase} {progress.text}".strip(), progress.done, progress.total)
