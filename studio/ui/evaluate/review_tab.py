"""The review queue: one flag after the other with its evidence, decided by a key, and every decision can be undone."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QLineEdit, QVBoxLayout, QWidget
from sqlalchemy import Connection

from studio.render.prose import visible
from studio.store import flag_words, flags, reviewing
from studio.store.flag_words import Reviewed
from studio.store.flags import Flag, FlagState
from studio.store.reviewing import Case
from studio.ui.actions import Page
from studio.ui.dialogs import set_role
from studio.ui.evaluate.learning import learn
from studio.ui.evaluate.passages import CaseView
from studio.ui.widgets.parts import GAP, EmptyState, button, heading, plural
from trainer.reasoning.safety import CATEGORIES, Category

if TYPE_CHECKING:
    from studio.ui.context import Context

AHEAD = 6  # cases that are read before anybody asks
HELD = 60
LONGEST_PROBLEM = 280
SHOWN = {"Open": FlagState.OPEN, "Unsure": FlagState.UNSURE, "Confirmed": FlagState.CONFIRMED}
SHOWN |= {"Rejected": FlagState.REJECTED}
DECISIONS = {
    "confirm_flag": FlagState.CONFIRMED,
    "reject_flag": FlagState.REJECTED,
    "unsure_flag": FlagState.UNSURE,
}
COMMANDS = (*DECISIONS, "flag_reason", "flag_below", "flag_above", "open_flagged")


@dataclass(frozen=True, slots=True)
class _Queue:
    """Flags to review, and how many there are of each state."""

    found: tuple[Flag, ...]
    tallies: dict[FlagState, int]
    labels: int


class ReviewTab(QWidget):
    """Shows a flag, takes a decision, shows the next.

    A key that comes before the evidence is on screen decides nothing.
    """

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._queue: list[Flag] = []
        self._place = 0
        self._cases: OrderedDict[int, Case] = OrderedDict()
        self._asked: set[int] = set()
        self._labels = 0
        self._saving = 0  # decisions whose commit has not returned
        self._due = False  # the queue is to be read when they have
        self._on = False
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Review queue")
        self.state, self.category = QComboBox(self), QComboBox(self)
        self.counts, self.head, self.about, self.why = (QLabel("", self) for _ in range(4))
        self.said = QLabel("", self)
        self.view = CaseView(context.theme, self)
        self.reason = QLineEdit(self)
        self.teach = button("Learn…", self._on_learn, tip="Teach a classifier what was confirmed", parent=self)
        self._lay_out()
        self._connect()

    @property
    def flag(self) -> Flag | None:
        """The flag in hand."""
        return self._queue[self._place] if 0 <= self._place < len(self._queue) else None

    @property
    def is_shown(self) -> bool:
        """Whether the evidence of the flag in hand is on screen."""
        case, flag = self.view.case, self.flag
        return flag is not None and case is not None and case.flag.id == flag.id and not self.body.isHidden()

    def reload(self) -> None:
        """Read counts, and the queue too unless somebody is in the middle of it."""
        self._context.background.read(self, self._read, self._on_read)

    def enable(self, on: bool) -> None:
        """Whether the keys of the queue mean something now."""
        self._on = on
        for id in COMMANDS:
            self._context.actions.enable(id, on and self.flag is not None)

    def undo(self) -> None:
        """Take back this person's newest decision, and show its flag."""
        me = self._context.annotator.id
        self._context.background.write(self, lambda c: flag_words.undo(c, me), partial(self._on_undone, "took back"))

    def redo(self) -> None:
        """Decide again what was taken back."""
        me = self._context.annotator.id
        self._context.background.write(self, lambda c: flag_words.redo(c, me), partial(self._on_undone, "did again"))

    def decide(self, state: FlagState) -> None:
        """Say it of the flag in hand and show the next."""
        flag = self.flag
        if flag is None or not self.is_shown:
            return
        me, reason = self._context.annotator.id, self.reason.text().strip()
        self._context.background.write(
            self,
            lambda c: flag_words.review(c, flag.id, state, me, reason=reason),
            partial(self._on_decided, flag.id),
            self._on_undecided,
        )
        self._saving += 1
        self.reason.clear()
        self._context.say(f"{state.value}: {flag.category.value}, trace {flag.trace_id}")
        self.go(1)

    def go(self, by: int) -> None:
        """The next or previous flag of the queue; behind its end the queue is read anew."""
        place = self._place + by
        if 0 <= place <= len(self._queue):
            self._place = place
            self._show()
        if place >= len(self._queue):
            self._read_anew()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape leaves the reason."""
        if event.key() == Qt.Key.Key_Escape:
            self.setFocus()
        else:
            super().keyPressEvent(event)

    # -- reading ------------------------------------------------------------------------------------------------------

    def _read(self, c: Connection) -> _Queue:
        found = flags.queue(c, states=(self._state(),), category=self.category.currentData())
        tallies: dict[FlagState, int] = {}
        for (category, state), number in flags.tallies(c).items():
            if self.category.currentData() in (None, category):
                tallies[state] = tallies.get(state, 0) + number
        return _Queue(found, tallies, reviewing.new_labels(c))

    def _state(self) -> FlagState:
        return FlagState(self.state.currentData())

    def _on_read(self, queue: _Queue) -> None:
        self._show_counts(queue)
        in_hand = self.flag
        if in_hand is None:
            self._queue, self._place = list(queue.found), 0
            self._cases.clear()
            self._show()
            return
        known = {flag.id for flag in self._queue}
        self._queue += [flag for flag in queue.found if flag.id not in known]

    def _read_anew(self) -> None:
        self._queue, self._place = [], 0
        self._asked.clear()
        self._due = self._saving > 0
        if self._due:
            self._show()
        else:
            self.reload()

    def _show_counts(self, queue: _Queue) -> None:
        told = [f"{queue.tallies.get(state, 0):,} {state.value}" for state in SHOWN.values()]
        self._labels = queue.labels
        self.counts.setText(" · ".join(told))
        self.teach.setText(f"Learn from {plural(queue.labels, 'new label')}…")
        self.teach.setEnabled(queue.labels > 0)

    def _fetch(self) -> None:
        wanted = [flag.id for flag in self._queue[self._place : self._place + AHEAD]]
        missing = [id for id in wanted if id not in self._cases and id not in self._asked]
        if missing:
            self._asked.update(missing)
            self._context.background.read(self, lambda c: reviewing.cases_of(c, missing), self._on_cases)

    def _on_cases(self, cases: tuple[Case, ...]) -> None:
        for case in cases:
            self._cases[case.flag.id] = case
            self._asked.discard(case.flag.id)
        while len(self._cases) > HELD:
            self._cases.popitem(last=False)
        if not self.is_shown:
            self._show()

    # -- showing ------------------------------------------------------------------------------------------------------

    def _show(self) -> None:
        flag = self.flag
        self.enable(self._on)
        self.empty.setVisible(flag is None)
        self.body.setVisible(flag is not None)
        if flag is None:
            return
        case = self._cases.get(flag.id)
        if case is not None:
            self._show_case(case, flag)
        self._fetch()

    def _show_case(self, case: Case, flag: Flag) -> None:
        self.head.setText(f"{flag.category.value.capitalize()}  {'●' * flag.severity}{'○' * (3 - flag.severity)}")
        self.head.setAccessibleName(f"{flag.category.value}, severity {flag.severity} of 3")
        who = flag.monitor or "a person"
        told = [f"{self._place + 1} of {len(self._queue)}", f"trace {flag.trace_id}", f"{who}, {flag.score:.2f}"]
        told += [case.model] if case.model else []
        self.about.setText(" · ".join(told))
        problem = visible(" ".join(case.problem.split()))
        short = problem[:LONGEST_PROBLEM] + ("…" if len(problem) > LONGEST_PROBLEM else "")
        self.why.setText(f"Why: {visible(flag.why)}\nProblem: {short}" if flag.why else f"Problem: {short}")
        self.head.setToolTip(flag.category.definition)
        reason = f": {visible(flag.reason)}" if flag.reason else ""
        self.said.setText("" if flag.state is FlagState.OPEN else f"{flag.state.value}{reason}")
        self.view.show_case(case)

    # -- doing --------------------------------------------------------------------------------------------------------

    def _on_undecided(self, error: Exception) -> None:
        self._saved()
        self._context.fail(error)

    def _saved(self) -> None:
        self._saving -= 1
        if self._due and not self._saving:
            self._due = False
            self.reload()

    def _on_decided(self, flag_id: int, reviewed: Reviewed) -> None:
        self._saved()
        if reviewed.flag is not None:
            self._queue = [reviewed.flag if flag.id == flag_id else flag for flag in self._queue]

    def _on_undone(self, did: str, reviewed: Reviewed | None) -> None:
        if reviewed is None:
            self._context.say("nothing of yours to take back here" if did == "took back" else "nothing to do again")
            return
        flag = reviewed.flag
        self._context.say(f"{did}: {reviewed.entry}" if flag is None else f"{did}: {flag.category.value}")
        if flag is None:
            return
        ids = [each.id for each in self._queue]
        if flag.id in ids:
            self._place = ids.index(flag.id)
            self._queue[self._place] = flag
        else:
            self._place = min(self._place, len(self._queue))
            self._queue.insert(self._place, flag)
        self._show()

    def _on_open(self) -> None:
        flag = self.flag
        if flag is not None:
            self._context.open_trace(Page.INSPECT, flag.trace_id)

    def _on_learn(self) -> None:
        learn(self._context, self)

    def _on_reason(self) -> None:
        self.reason.setFocus()
        self.reason.selectAll()

    def _connect(self) -> None:
        on = self._context.actions.on
        for id, state in DECISIONS.items():
            on(id, partial(self.decide, state))
        on("flag_reason", self._on_reason)
        on("flag_below", lambda: self.go(1))
        on("flag_above", lambda: self.go(-1))
        on("open_flagged", self._on_open)
        self.reason.returnPressed.connect(self.setFocus)
        for combo in (self.state, self.category):
            combo.currentIndexChanged.connect(lambda _index: self._read_anew())

    def _lay_out(self) -> None:
        for name, state in SHOWN.items():
            self.state.addItem(name, state.value)
        self.category.addItem("All categories", None)
        for category in CATEGORIES:
            self.category.addItem(Category(category).value.capitalize(), category)
        self.state.setAccessibleName("Which flags")
        self.category.setAccessibleName("Category")
        self.counts.setAccessibleName("How many flags")
        top = QHBoxLayout()
        top.setSpacing(GAP)
        for widget, stretch in ((self.state, 0), (self.category, 0), (self.counts, 1), (self.teach, 0)):
            top.addWidget(widget, stretch)
        font = heading("", self, size=1.2).font()
        self.head.setFont(font)
        for label, role in ((self.counts, "quiet"), (self.about, "caption"), (self.why, "quiet"), (self.said, "good")):
            set_role(label, role)
            label.setTextFormat(Qt.TextFormat.PlainText)
        self.why.setWordWrap(True)
        self.body = QWidget(self)
        inside = QVBoxLayout(self.body)
        inside.setContentsMargins(0, 4, 0, 0)
        inside.setSpacing(8)
        line = QHBoxLayout()
        for widget, stretch in ((self.head, 0), (self.said, 0), (self.about, 1)):
            line.addWidget(widget, stretch)
        line.setSpacing(GAP)
        self.about.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        inside.addLayout(line)
        inside.addWidget(self.why)
        inside.addWidget(self.view, 1)
        inside.addLayout(self._buttons())
        self.empty = EmptyState(
            "Nothing to review",
            "Flags that a monitor raised, or that are in the chosen state, come here one after the other.",
            parent=self,
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addLayout(top)
        column.addWidget(self.empty, 1)
        column.addWidget(self.body, 1)
        self.body.hide()

    def _buttons(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(8)
        actions = self._context.actions
        for id, text in (("confirm_flag", "Confirm"), ("reject_flag", "Reject"), ("unsure_flag", "Unsure")):
            row.addWidget(button(f"{text}   {actions.hint(id)}", partial(actions.run, id), parent=self))
        self.reason.setPlaceholderText(f"a reason, if you like   {actions.hint('flag_reason')}")
        self.reason.setAccessibleName("Reason of the next decision")
        row.addWidget(self.reason, 1)
        for id, text in (("undo_verdict", "Undo"), ("flag_above", "Previous"), ("flag_below", "Next")):
            row.addWidget(button(f"{text}   {actions.hint(id)}", partial(actions.run, id), parent=self))
        row.addWidget(button(f"Open trace   {actions.hint('open_flagged')}", self._on_open, parent=self))
        return row
