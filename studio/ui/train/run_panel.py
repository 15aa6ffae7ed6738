"""One run: its state in a sentence, what can be done with it, and its tabs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QHBoxLayout, QPlainTextEdit, QProgressBar, QPushButton, QTabWidget, QVBoxLayout, QWidget

from studio.jobs.values import RunTopic, RunView
from studio.ui.train.alarm_banner import AlarmBanner
from studio.ui.train.curves_tab import CurvesTab
from studio.ui.train.examples_tab import ExamplesTab
from studio.ui.train.rollouts_tab import RolloutsTab
from studio.ui.train.run_table import Ticked
from studio.ui.train.tabs import CheckpointsTab, LogTab, NoticesTab, SpecTab
from studio.ui.train.words import RECIPE_NAMES, sentence
from studio.ui.widgets.parts import Quiet, button, duration, heading, monospace, set_property
from trainer.contract.records import RunState

if TYPE_CHECKING:
    from studio.ui.context import Context

LOG_MS = 1000
SHOWN_TAIL = 14
_TROUBLE = {RunState.CRASHED, RunState.FAILED, RunState.LOST}


class RunPanel(QWidget):
    """Details of the chosen run. Commands go out by signal, the page gives them.

    Signals:
        asked(str): the id of a command of `ui/actions.py` for the chosen run.
        scoreAsked(RunView): score traces with the PRM this run made.
    """

    asked = Signal(str)
    scoreAsked = Signal(object)

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.view: RunView | None = None
        self._ticked: tuple[Ticked, ...] = ()
        self.name = heading("", self, size=1.2)
        self.sentence = Quiet("", self)
        self.bar = QProgressBar(self)
        self.bar.setAccessibleName("Progress of the run")
        self.bar.setMaximumHeight(20)
        self.alarm = AlarmBanner(context, self)
        self.tail = self._make_tail()
        self.buttons = self._make_buttons()
        self.curves = CurvesTab(context, self)
        self.examples = ExamplesTab(context, self)
        self.rollouts = RolloutsTab(context, self)
        self.spec = SpecTab(context, self)
        self.checkpoints = CheckpointsTab(context, self)
        self.notices = NoticesTab(self)
        self.log = LogTab(context, self)
        self.tabs = QTabWidget(self)
        self.tabs.setDocumentMode(True)
        self.tabs.tabBar().setDrawBase(False)
        for title, tab in self._titled_tabs():
            self.tabs.addTab(tab, title)
        self.tabs.currentChanged.connect(lambda _index: self._refresh_tab())
        self._lay_out()
        self._log_timer = QTimer(self)
        self._log_timer.setInterval(LOG_MS)
        self._log_timer.timeout.connect(self._on_log_timer)

    def show_run(self, view: RunView | None, ticked: tuple[Ticked, ...]) -> None:
        """Show another run."""
        self.view, self._ticked = view, ticked
        self.setVisible(view is not None)
        if view is None:
            self._log_timer.stop()
            return
        self.tabs.setTabVisible(self.tabs.indexOf(self.rollouts), view.recipe == "rl")
        self._show_head(view)
        self.curves.show_runs(ticked, view.id)
        self._refresh_tab()
        self._show_notice_count()
        self._log_timer.start()

    def update_run(self, view: RunView, topics: frozenset[RunTopic]) -> None:
        """The chosen run has news."""
        self.view = view
        self._show_head(view)
        self.curves.show_state(view)
        if RunTopic.EXAMPLES in topics and self.tabs.currentWidget() is self.examples:
            self.examples.show_examples(self._context.jobs.examples(view.id))
        if RunTopic.NOTICES in topics:
            self._show_notice_count()
        slow = {
            self.spec: {RunTopic.STATE},
            self.checkpoints: {RunTopic.PROGRESS},
            self.rollouts: {RunTopic.STATE, RunTopic.PROGRESS},
        }
        current = self.tabs.currentWidget()
        if any(current is tab and wanted & topics for tab, wanted in slow.items()):
            self._refresh_tab()

    def draw(self, ticked: tuple[Ticked, ...], fresh: frozenset[int] | None = None) -> None:
        """Draw the ticked runs; `fresh`: only these have new points."""
        self._ticked = ticked
        self.curves.show_runs(ticked, None if self.view is None else self.view.id, fresh=fresh)

    def _show_head(self, view: RunView) -> None:
        self.name.setText(view.name)
        text = sentence(view)
        if view.state is RunState.RUNNING and view.eta is not None:
            text += f" About {duration(view.eta)} left."
        if view.stale:
            text += " An annotation it learned from has changed since."
        if view.state is RunState.FINISHED and not view.ingested:
            text += " Its results are being taken in."
        self.sentence.setText(f"{RECIPE_NAMES.get(view.recipe, view.recipe)} · {text}")
        trouble = view.state in _TROUBLE
        set_property(self.sentence, "role", "error" if trouble else "caption")
        waits = view.state is RunState.QUEUED or (view.state is RunState.PAUSED and not view.total)
        self.bar.setVisible(not view.state.is_final and not waits)
        self.bar.setRange(0, max(1, view.total))
        self.bar.setValue(min(view.done, max(1, view.total)))
        self.bar.setFormat(f"{view.phase}  {view.done:,} / {view.total:,}" if view.total else view.phase or "starting")
        if trouble != self.tail.isVisibleTo(self):
            self.tail.setVisible(trouble)
            if trouble:
                self._load_tail(view)
        self.alarm.show_run(view)
        self._show_buttons(view)

    def _show_buttons(self, view: RunView) -> None:
        shown = {
            "pause_run": view.can_pause,
            "resume_run": view.can_resume,
            "run_now": view.can_run_now,
            "cancel_run": view.can_cancel,
            "score": view.recipe == "prm" and view.model_folder is not None,
            "fetch_run": bool(view.elsewhere),
            "scheduler": bool(view.elsewhere and view.scheduler),
            "folder": True,
        }
        self.buttons["scheduler"].setText(f"Scheduler: {view.scheduler}")
        for name, on in shown.items():
            self.buttons[name].setVisible(on)
        again = "at once" if view.asked == "cancel" else ""
        self.buttons["cancel_run"].setText(f"Cancel {again}".strip())
        label = "Resume from the last checkpoint" if view.state in _TROUBLE else "Resume"
        self.buttons["resume_run"].setText(label)

    def _refresh_tab(self) -> None:
        if self.view is None:
            return
        view, tab = self.view, self.tabs.currentWidget()
        if tab is self.examples:
            self.examples.show_examples(self._context.jobs.examples(view.id))
        elif tab is self.notices:
            self.notices.show_notices(self._context.jobs.notices(view.id))
        elif isinstance(tab, SpecTab | CheckpointsTab | LogTab | RolloutsTab):
            tab.show_run(view)

    def _show_notice_count(self) -> None:
        if self.view is None:
            return
        notices = self._context.jobs.notices(self.view.id)
        loud = sum(notice.level != "info" for notice in notices)
        self.tabs.setTabText(self.tabs.indexOf(self.notices), f"Notices ({loud} !)" if loud else "Notices")
        if self.tabs.currentWidget() is self.notices:
            self.notices.show_notices(notices)

    def _load_tail(self, view: RunView) -> None:
        jobs = self._context.jobs
        self._context.background.call(
            self,
            lambda: jobs.log_tail(view.id, SHOWN_TAIL),
            self._show_tail,
        )

    def _show_tail(self, text: str) -> None:
        self.tail.setPlainText(text or "worker.log is empty")
        bar = self.tail.verticalScrollBar()
        bar.setValue(bar.maximum())

    def _on_log_timer(self) -> None:
        live = self.view is not None and not self.view.state.is_final
        if live and self.isVisible() and self.tabs.currentWidget() is self.log:
            self._refresh_tab()

    def _titled_tabs(self) -> tuple[tuple[str, QWidget], ...]:
        return (
            ("Curves", self.curves),
            ("Examples", self.examples),
            ("Rollouts", self.rollouts),
            ("Spec · rows left out · lineage", self.spec),
            ("Checkpoints", self.checkpoints),
            ("Notices", self.notices),
            ("Log", self.log),
        )

    def _make_tail(self) -> QPlainTextEdit:
        tail = monospace("", self)
        tail.setAccessibleName("The end of the log")
        tail.setStyleSheet("QPlainTextEdit { min-height: 96px; max-height: 96px; }")  # over the theme's own
        tail.setVisible(False)
        return tail

    def _make_buttons(self) -> dict[str, QPushButton]:
        def ask(id: str) -> Callable[[], None]:
            return lambda: self.asked.emit(id)

        return {
            "score": button("Score with this PRM…", self._on_score, primary=True, parent=self),
            "resume_run": button("Resume", ask("resume_run"), tip="Go on from the last checkpoint", parent=self),
            "run_now": button(
                "Run now", ask("run_now"), tip="Pause what runs on the device, and go first", parent=self
            ),
            "pause_run": button(
                "Pause", ask("pause_run"), tip="Write a checkpoint, end, and free the device", parent=self
            ),
            "cancel_run": button("Cancel", ask("cancel_run"), tip="Stop for good; checkpoints are kept", parent=self),
            "fetch_run": button("Fetch", ask("fetch_run"), tip="Bring what it has written there, now", parent=self),
            "scheduler": button(
                "Scheduler", ask("fetch_run"), tip="What its scheduler said last; ask again", parent=self
            ),
            "folder": button("Open folder", self._on_folder, tip="The run folder on disk", parent=self),
        }

    def _lay_out(self) -> None:
        words = QVBoxLayout()
        words.setSpacing(4)
        words.addWidget(self.name)
        words.addWidget(self.sentence)
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addLayout(words, 1)
        for made in self.buttons.values():
            head.addWidget(made)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 8, 0, 0)
        column.setSpacing(8)
        column.addLayout(head)
        column.addWidget(self.alarm)
        column.addWidget(self.bar)
        column.addWidget(self.tail)
        column.addWidget(self.tabs, 1)

    def _on_score(self) -> None:
        if self.view is not None:
            self.scoreAsked.emit(self.view)

    def _on_folder(self) -> None:
        if self.view is None:
            return
        path = self._context.workspace.path / self.view.folder
        if not QDesktopServices.openUrl(QUrl.fromLocalFile(str(path))):
            self._context.say(f"No file manager answered. The folder is {path}")
