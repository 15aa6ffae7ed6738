"""The commands of the Play page, as the person at the keyboard gives them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QPoint
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QMenu

from studio.domain import Changes, Project
from studio.store import projects
from studio.ui.actions import Page
from studio.ui.play.contest_dialog import ContestDialog
from studio.ui.play.contest_form import Asked
from studio.ui.play.ledger import Entry

if TYPE_CHECKING:
    from studio.ui.play.page import PlayPage


class PlayCommands(QObject):
    """Registers them; they speak of the current lane."""

    def __init__(self, page: PlayPage) -> None:
        super().__init__(page)
        self._page, self._context = page, page.context
        self.dialog: ContestDialog | None = None
        on = self._context.actions.on
        on("play_ask", page.ask)
        on("play_cancel", page.cancel)
        on("play_again", page.again)
        on("play_next_seed", partial(page.again, 1))
        on("play_problem", page.form.problem.setFocus)
        on("play_next_lane", self._next_lane)
        on("play_go_on", page.go_on)
        on("play_take_away", page.take_away)
        on("play_inspect", self._inspect)
        on("play_label", self._send)
        on("play_copy", self._copy)
        on("play_refill", self._refill)
        on("play_heat", self._heat)
        on("play_fold", self._fold)
        on("play_contest", self._contest)

    def enable(self, *, running: bool, can_ask: bool) -> None:
        """Which can be given now."""
        page, enable = self._page, self._context.actions.enable
        enable("play_ask", not running and can_ask)
        enable("play_cancel", running)
        for id in ("play_again", "play_next_seed"):
            enable(id, not running and page.played is not None)
        for id in ("play_inspect", "play_label"):
            enable(id, self._trace() is not None or bool(page.ledger.entries))
        lane = page.lane
        enable("play_copy", lane is not None and bool(lane.said))
        enable("play_refill", not running and bool(page.ledger.entries))
        enable("play_contest", not running and page.can_contest)
        for id in ("play_next_lane", "play_fold"):
            enable(id, bool(page.columns))
        for id in ("play_go_on", "play_take_away"):
            enable(id, not running and page.recorded is not None)

    def open_entry(self, entry: Entry) -> None:
        """Show an answer of this session again, where it can be read."""
        if (trace := entry.outcome.shown) is None:
            self._context.say("no trace came of it: there is nothing to open")
        else:
            self._context.open_trace(Page.INSPECT, trace)

    def _trace(self) -> int | None:
        lane = self._page.lane
        if lane is not None and lane.outcome is not None:
            return lane.outcome.shown
        entry = self._page.ledger.current
        return None if entry is None else entry.outcome.shown

    def _inspect(self) -> None:
        if (trace := self._trace()) is not None:
            self._context.open_trace(Page.INSPECT, trace)

    def _copy(self) -> None:
        lane = self._page.lane
        if lane is not None and lane.said:
            QGuiApplication.clipboard().setText(lane.said)
            self._context.say(f"the answer of {lane.entrant.title} is copied")

    def _refill(self) -> None:
        ledger = self._page.ledger
        if ledger.entries:
            self._page.refill(ledger.current or ledger.entries[0])

    def _next_lane(self) -> None:
        page = self._page
        page.current = (page.current + 1) % len(page.columns)
        page.columns[page.current].text.setFocus()
        self.enable(running=page.race.is_running, can_ask=not page.missing_words())

    def _heat(self) -> None:
        page = self._page
        page.heat = not page.heat
        self._context.actions.q("play_heat").setChecked(page.heat)
        for lane in page.columns:
            lane.set_heat(page.heat)

    def _fold(self) -> None:
        page = self._page
        page.folded = not page.folded
        self._context.actions.q("play_fold").setChecked(page.folded)
        for lane in page.columns:
            lane.set_folded(page.folded)

    def _contest(self) -> None:
        page, form = self._page, self._page.form
        small, prm = page.chosen(form.policy), page.chosen(form.prm)
        if small is None or prm is None:
            self._context.say("best-of-n needs a policy and a PRM: choose both")
            return
        temperature, seed = form.temperature.number(), form.seed.number()
        self.dialog = ContestDialog(
            self._context,
            Asked(
                small=small.uid, prm=prm.uid, problems=form.examples.graded, budgets=form.budgets(),
                temperature=float(temperature or 0.0), aggregation=str(form.aggregation.currentData()),
                seed=int(seed or 0),
            ),
            page,
        )  # fmt: skip
        self.dialog.show()

    def _send(self) -> None:
        if (trace := self._trace()) is not None:
            self._context.background.read(self, projects.all_projects, partial(self._on_projects, trace))

    def _on_projects(self, trace: int, known: tuple[Project, ...]) -> None:
        if not known:
            self._context.say("there is no project yet: make one on the Data page")
            return
        menu = QMenu("Send to the project", self._page)
        menu.setAccessibleName("Send to the project")
        menu.addSection("Send to the project")
        menu.aboutToHide.connect(menu.deleteLater)
        for project in known:
            menu.addAction(project.name).triggered.connect(partial(self.put, project, trace))
        menu.setActiveAction(menu.actions()[1])
        place = self._page.lane or self._page.ledger
        menu.popup(place.mapToGlobal(QPoint(self._context.theme.px(40), self._context.theme.px(40))))

    def put(self, project: Project, trace: int, _checked: bool = False) -> None:
        """Put the trace into the project, and show it there."""

        def done(_changes: Changes) -> None:
            self._context.settings.update(last_project=project.id)
            self._context.open_trace(Page.LABEL, trace)

        self._context.background.write(self, lambda c: projects.put_traces(c, project.id, (trace,)), done)
