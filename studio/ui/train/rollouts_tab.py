"""Rollouts of an RL run: its traces update by update, with the reward on each step and token, and what-if credit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QLabel, QSplitter, QStackedLayout, QVBoxLayout, QWidget

from studio.jobs.values import RunView
from studio.ui.train.rollouts_bar import UpdateBar
from studio.ui.train.rollouts_credit import (
    SAME,
    TOLD,
    Listing,
    Opened,
    Recounted,
    RunCredit,
    about_trace,
    listing,
    open_update,
    recount,
)
from studio.ui.train.rollouts_form import WIDTH, RolloutForm
from studio.ui.train.rollouts_pins import Pins, Spot
from studio.ui.train.rollouts_step_model import RolloutStepModel
from studio.ui.train.rollouts_step_table import RolloutStepTable
from studio.ui.train.rollouts_trace_model import RolloutModel, RolloutTable
from studio.ui.widgets.parts import EmptyState, Quiet, plural, set_property
from trainer.contract.run_folder import RunFolderError
from trainer.contract.spec import SpecError

if TYPE_CHECKING:
    from studio.ui.context import Context

Changed = dict[str, tuple[float, ...]]


class RolloutsTab(QWidget):
    """Reads, counts and compares in the background; what is on its way is overtaken by what was asked last."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._view: RunView | None = None
        self._credit: RunCredit | None = None
        self._opened: Opened | None = None
        self.shown: Recounted | None = None
        self._changed: Changed = {}
        self._gap: float | None = None
        self._looking = self._reading = self._counting = False
        self._look_again = self._read_again = self._count_again = False
        self.bar = UpdateBar(self)
        self.told = QLabel("", self)
        self.told.setAccessibleName("What the settings change")
        self.told.setWordWrap(True)
        self.note = Quiet("", self)
        self.model = RolloutModel(context.theme, self)
        self.table = RolloutTable(self.model, self)
        self.step_model = RolloutStepModel(self)
        self.steps = RolloutStepTable(context.theme, self.step_model, self)
        self.problem = Quiet("", self)
        self.form = RolloutForm(self)
        self.empty = EmptyState("", "", parent=self)
        self._lay_out()
        self.pins = Pins(context, self)
        self.pins.changed.connect(self._on_pinned)
        context.actions.on("pin_rollout", self.pin)
        context.actions.on("undo_pin", self.pins.undo)
        self._enable()
        self.bar.chosen.connect(lambda _update: self._on_update())
        self.table.selectionModel().currentRowChanged.connect(lambda *_: self._show_steps())
        self.step_model.scoreEdited.connect(self._on_score)
        self.form.changed.connect(self._count)
        self.form.resetAsked.connect(self.reset)
        context.theme.switched.connect(self._on_theme)

    @property
    def changed_scores(self) -> Changed:
        """The scores that were edited, by trace."""
        return dict(self._changed)

    @property
    def busy(self) -> bool:
        """Whether something is on its way."""
        return self._looking or self._reading or self._counting or self.pins.busy

    def pin(self) -> None:
        """Keep the chosen rollout, or let it go when it is pinned."""
        current = self.table.current
        if self._view is not None and self._opened is not None and current is not None:
            spot = Spot(self._view.id, self._opened.batch.update, current.trace.id)
            self.pins.put(spot, on=spot.trace not in self.model.pinned)

    def showEvent(self, event: QShowEvent) -> None:
        """Its commands can be given while it is seen."""
        super().showEvent(event)
        self._enable()

    def hideEvent(self, event: QHideEvent) -> None:
        """Its commands belong to what is seen."""
        super().hideEvent(event)
        self._enable(False)

    def _enable(self, seen: bool = True) -> None:
        actions = self._context.actions
        actions.enable("pin_rollout", seen and self.table.current is not None)
        actions.enable("undo_pin", seen and self.pins.can_undo)

    def _on_pinned(self, trace: str, on: bool) -> None:
        self.model.show_pins(self.model.pinned | {trace} if on else self.model.pinned - {trace})
        self._enable(self.isVisible())

    def show_run(self, view: RunView) -> None:
        """Show a run, or what is new of the shown one."""
        if self._view is None or self._view.id != view.id:
            self._forget()
        self._view = view
        self._look()

    def reset(self) -> None:
        """Back to the run's own settings and scores."""
        if self._credit is None:
            return
        self._changed = {}
        self.form.show_settings(self._credit.settings)
        self._count()

    # -- reading ------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """See which updates there are, in the background."""
        view = self._view
        if view is None:
            return
        if self._looking:
            self._look_again = True
            return
        self._looking = True
        folder = self._folder(view)
        self._context.background.call(
            self,
            lambda: listing(folder),
            lambda found: self._on_listed(view.id, found),
            lambda error: self._on_unlisted(view.id, error),
        )

    def _was_last_look(self, run: int) -> bool:
        """Whether it is the shown run that was looked at; looks again if that was asked for meanwhile."""
        again, self._looking, self._look_again = self._look_again, False, False
        if again:
            self._look()
        return self._view is not None and self._view.id == run

    def _on_unlisted(self, run: int, error: Exception) -> None:
        if self._was_last_look(run):
            self._say_unread(error)

    def _on_listed(self, run: int, found: Listing) -> None:
        view = self._view
        if not self._was_last_look(run) or view is None:
            return
        if self._credit is None:
            self.form.show_settings(found.credit.settings)
        self._credit = found.credit
        if not self.pins.busy:
            self.model.show_pins(found.pinned)
        self.bar.setVisible(bool(found.updates))
        if not found.updates:
            over = view.state.is_final
            self._say_empty(
                "This run kept no rollouts" if over else "No rollouts yet",
                "It ended before its first update, or its folder was cleared. Resume it to write more."
                if over
                else "The policy writes the first traces soon after the start of the run; they appear here by "
                "themselves, with what every step and token was paid.",
            )
            return
        self.bar.show_updates(found.updates, hold=bool(self._changed) or self.steps.is_edited)
        self._read()

    def _on_update(self) -> None:
        self._changed = {}
        self._read()

    def _read(self) -> None:
        """Open the chosen update; at most one file is on its way."""
        view, update = self._view, self.bar.update_number
        if view is None or update is None:
            return
        if self._reading:
            self._read_again = True
            return
        self._reading = True
        folder, known = self._folder(view), self._opened
        self._context.background.call(
            self,
            lambda: open_update(folder, update, known),
            lambda opened: self._on_opened(view.id, opened),
            lambda error: self._on_unread(view.id, error),
        )

    def _on_opened(self, run: int, opened: Opened) -> None:
        if not self._was_last_read(run):
            return
        old = self._opened
        if opened is old and self.shown is not None:
            return
        if opened is not old:
            self._changed = {}
        self._opened, self._gap = opened, None
        self._count()

    def _on_unread(self, run: int, error: Exception) -> None:
        if self._was_last_read(run):
            self._say_unread(error)

    def _say_unread(self, error: Exception) -> None:
        if not isinstance(error, RunFolderError | SpecError):
            self._context.fail(error)
        self._say_empty("These rollouts cannot be read", f"{error}")

    def _was_last_read(self, run: int) -> bool:
        """Whether nothing else was asked for since; if it was, that is read now."""
        again, self._reading, self._read_again = self._read_again, False, False
        stale = self._view is None or self._view.id != run
        if again or stale:
            self._read()
        return not again and not stale

    # -- counting -----------------------------------------------------------------------------------------------------

    def _count(self) -> None:
        """Compute every advantage anew; at most one computation is on its way."""
        opened, credit = self._opened, self._credit
        if opened is None or credit is None:
            return
        if self._counting:
            self._count_again = True
            return
        self._counting = True
        settings, scores, first = self.form.settings(), dict(self._changed), self._gap is None

        def work() -> tuple[Recounted, float | None]:
            found = recount(opened.batch, settings, credit.own_weight, scores)
            own = recount(opened.batch, credit.settings, credit.own_weight, {}) if first else None
            return found, None if own is None else own.gap

        self._context.background.call(
            self, work, lambda found: self._on_counted(opened, *found), lambda error: self._on_not_counted(error)
        )

    def _on_counted(self, opened: Opened, found: Recounted, own_gap: float | None) -> None:
        again, self._counting, self._count_again = self._count_again, False, False
        if opened is not self._opened:
            self._count()
            return
        if own_gap is not None:
            self._gap = own_gap
        self._show(found)
        if again:
            self._count()

    def _on_not_counted(self, error: Exception) -> None:
        self._counting = self._count_again = False
        self._context.fail(error)
        self._say_empty("These rollouts cannot be counted", f"{error}")

    # -- showing ------------------------------------------------------------------------------------------------------

    def _show(self, found: Recounted) -> None:
        fresh = self.shown is None or {t.trace.id for t in self.shown.traces} != {t.trace.id for t in found.traces}
        self.shown = found
        self._stack.setCurrentIndex(1)
        self.model.show_traces(found.traces)
        if fresh:
            self.table.fit()
            self.table.choose(0)
        self._show_steps()
        self._show_words(found)

    def _show_steps(self) -> None:
        current = self.table.current
        peak = 0.0 if self.shown is None or current is None else self.shown.peak_of(current.trace.group)
        self.step_model.show_trace(current, peak)
        self._enable(self.isVisible())
        self.problem.setText("" if current is None else about_trace(current.trace.problem, current.trace.reference))

    def _show_words(self, found: Recounted) -> None:
        assert self._opened is not None
        assert self._credit is not None
        batch = self._opened.batch
        right = sum(one.trace.correct is True for one in found.traces)
        problems = len({one.trace.group for one in found.traces})
        self.bar.about.setText(
            f"of {self.bar.updates[0]:,} to {self.bar.updates[-1]:,} · policy version {batch.policy_version:,} · "
            f"{plural(problems, 'problem')}, {plural(len(found.traces), 'trace')}, {right:,} right"
        )
        self.told.setText(what_changed(found, self._changed, batch_scores(self._opened)))
        set_property(self.told, "role", "warning" if found.turned else "quiet")
        gap = self._gap or 0.0
        why = self._credit.apart or "The run paid by settings that spec.json does not tell."
        self.note.setText(
            f"! Even the run's own settings give advantages up to {gap:.3f} from what it paid. {why}"
            if gap > TOLD
            else ""
        )
        self.note.setVisible(gap > TOLD)

    def _on_score(self, step: int, value: float | None) -> None:
        current = self.table.current
        if current is None or step >= len(current.trace.scores):
            return
        trace = current.trace
        scores = list(self._changed.get(trace.id, trace.scores))
        scores[step] = trace.scores[step] if value is None else value
        if tuple(scores) == trace.scores:
            self._changed.pop(trace.id, None)
        else:
            self._changed[trace.id] = tuple(scores)
        self._count()

    def _on_theme(self) -> None:
        """Other colours and text sizes."""
        self.table.fit()
        self.table.viewport().update()
        self.steps.viewport().update()
        self.form.setMinimumWidth(self._context.theme.px(WIDTH))

    def _say_empty(self, title: str, hint: str) -> None:
        self.shown = None
        self.bar.about.setText("")
        self.empty.title.setText(title)
        self.empty.hint.setText(hint)
        self._stack.setCurrentIndex(0)

    def _forget(self) -> None:
        self._credit = self._opened = self._gap = None
        self._changed = {}
        self.bar.updates, self.bar.follows = (), True
        self.bar.hide()
        self.model.show_pins(frozenset())
        self._say_empty("Reading the rollouts…", "")

    def _folder(self, view: RunView) -> Path:
        return self._context.workspace.path / view.folder

    def _lay_out(self) -> None:
        lower = QWidget(self)
        under = QVBoxLayout(lower)
        under.setContentsMargins(0, 4, 0, 0)
        under.setSpacing(4)
        under.addWidget(self.problem)
        under.addWidget(self.steps, 1)
        middle = QSplitter(Qt.Orientation.Vertical, self)
        middle.setChildrenCollapsible(False)
        middle.addWidget(self.table)
        middle.addWidget(lower)
        middle.setSizes([140, 280])
        middle.setStretchFactor(1, 1)
        body = QSplitter(Qt.Orientation.Horizontal, self)
        body.setChildrenCollapsible(False)
        body.addWidget(middle)
        body.addWidget(self.form)
        body.setStretchFactor(0, 1)
        body.setSizes([900, WIDTH])
        page, place = QWidget(self), QWidget(self)
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        for widget in (self.told, self.note):
            column.addWidget(widget)
        column.addWidget(body, 1)
        self._stack = QStackedLayout(place)
        self._stack.addWidget(self.empty)
        self._stack.addWidget(page)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 8, 0, 0)
        outer.setSpacing(6)
        outer.addWidget(self.bar)
        outer.addWidget(place, 1)


def what_changed(found: Recounted, changed: Changed, stored: Changed) -> str:
    """The sentence above the traces: what the settings and the edited scores do to the update."""
    edits = sum(a != b for id, scores in changed.items() for a, b in zip(scores, stored[id], strict=True))
    lead = f"{plural(edits, 'score')} edited. " if edits else ""
    if found.gap <= 10 * SAME:
        return f"{lead}Every token has the advantage it was paid."
    count = len(found.traces)
    verb = "changes" if found.turned == 1 else "change"
    return f"{lead}{found.turned:,} of {count:,} traces {verb} sign of their mean advantage."


def batch_scores(opened: Opened) -> Changed:
    """The scores that the file holds, by trace."""
    return {trace.id: trace.scores for trace in opened.batch.traces}
