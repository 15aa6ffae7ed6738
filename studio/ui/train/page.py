"""The Train page: devices, runs, and one run in detail."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtWidgets import QHBoxLayout, QMenu, QMessageBox, QSplitter, QStackedLayout, QVBoxLayout, QWidget

from studio.domain import Changes, Topic
from studio.jobs.values import RunTopic, RunView
from studio.ui.actions import by_id
from studio.ui.train.compare_actions import COMMANDS, TickedRuns
from studio.ui.train.device_header import DeviceHeader
from studio.ui.train.feed import RunFeed
from studio.ui.train.packages_banner import PackagesBanner
from studio.ui.train.refresh_dialog import RefreshDialog
from studio.ui.train.run_dialog import RunDialog
from studio.ui.train.run_panel import RunPanel
from studio.ui.train.run_table import RunModel, RunTable
from studio.ui.widgets.parts import GAP, MARGIN, EmptyState, button
from trainer.contract.records import RunState

if TYPE_CHECKING:
    from studio.ui.context import Context

_STEERING = ("pause_run", "resume_run", "cancel_run", "run_now", "fetch_run")
_SAID = {
    "pause_run": "Pausing",
    "resume_run": "Resuming",
    "cancel_run": "Cancelling",
    "run_now": "Starting",
    "fetch_run": "Fetching",
}
_CURVES = frozenset({RunTopic.CURVES})


class TrainPage(QWidget):
    """Runs of this workspace: order, watch, steer."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.banner = PackagesBanner(context, self)
        self.devices = DeviceHeader(context, self)
        self.model = RunModel(self)
        self.model.set_palette(self.palette())
        self.table = RunTable(self.model, self)
        self.panel = RunPanel(context, self)
        self.ticked = TickedRuns(context, self.table, self.model, self)
        self.dialog: RunDialog | None = None
        self.refresh: RefreshDialog | None = None
        self._dirty: set[int] = set()
        self._kept: set[int] = set()
        self._lay_out()
        self._register()
        self.table.chosen.connect(self._on_chosen)
        self.table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.table.customContextMenuRequested.connect(self._on_menu)
        self.model.tickedChanged.connect(self._on_ticked)
        self.panel.asked.connect(self._steer)
        self.panel.scoreAsked.connect(self._on_score_with)
        self.panel.alarm.resumeAsked.connect(self.resume_on)
        context.background.changed.connect(self._on_changed)
        self.feed = RunFeed(context.jobs, self)
        self.feed.flushed.connect(self._on_news)
        self._reload()

    def activate(self) -> None:
        """The page is shown: catch up."""
        self._reload()
        self.devices.refresh()
        self._draw()

    def new_run(self, recipe: str = "prm", **given: object) -> RunDialog:
        """Open the form of a new run."""
        dialog = RunDialog(self._context, recipe, devices=self.devices.names(), parent=self, **given)  # type: ignore[arg-type]
        dialog.created.connect(self._on_created)
        dialog.open()
        self.dialog = dialog
        return dialog

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "model"):
            self.model.set_palette(self.palette())
            self._draw()

    def _register(self) -> None:
        actions = self._context.actions
        actions.on("new_run", self.new_run)
        actions.on("score_traces", lambda: self.new_run("score"))
        actions.on("send_contested", self.panel.alarm.send)
        actions.on("resume_on", self.resume_on)
        for id in _STEERING:
            actions.on(id, self._steering(id))

    def _steering(self, id: str) -> Callable[[], None]:
        return lambda: self._steer(id)

    # -- news ---------------------------------------------------------------------------------------------------------

    def _reload(self) -> None:
        views = self._context.jobs.runs()
        self.model.show_runs(views)
        self._stack.setCurrentIndex(1 if views else 0)
        if views and self.table.run_id is None:
            self.table.choose(views[0].id)
        self._enable()

    def _on_changed(self, changes: Changes) -> None:
        if changes.touches(Topic.RUNS, Topic.MODELS):
            self._reload()
            self._update_panel(frozenset({RunTopic.STATE}))

    def _on_news(self, news: dict[int, frozenset[RunTopic]]) -> None:
        self._reload()
        chosen = self.table.run_id
        if chosen is not None and chosen in news:
            self._update_panel(news[chosen])
        self._dirty |= {run for run, topics in news.items() if RunTopic.CURVES in topics}
        if any(RunTopic.STATE in topics for topics in news.values()):
            self.devices.refresh()
        ticked = self.model.ticked()
        if self.isVisible() and self._dirty & {t.run_id for t in ticked}:
            self.panel.draw(ticked, frozenset(self._dirty))
            self._dirty.clear()

    def _update_panel(self, topics: frozenset[RunTopic]) -> None:
        view = self._chosen_view()
        if view is not None:
            self.panel.update_run(view, topics)

    def _draw(self) -> None:
        self._dirty.clear()
        self.panel.draw(self.model.ticked())

    # -- choosing -----------------------------------------------------------------------------------------------------

    def _chosen_view(self) -> RunView | None:
        run = self.table.run_id
        return None if run is None else self.model.view_at(self.model.row_of(run))

    def _on_chosen(self, run_id: int | None) -> None:
        view = self._chosen_view()
        if view is not None and not any(t.run_id == view.id for t in self.model.ticked()):
            blocked = self.model.blockSignals(True)
            for each in self.model.ticked():
                if each.run_id not in self._kept:
                    self.model.tick(each.run_id, False)
            self.model.tick(view.id, True)
            self.model.blockSignals(blocked)
            self.table.viewport().update()
        self.panel.show_run(view, self.model.ticked())
        self.ticked.enable()
        self._enable()

    def _on_ticked(self) -> None:
        self._kept = {t.run_id for t in self.model.ticked()}
        self._draw()

    def _enable(self) -> None:
        view = self._chosen_view()
        actions = self._context.actions
        actions.enable("pause_run", view is not None and view.can_pause)
        actions.enable("resume_run", view is not None and view.can_resume)
        actions.enable("cancel_run", view is not None and view.can_cancel)
        actions.enable("run_now", view is not None and view.can_run_now)
        actions.enable("fetch_run", view is not None and bool(view.elsewhere))
        rl = view is not None and view.recipe == "rl"
        actions.enable("send_contested", rl)
        actions.enable("resume_on", rl and view is not None and view.can_resume)

    # -- doing --------------------------------------------------------------------------------------------------------

    def _steer(self, id: str) -> None:
        view = self._chosen_view()
        if view is None:
            return
        if id == "cancel_run" and view.state is not RunState.QUEUED and view.asked != "cancel":
            self._confirm_cancel(view)
            return
        self._send(id, view)

    def _send(self, id: str, view: RunView) -> None:
        jobs = self._context.jobs
        verb = {
            "pause_run": jobs.pause,
            "resume_run": jobs.resume,
            "cancel_run": jobs.cancel,
            "run_now": jobs.run_now,
            "fetch_run": jobs.fetch,
        }[id]
        said = _SAID[id]
        self._context.say(f"{said} {view.name}…")
        self._context.background.call(self, lambda: verb(view.id), lambda _none: self._after_steering())

    def _after_steering(self) -> None:
        self._reload()
        self._update_panel(frozenset({RunTopic.STATE}))

    def _confirm_cancel(self, view: RunView) -> None:
        box = QMessageBox(self)
        box.setWindowTitle("Cancel run")
        box.setText(f"Cancel {view.name}?")
        box.setInformativeText("Its checkpoints are kept: it can be resumed later. To free the device only, pause it.")
        yes = box.addButton("Cancel run", QMessageBox.ButtonRole.AcceptRole)
        box.addButton("Keep running", QMessageBox.ButtonRole.RejectRole)
        yes.clicked.connect(lambda: self._send("cancel_run", view))
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.open()

    def _on_score_with(self, view: RunView) -> None:
        self.new_run("score", values={"model": view.model_folder or view.name})

    def resume_on(self) -> RefreshDialog | None:
        """Choose the PRM that the chosen run goes on with."""
        view = self._chosen_view()
        if view is None:
            return None
        self.refresh = RefreshDialog(self._context, view, self)
        self.refresh.resumed.connect(self._after_steering)
        self.refresh.trainAsked.connect(lambda: self.new_run("prm"))
        self.refresh.open()
        return self.refresh

    def _on_created(self, view: RunView) -> None:
        self._context.say(f"{view.name} is queued on {view.device}")
        self._reload()
        self.table.choose(view.id)

    def _on_menu(self, at: QPoint) -> None:
        menu = QMenu(self)
        for id in (*_STEERING, "send_contested", "resume_on", *COMMANDS, "score_traces", "new_run"):
            if self._context.actions.is_enabled(id):
                menu.addAction(self._context.actions.q(id))
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(self.table.viewport().mapToGlobal(at))

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.setSpacing(GAP)
        top.addWidget(self.devices, 1)
        top.addWidget(
            button("Score traces…", lambda: self.new_run("score"), tip=by_id("score_traces").tip, parent=self)
        )
        top.addWidget(
            button(
                "New run…",
                self.new_run,
                tip="Train a reward model or a policy, label by machine, score",
                primary=True,
                parent=self,
            )
        )
        split = QSplitter(Qt.Orientation.Vertical, self)
        split.setChildrenCollapsible(False)
        split.setHandleWidth(10)
        split.addWidget(self.table)
        split.addWidget(self.panel)
        split.setStretchFactor(1, 1)
        split.setSizes([190, 560])
        self.empty = EmptyState(
            "No runs yet",
            "Train a PRM on rated steps, teach and improve a policy, label steps by machine. “Stories, "
            "2 minutes” trains a small PRM of our own on the arithmetic stories, on any machine.",
            "New run…",
            self.new_run,
            self,
        )
        place = QWidget(self)
        self._stack = QStackedLayout(place)
        self._stack.addWidget(self.empty)
        self._stack.addWidget(split)
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, GAP, MARGIN, GAP)
        column.setSpacing(GAP)
        column.addWidget(self.banner)
        column.addLayout(top)
        column.addWidget(place, 1)
