"""Score this trace: choose a PRM, start a score run on one trace, and say how it goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from PySide6.QtCore import QObject, QPoint, Qt, QTimer, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QWidget
from sqlalchemy import Connection

from studio.domain import Trace
from studio.jobs.values import RunOrder, RunUpdate, RunView
from studio.store import models
from studio.store.models import StoredModel
from studio.store.rows import Selection
from studio.ui.actions import Page
from studio.ui.context import Context
from trainer.contract.records import RunState

NO_PRM = "No PRM here yet: train one on the Train page, or bring one in."


@dataclass(frozen=True, slots=True)
class Scoring:
    """How the scoring of a trace stands, for the line above the strip. `done` and `total` 0 = unknown."""

    trace_id: int
    text: str
    done: int = 0
    total: int = 0
    running: bool = True


class TraceScorer(QObject):
    """Starts score runs for single traces and follows them.

    Signals:
        told(Scoring): something is new about the scoring of a trace.
    """

    told = Signal(object)
    _updated = Signal(object)

    def __init__(self, context: Context, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._runs: dict[int, int] = {}  # run -> trace
        self._stop_listening: Callable[[], None] | None = None
        self._updated.connect(self._on_updated, Qt.ConnectionType.QueuedConnection)

    def ask(self, trace: Trace, anchor: QWidget) -> None:
        """Score a trace with the only PRM, or with the one that is chosen from a menu at the anchor."""
        self._context.background.read(self, _prms, partial(self._on_models, trace, anchor))

    def start(self, trace: Trace, model: StoredModel) -> None:
        """Start a score run with this model on this trace alone."""
        if self._stop_listening is None:
            self._stop_listening = self._context.jobs.subscribe(self._updated.emit)
        order = RunOrder(
            "score",
            {"model": model.uid},
            Selection(traces=(trace.uid,), only_submitted=False, labelled=False),
            name=f"{model.name} on trace {trace.id}",
        )
        self.told.emit(Scoring(trace.id, f"{model.name}: starting"))
        jobs = self._context.jobs
        done, failed = partial(self._on_created, trace.id), partial(self._on_failed, trace.id)
        self._context.background.call(self, lambda: jobs.create(order), done, failed)

    def cancel(self, trace_id: int) -> None:
        """Cancel the scoring of a trace."""
        jobs = self._context.jobs
        for run, of in self._runs.items():
            if of == trace_id:
                self._context.background.call(self, partial(jobs.cancel, run))

    def close(self) -> None:
        """Stop listening."""
        if self._stop_listening is not None:
            self._stop_listening()
            self._stop_listening = None

    def _on_models(self, trace: Trace, anchor: QWidget, prms: tuple[StoredModel, ...]) -> None:
        if not prms:
            self._context.say(NO_PRM)
            self._context.show_page(Page.TRAIN)
        elif len(prms) == 1:
            self.start(trace, prms[0])
        else:
            self._choose(trace, anchor, prms)

    def _choose(self, trace: Trace, anchor: QWidget, prms: tuple[StoredModel, ...]) -> None:
        menu = QMenu(anchor)
        menu.setAccessibleName("Choose a PRM")
        for model in prms:
            auc = model.summary.get("validation_auc")
            action = QAction(model.name + (f" · AUC {auc:.2f}" if auc is not None else ""), menu)
            action.triggered.connect(partial(self._on_chosen, trace, model))
            menu.addAction(action)
        menu.setActiveAction(menu.actions()[0])
        menu.aboutToHide.connect(lambda: QTimer.singleShot(0, menu.deleteLater))
        menu.popup(anchor.mapToGlobal(QPoint(0, anchor.height())))

    def _on_chosen(self, trace: Trace, model: StoredModel, _checked: bool = False) -> None:
        self.start(trace, model)

    def _on_created(self, trace_id: int, view: RunView) -> None:
        self._runs[view.id] = trace_id
        self._tell(view)

    def _on_failed(self, trace_id: int, error: Exception) -> None:
        self.told.emit(Scoring(trace_id, str(error), running=False))
        self._context.fail(error)

    def _on_updated(self, update: RunUpdate) -> None:
        if update.run_id in self._runs:
            self._tell(self._context.jobs.view(update.run_id))

    def _tell(self, view: RunView) -> None:
        trace_id = self._runs[view.id]
        if view.state is RunState.FINISHED and view.ingested:
            del self._runs[view.id]
            self.told.emit(Scoring(trace_id, f"{view.name}: done", running=False))
        elif view.state.is_final and view.state is not RunState.FINISHED:
            del self._runs[view.id]
            words = f"{view.name}: {view.state.value}" + (f": {view.message}" if view.message else "")
            self.told.emit(Scoring(trace_id, words, running=False))
        else:
            phase = "storing the scores" if view.state is RunState.FINISHED else view.phase or view.state.value
            self.told.emit(Scoring(trace_id, f"{view.name}: {phase}", view.done, view.total))


def _prms(c: Connection) -> tuple[StoredModel, ...]:
    return models.all_models(c, "prm")
