"""The commands of the Inspect page that move the cursor, play, and change what is shown."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject

from studio.ui.actions import Page
from studio.ui.inspect.brush_area import over_map, over_scrubber, over_strip, over_timeline, over_tokens
from studio.ui.inspect.brush_bar import COMMANDS as STRETCHES
from studio.ui.inspect.diff_dialog import DiffDialog
from studio.ui.inspect.failures_commands import FailureCommands
from studio.ui.inspect.find_panel import FindPanel
from studio.ui.inspect.heat import Heat
from studio.ui.inspect.opened import LOW, Opened
from studio.ui.inspect.reason_commands import ReasonCommands
from studio.ui.inspect.report_dialog import ReportDialog
from studio.ui.inspect.sql_dialog import SqlDialog
from studio.ui.inspect.step_commands import StepCommands
from studio.ui.inspect.tree_dialog import TreeDialog
from trainer.reasoning.behaviour import backtracking_in

if TYPE_CHECKING:
    from studio.ui.inspect.page import InspectPage

COMMANDS = (
    "step_below",
    "step_above",
    "next_hit",
    "previous_hit",
    "score_this",
    "label_this",
    "copy_latex",
    "replay_play",
    "replay_faster",
    "replay_slower",
    "next_token",
    "previous_token",
    "next_low",
    "next_flag",
    "next_branch",
    "next_backtrack",
    "as_user",
    "heat_logprob",
    "heat_entropy",
)
NO_TOKENS = "this trace has no token values: its source did not say how likely each token was"


class InspectCommands(QObject):
    """Registers its commands with `context.actions`; they speak of the trace that is shown."""

    def __init__(self, page: InspectPage) -> None:
        super().__init__(page)
        self._page, self._context = page, page.context
        on, player = self._context.actions.on, page.player
        on("step_below", lambda: self._step(1))
        on("step_above", lambda: self._step(-1))
        on("trace_below", lambda: page.traces.step_by(1))
        on("trace_above", lambda: page.traces.step_by(-1))
        on("next_hit", lambda: self._next_hit(1))
        on("previous_hit", lambda: self._next_hit(-1))
        on("next_low", partial(self._next_where, "low score", lambda o: o.marks.score < LOW))
        on("next_flag", partial(self._next_where, "flag", lambda o: o.marks.flagged))
        on("next_branch", partial(self._next_where, "branch", lambda o: o.marks.branched))
        on("next_backtrack", self._next_backtrack)
        on("replay_play", player.toggle)
        on("replay_faster", lambda: player.change_speed(1))
        on("replay_slower", lambda: player.change_speed(-1))
        on("next_token", lambda: self._token(1))
        on("previous_token", lambda: self._token(-1))
        on("as_user", self._as_user)
        on("heat_logprob", partial(self._heat, Heat.LOGPROB))
        on("heat_entropy", partial(self._heat, Heat.ENTROPY))
        on("label_this", self._label)
        on("inspect_source", self._toggle_source)
        on("copy_latex", lambda: page.steps.copy_text(latex=True))
        on("find_in_traces", self._find)
        on("diff_traces", self._diff)
        on("candidate_tree", self._tree)
        on("write_report", self._report)
        FailureCommands(page)
        on("follow_file", self._follow)
        on("sql_console", self._console)
        self._brush_over(page)
        on("search_traces", self._search)
        self.steps = StepCommands(page)
        self.reason = ReasonCommands(page)
        self.enable()

    def _brush_over(self, page: InspectPage) -> None:
        """Let Shift-drags choose steps wherever the trace is drawn along a line."""
        brush, theme = page.brush, page.context.theme
        over_strip(page.strip.strip, brush, theme)
        over_map(page.map, brush, theme)
        over_tokens(page.lanes.tokens.lane, brush, theme)
        over_timeline(page.lanes.timeline.lane, brush, theme)
        over_scrubber(page.replay.scrubber, brush, theme)

    def _console(self) -> None:
        dialog = SqlDialog(self._context, self._page)
        dialog.stepWanted.connect(partial(self._context.open_trace, Page.INSPECT))
        dialog.show()

    def enable(self) -> None:
        """Enable what the present trace allows."""
        for id in (*COMMANDS, *STRETCHES):
            self._context.actions.enable(id, self._page.shown is not None)
        stored = self._page.shown is not None and self._page.shown.trace.id > 0
        for id in ("label_this", "score_this", "diff_traces", "candidate_tree", "write_report"):
            self._context.actions.enable(id, stored)
        self.steps.enable(stored)
        self.reason.enable(stored)

    def _search(self) -> None:
        self._page.show_list(self._page.traces)
        self._page.traces.search.setFocus()

    def _follow(self) -> None:
        self._page.show_list(self._page.live)
        self._page.live.ask()

    def _step(self, by: int) -> None:
        step = self._page.place.position.step
        self._page.go(0 if step < 0 and by > 0 else max(step, 0) + by)

    def _token(self, by: int) -> None:
        cursor = self._page.place
        if not cursor.tokens:
            self._context.say(NO_TOKENS)
            return
        cursor.go_token(max(cursor.position.token, -1) + by)

    def _next_hit(self, direction: int) -> None:
        opened = self._page.shown
        if opened is None:
            return
        found = _next(opened.marks.hits, self._page.place.position.step, direction)
        if found is None:
            self._context.say("no further low score, disagreement, flag or negative rating in this trace")
        else:
            self._page.go(found)

    def _next_where(self, name: str, where: object) -> None:
        opened = self._page.shown
        if opened is None or not callable(where):
            return
        found = _next(where(opened), self._page.place.position.step, 1)
        if found is None:
            self._context.say(f"no further {name} in this trace")
        else:
            self._page.go(found)

    def _next_backtrack(self) -> None:
        opened = self._page.shown
        if opened is None:
            return
        found = next(_backtracks(opened, self._page.place.position.step + 1), None)
        if found is None:
            self._context.say("nothing turns back from here on")
        else:
            self._page.go(found)

    def _as_user(self) -> None:
        on = not self._page.steps.shown.as_user
        self._page.steps.set_as_user(on)
        self._context.actions.q("as_user").setChecked(on)
        self._context.say("what the user saw: thinking, tools and markup are hidden" if on else "everything is shown")

    def _heat(self, heat: Heat) -> None:
        opened, view = self._page.shown, self._page.steps
        if opened is None:
            return
        tokens = opened.tokens
        if tokens is None:
            self._context.say(NO_TOKENS)
            return
        if (tokens.logprob if heat is Heat.LOGPROB else tokens.entropy) is None:
            self._context.say(f"the source gave no {heat.value} of its tokens")
            return
        wanted = Heat.NONE if view.text.heat is heat else heat
        view.set_heat(wanted)
        self._page.lanes.set_heat(wanted)
        self._context.say("tokens are not coloured" if wanted is Heat.NONE else f"tokens coloured by {heat.value}")

    def _label(self) -> None:
        opened = self._page.shown
        if opened is not None:
            self._context.open_trace(Page.LABEL, opened.trace.id, self._page.place.position.step)

    def _find(self) -> None:
        panel = self._page.show_panel("Find")
        if isinstance(panel, FindPanel):
            panel.form.text.setFocus()
            panel.form.text.selectAll()

    def _diff(self) -> None:
        opened = self._page.shown
        if opened is None:
            return
        dialog = DiffDialog(self._context, opened.trace.id, parent=self._page)
        dialog.stepWanted.connect(partial(self._context.open_trace, Page.INSPECT))
        dialog.show()

    def _tree(self) -> None:
        opened = self._page.shown
        if opened is None:
            return
        dialog = TreeDialog(self._context, opened.trace.id, parent=self._page)
        dialog.stepWanted.connect(partial(self._context.open_trace, Page.INSPECT))
        dialog.show()

    def _report(self) -> None:
        opened = self._page.shown
        panel = self._page.panels["Find"]
        if opened is None or not isinstance(panel, FindPanel):
            return
        found = tuple(row.trace_id for row in panel.model.rows)
        ReportDialog(self._context, opened.trace.id, found, self._page.traces.model.query, self._page).show()

    def _toggle_source(self) -> None:
        page = self._page
        on = not page.steps.shows_source
        page.gate.shut()
        page.steps.set_show_source(on)
        page.problem.set_show_source(on)
        self._context.say("steps as they were written" if on else "steps with their maths drawn")


def _next(where: NDArray[np.bool_], here: int, direction: int) -> int | None:
    """The next step after (or before) `here` for which it holds."""
    places = np.flatnonzero(where)
    if direction > 0:
        after = places[places > here]
        return int(after[0]) if len(after) else None
    before = places[places < here]
    return int(before[-1]) if len(before) else None


def _backtracks(opened: Opened, first: int) -> Iterator[int]:
    """Steps from `first` on that turn back, in order."""
    shape = opened.structure
    for step in range(max(first, 0), shape.steps):
        if backtracking_in(shape.text, int(shape.step_starts[step]), int(shape.step_ends[step])) is not None:
            yield step
