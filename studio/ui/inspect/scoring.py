"""Score this trace: choose a PRM, ask its resident run for the scores of one trace, and say how it goes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from PySide6.QtCore import QObject, QPoint, Qt, QTimer, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QWidget
from sqlalchemy import Connection

from studio.domain import Trace
from studio.jobs.values import Reply, Stage
from studio.store import models
from studio.store.models import StoredModel
from studio.ui.actions import Page
from studio.ui.context import Context

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
    """Asks the resident run of a PRM to score single traces, and tells how that goes.

    Signals:
        told(Scoring): something is new about the scoring of a trace.
    """

    told = Signal(object)
    _replied = Signal(int, str, object)

    def __init__(self, context: Context, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._requests: dict[int, str] = {}  # trace -> request; "" while it is being made
        self._running: dict[int, Scoring] = {}
        self._unwanted: set[int] = set()  # traces whose request was cancelled before it was made
        self._replied.connect(self._on_replied, Qt.ConnectionType.QueuedConnection)

    def ask(self, trace: Trace, anchor: QWidget) -> None:
        """Score a trace with the only PRM, or with the one that is chosen from a menu at the anchor."""
        if trace.id in self._requests:
            return
        self._context.background.read(self, _prms, partial(self._on_models, trace, anchor))

    def start(self, trace: Trace, model: StoredModel) -> None:
        """Ask for the scores of this model on this trace."""
        if trace.id in self._requests:
            return
        self._requests[trace.id] = ""
        self._tell(Scoring(trace.id, f"{model.name}: asking"))
        jobs, tell = self._context.jobs, partial(self._replied.emit, trace.id, model.name)
        done, failed = partial(self._on_asked, trace.id), partial(self._on_failed, trace.id)
        self._context.background.call(self, lambda: jobs.score_trace(model, trace.uid, tell), done, failed)

    def cancel(self, trace_id: int) -> None:
        """Take the request for a trace back."""
        request = self._requests.get(trace_id)
        if request:
            self._context.background.call(self, partial(self._context.jobs.cancel_request, request))
        elif request is not None:
            self._unwanted.add(trace_id)

    def scoring(self, trace_id: int) -> Scoring | None:
        """How the scoring of a trace stands; None when nobody asked, or it is over."""
        return self._running.get(trace_id)

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

    def _on_asked(self, trace_id: int, request: str) -> None:
        if trace_id not in self._requests:
            return  # the answer was faster than this word of the question
        self._requests[trace_id] = request
        if trace_id in self._unwanted:
            self._unwanted.discard(trace_id)
            self.cancel(trace_id)

    def _on_failed(self, trace_id: int, error: Exception) -> None:
        self._tell(Scoring(trace_id, str(error), running=False))
        self._context.fail(error)

    def _on_replied(self, trace_id: int, name: str, reply: Reply) -> None:
        self._tell(Scoring(trace_id, f"{name}: {reply.text}", running=reply.stage is Stage.WAITING))

    def _forget(self, trace_id: int) -> None:
        self._requests.pop(trace_id, None)
        self._unwanted.discard(trace_id)
        self._running.pop(trace_id, None)

    def _tell(self, scoring: Scoring) -> None:
        if scoring.running:
            self._running[scoring.trace_id] = scoring
        else:
            self._forget(scoring.trace_id)
        self.told.emit(scoring)


def _prms(c: Connection) -> tuple[StoredModel, ...]:
    return models.all_models(c, "prm")
