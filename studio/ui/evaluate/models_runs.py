"""The runs that results are coming from: how far each is, Cancel, and Resume where one did not come to its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from studio.jobs.values import RunView
from studio.ui.train.feed import RunFeed
from studio.ui.train.words import sentence
from studio.ui.widgets.cut_label import CutLabel
from studio.ui.widgets.parts import button, duration, set_property
from trainer.contract.records import RunState

if TYPE_CHECKING:
    from studio.ui.context import Context

SHOWN = 3
TROUBLE = (RunState.FAILED, RunState.CRASHED, RunState.LOST)


class RunsStrip(QWidget):
    """A line a run of one recipe that has not come to its end; nothing where all have.

    Signals:
        ended(): what a run made is in the store now.
    """

    ended = Signal()

    def __init__(self, context: Context, recipe: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context, self._recipe = context, recipe
        self._hidden: set[tuple[int, int]] = set()  # run and attempt that a person does not want to see any more
        self._unfinished: set[int] = set()
        self.lines: dict[int, RunLine] = {}
        self.more = QLabel("", self)
        set_property(self.more, "role", "caption")
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(4)
        self._column.addWidget(self.more)
        self.setAccessibleName("Runs under way")
        self.feed = RunFeed(context.jobs, self)
        self.feed.flushed.connect(lambda _news: self._on_news())
        self.hide()

    def reload(self) -> None:
        """Look again."""
        self._context.background.call(self, self._context.jobs.runs, self._show)

    def _show(self, views: tuple[RunView, ...]) -> None:
        mine = [view for view in views if view.recipe == self._recipe]
        self._tell_of_ended(mine)
        wanted = [view for view in unfinished(mine) if (view.id, view.attempts) not in self._hidden]
        shown = wanted[:SHOWN]
        for id in self.lines.keys() - {view.id for view in shown}:
            line = self.lines.pop(id)
            line.hide()
            line.deleteLater()
        for place, view in enumerate(shown):
            if view.id not in self.lines:
                line = self.lines[view.id] = RunLine(self._context, self)
                line.hideAsked.connect(self._on_hide)
                line.steered.connect(self.reload)
                self._column.insertWidget(place, line)
            self.lines[view.id].show_run(view)
        left = len(wanted) - len(shown)
        self.more.setText(f"and {left:,} more on the Train page" if left else "")
        self.more.setVisible(bool(left))
        self.setVisible(bool(shown))

    def _on_news(self) -> None:
        above = self.parentWidget()
        if above is not None and above.isVisible():
            self.reload()

    def _tell_of_ended(self, mine: Sequence[RunView]) -> None:
        now = {view.id for view in mine if not (view.state.is_final and view.ingested)}
        gone, self._unfinished = self._unfinished - now, now
        if gone:
            self.ended.emit()

    def _on_hide(self, run: int, attempt: int) -> None:
        self._hidden.add((run, attempt))
        self.reload()


def unfinished(views: Sequence[RunView]) -> list[RunView]:
    """Those under way or waiting first, then those that ended before their end after the last one that did not."""
    done = max((view.created_at for view in views if view.state is RunState.FINISHED), default="")
    alive = [view for view in views if not view.state.is_final and view.idle_end is None]
    broken = [
        view
        for view in views
        if view.state.is_final and view.state is not RunState.FINISHED and view.created_at > done and not view.resident
    ]
    order = {RunState.QUEUED: 1, RunState.PAUSED: 2}
    return sorted(alive, key=lambda view: (order.get(view.state, 0), view.place)) + broken


class RunLine(QWidget):
    """One run: name, how it stands, progress, and what can be done with it.

    Signals:
        hideAsked(int, int): do not show this run's attempt any more.
        steered(): something was asked of the run.
    """

    hideAsked = Signal(int, int)
    steered = Signal()

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.view: RunView | None = None
        self.name, self.state = QLabel("", self), CutLabel("", self)
        self.name.setMaximumWidth(context.theme.px(300))
        self.bar = QProgressBar(self)
        self.bar.setFixedWidth(context.theme.px(220))
        self.bar.setAccessibleName("Progress of the run")
        jobs = context.jobs
        self.cancel = button("Cancel", partial(self._steer, jobs.cancel, "Cancelling"), parent=self)
        self.cancel.setToolTip("Stops within a few seconds; what is written stays, and Resume goes on from there")
        self.resume = button("Resume", partial(self._steer, jobs.resume, "Resuming"), parent=self)
        self.resume.setToolTip("Goes on where it stopped: nothing is asked twice")
        self.hide_ = button("Hide", self._on_hide, tip="The run stays on the Train page", parent=self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(10)
        row.addWidget(self.name)
        row.addWidget(self.state, 1)
        for widget in (self.bar, self.cancel, self.resume, self.hide_):
            row.addWidget(widget)

    def show_run(self, view: RunView) -> None:
        """How it stands now."""
        self.view = view
        self.name.setText(view.name)
        self.setAccessibleName(f"Run {view.name}")
        left = f" About {duration(view.eta)} left." if view.state is RunState.RUNNING and view.eta is not None else ""
        self.state.setText(sentence(view) + left)
        set_property(self.state, "role", "error" if view.state in TROUBLE else "caption")
        counts = f"{view.done:,} / {view.total:,}" if view.total else ""
        self.bar.setVisible(not view.state.is_final)
        self.bar.setRange(0, view.total if view.total or view.state is RunState.QUEUED else 0)
        self.bar.setMaximum(max(self.bar.maximum(), 1 if view.state in (RunState.QUEUED, RunState.PAUSED) else 0))
        self.bar.setValue(view.done)
        self.bar.setFormat(counts)
        _offer(self.cancel, view.can_cancel, view.asked != "cancel")
        _offer(self.resume, view.can_resume, True)
        _offer(self.hide_, view.state.is_final, True)

    def _steer(self, verb: Callable[[int], None], said: str) -> None:
        view = self.view
        if view is None:
            return
        self._context.say(f"{said} {view.name} …")
        for each in (self.cancel, self.resume):
            each.setEnabled(False)  # until the next news
        self._context.background.call(self, partial(verb, view.id), lambda _none: self.steered.emit(), self._on_failed)

    def _on_failed(self, error: Exception) -> None:
        self._context.fail(error)
        self.steered.emit()

    def _on_hide(self) -> None:
        if self.view is not None:
            self.hideAsked.emit(self.view.id, self.view.attempts)


def _offer(it: QPushButton, there: bool, on: bool) -> None:
    it.setVisible(there)
    it.setEnabled(on)
