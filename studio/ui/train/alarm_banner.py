"""Above the details of a run that an alarm has paused: what it says, and the way over labels to a better PRM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from studio.jobs import labelling
from studio.jobs.labelling import Sent
from studio.jobs.values import RunView
from studio.ui.actions import Page, by_id
from studio.ui.widgets.parts import GAP, MARGIN, Quiet, button, heading, plural

if TYPE_CHECKING:
    from studio.ui.context import Context


class AlarmBanner(QFrame):
    """Shown while the chosen run is paused by an alarm.

    Signals:
        resumeAsked: go on with another PRM.
    """

    resumeAsked = Signal()

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._view: RunView | None = None
        self._sending = False
        self.sent: dict[int, Sent] = {}  # by run, of this session
        self.setProperty("card", True)
        self.title = heading("Paused by an alarm", self)
        self.text = Quiet("", self)
        self.text.setWordWrap(True)
        self.undo = button("Take them back", self._on_undo, tip="Those that nobody has rated leave it", parent=self)
        self.label = button(
            "Send to labelling", self.send, tip="Where PRM and outcome disagree most", primary=True, parent=self
        )
        self.resume = button("Resume on another PRM…", self.resumeAsked.emit, tip=by_id("resume_on").tip, parent=self)
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addWidget(self.title)
        words.addWidget(self.text)
        row = QHBoxLayout(self)
        row.setContentsMargins(MARGIN, GAP, MARGIN, GAP)
        row.setSpacing(8)
        row.addLayout(words, 1)
        for widget in (self.undo, self.label, self.resume):
            row.addWidget(widget)
        self.hide()

    def show_run(self, view: RunView) -> None:
        """Show what the alarm of a run says; nothing where there is none."""
        self._view = view
        self.setVisible(bool(view.alarm))
        sent = self.sent.get(view.id)
        text = view.alarm
        if sent is not None:
            text += f" {plural(len(sent.steps), 'contested step')} stand in “{sent.project}”. When they are rated, "
            text += "train a PRM on them and resume on it."
        self.text.setText(text)
        self.undo.setVisible(sent is not None)
        count = labelling.COUNT
        self.label.setText("Label the contested steps" if sent else f"Send {count} contested steps to labelling")
        self.label.setEnabled(not self._sending)

    def send(self) -> None:
        """Put the contested steps into their project and open the first of them."""
        view, jobs = self._view, self._context.jobs
        if view is None or self._sending:
            return
        self._sending = True
        self.label.setEnabled(False)
        self._context.background.call(
            self, lambda: jobs.send_contested(view.id), lambda sent: self._on_sent(view.id, sent), self._on_failed
        )

    def _on_sent(self, run: int, sent: Sent) -> None:
        self._sending = False
        self.sent[run] = sent
        self._again()
        news = plural(sent.fresh, "contested step") if sent.fresh else "no new contested step"
        self._context.say(f"“{sent.project}” has {news}; the most contested comes first")
        first = sent.steps[0]
        self._context.open_trace(Page.LABEL, first.trace_id, first.step)

    def _on_undo(self) -> None:
        view = self._view
        if view is None or view.id not in self.sent:
            return
        sent, workspace = self.sent.pop(view.id), self._context.workspace
        self._context.background.call(
            self, lambda: labelling.take_back(workspace, sent), lambda gone: self._on_taken_back(sent, gone)
        )

    def _on_taken_back(self, sent: Sent, gone: int) -> None:
        stays = len(sent.steps) - gone
        rest = f"; {stays} stay, as they are rated" if stays else ""
        self._context.say(f"{plural(gone, 'trace')} left “{sent.project}”{rest}")
        self._again()

    def _on_failed(self, error: Exception) -> None:
        self._sending = False
        self._again()
        self._context.fail(error)

    def _again(self) -> None:
        if self._view is not None:
            self.show_run(self._view)
