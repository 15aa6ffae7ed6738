"""One strategy on the Play page: its text as it comes, its tree, its budget, and what the user would see."""

from __future__ import annotations

from functools import partial

import numpy as np
from PySide6.QtCore import QElapsedTimer, QEvent, Qt, QTimer
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSplitter, QVBoxLayout, QWidget

from studio.store import trace_tree
from studio.store.trace_tree import TraceTree
from studio.ui.action import Page
from studio.ui.context import Context
from studio.ui.dialogs import set_role
from studio.ui.inspect.budget_bar import BudgetBar, ended_words
from studio.ui.inspect.cursor import Cursor, Position
from studio.ui.inspect.heat import Heat
from studio.ui.inspect.opened import Opened
from studio.ui.inspect.structure import LineKind
from studio.ui.inspect.transcript import Transcript
from studio.ui.inspect.tree_view import TreeView
from studio.ui.play.ledger import seconds_text
from studio.ui.play.live import Live
from studio.ui.play.outcome import Judged, Outcome, judge
from studio.ui.play.values import RECORDED, Entrant, Play
from studio.ui.widgets.parts import Quiet, heading, plural
from studio.ui.widgets.problem_view import ProblemView
from trainer.contract.events import Grew, Wrote
from trainer.contract.records import BlockKind
from trainer.reasoning.response import read_response

GROW_MS = 120  # between two drawings of a tree that grows
SEEN = 132  # greatest height of what the user sees at 100 %; more scrolls
LATE = 1.0  # seconds
AMPLE = 100_000  # pixels, more than there are: a splitter shares by proportion
JUDGE_MS = 400  # between two looks of the exact checks at a text that grows
SIGNS = {1: "✓ right", 0: "✗ wrong", None: ""}


class Lane(QFrame):
    """Shows one entrant from the ask to its answer, then another one: `begin` is far cheaper than a new lane."""

    def __init__(self, context: Context, entrant: Entrant, play: Play, policy: str, *, alone: bool) -> None:
        super().__init__()
        self._context = context
        self.setProperty("card", True)
        self.title, self.state = heading(""), Quiet()
        self.budget = BudgetBar(context.theme)
        self.text = Transcript(context.maths, context.theme)
        self.answer = ProblemView(context.maths, context.theme, captions=("What the user sees", "Final"), tallest=SEEN)
        self.grade, self.verdict, self.why = QLabel(), Quiet(), Quiet()
        self.tree = TreeView(context.theme)
        self.place = Cursor(self)
        self.growth = QTimer(self, singleShot=True, interval=GROW_MS)
        self.growth.timeout.connect(self.show_growth)
        self.column, self.head = QVBoxLayout(self), QHBoxLayout()
        self._split = QSplitter()
        self._shared: tuple[bool, bool] | None = None
        self._since_judged, self._since_begun = QElapsedTimer(), QElapsedTimer()
        self._lay_out()
        self.place.moved.connect(self._on_moved)
        self.text.stepActivated.connect(self.place.go_step)
        self.text.pointActivated.connect(self.place.go_point)
        self.tree.nodeOpened.connect(self._open)
        context.theme.switched.connect(self._fit)
        self.begin(entrant, play, policy, alone=alone)

    def begin(self, entrant: Entrant, play: Play, policy: str, *, alone: bool) -> None:
        """Show this entrant, of whom nothing has come yet; `alone`: no lane stands beside it."""
        self.entrant, self.play = entrant, play
        self.live = Live(
            play.problem, play.reference, policy, entrant.title, play.budgets.grant, play.begun, play.later(entrant)
        )
        self.outcome: Outcome | None = None
        self.judged: Judged | None = None
        self._judging: Live | None = None
        self._since_judged.start()
        self._since_begun.start()
        self.waited = 0.0  # seconds until something came
        self.growth.stop()
        self.setAccessibleName(entrant.title)
        self.title.setText(entrant.title if play.begun is None else f"{entrant.title} · from step {play.begun.steps}")
        self.tree.setAccessibleName(f"Tree of {entrant.title}")
        self.text.setAccessibleName(f"Text of {entrant.title}")
        for words in (self.grade, self.verdict, self.why):
            words.clear()
        set_role(self.grade, "caption")
        self.why.hide()
        self.text.set_trace(None)
        self.answer.set_problem("", None)
        self.budget.set_budget(self.live.budget(read_response("")))
        self.tree.show_tree(None)
        self._show_tree(entrant.has_tree)
        self.set_alone(alone)
        set_role(self.state, "caption")
        self.say("waits for its turn")

    # -- what comes ---------------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """How it stands."""
        self.state.setText(text)

    def ask(self) -> None:
        """It is its turn now."""
        self._since_begun.start()
        self.say("asked")

    def take(self, events: list[Wrote | Grew]) -> None:
        """Something was written, or the tree has grown; painted once for all of them."""
        if not self.live.tokens:
            self.waited = self._since_begun.elapsed() / 1e3
        for event in events:
            self.live.take(event)
        is_first = self.text.opened is None
        self._show(self.live.opened())
        if is_first:
            self.text.viewport().repaint()  # now: a window gathers what is to be painted for 5 ms
        if any(isinstance(event, Grew) for event in events) and not self.growth.isActive():
            self.growth.start()
        self._say_phase()
        tried = f" · {plural(len(self.live.nodes) - 1, 'step')} tried" if len(self.live.nodes) > 1 else ""
        traces = f"trace {self._number()} of {self.live.traces} · " if self.live.traces > 1 else ""
        self.say(f"{traces}{plural(self.live.tokens, 'token')}{tried}")
        if self._since_judged.elapsed() > JUDGE_MS:
            self._judge()

    def show_growth(self) -> None:
        """Draw the tree as it is now, in a turn of its own."""
        if self.outcome is None:
            self._grow(self.live.tree())

    def end(self, outcome: Outcome) -> None:
        """It has its answer."""
        self.outcome = outcome
        answered = outcome.answered
        if outcome.opened is not None:
            self._show(outcome.opened)
            self.text.set_marks(() if outcome.judged is None else _places(outcome.judged))
        if outcome.tree is not None:
            branches = bool(np.ptp(outcome.tree.tree.row))
            self._show_tree(self.entrant.has_tree or (self.entrant is RECORDED and branches))
            self._grow(outcome.tree)
        self.judged = outcome.judged
        cached = " · from the cache" if answered.cached else ""
        ended = "" if outcome.opened is None else ended_words(outcome.opened.conversation.budget.ended)
        said = (plural(answered.tokens, "token"), seconds_text(answered.seconds) + self._late(), ended)
        self.say(outcome.state or " · ".join(part for part in said if part) + cached)
        self.answer.set_problem(self.said, answered.answer)
        self.grade.setText(SIGNS[answered.outcome] if answered.answer is not None else "no answer")
        set_role(self.grade, {1: "good", 0: "error", None: "caption"}[answered.outcome])
        self.verdict.setText(outcome.verdict or ("" if self.judged is None else f"Checks: {self.judged.words}"))
        votes = answered.why[:4] if self.entrant.has_tree or self.entrant.routed else ()
        self.why.setText("\n".join([*votes, *([answered.marked] if answered.marked else [])]))
        self.why.setVisible(bool(self.why.text()))

    def fail(self, why: str) -> None:
        """It has none."""
        self.say(why)
        set_role(self.state, "error")
        self.grade.clear()

    def stop(self) -> None:
        """It was cancelled; nothing of it is kept."""
        tokens = self.live.tokens
        self.say(f"cancelled after {plural(tokens, 'token')}; nothing is kept" if tokens else "cancelled")
        self.grade.clear()

    @property
    def said(self) -> str:
        """What the user sees, as text; empty before there is an answer.

        A single trace that names no answer says what it says all the same; of a search that found none nothing is said.
        """
        if self.outcome is None:
            return ""
        answered, opened = self.outcome.answered, self.outcome.opened
        if not answered.text and opened is not None and not self.entrant.has_tree and not self.entrant.routed:
            return read_response(opened.trace.text).visible.of(opened.trace.text).strip()
        return answered.text or answered.answer or ""

    # -- what a person does -------------------------------------------------------------------------------------------

    def set_alone(self, on: bool) -> None:
        """Whether no lane stands beside it: then what the user sees stands beside the text, else below."""
        self._split.setOrientation(Qt.Orientation.Horizontal if on else Qt.Orientation.Vertical)
        self._share_room()

    def set_heat(self, on: bool) -> None:
        """Colour tokens by how unlikely they were."""
        self.text.set_heat(Heat.LOGPROB if on else Heat.NONE)

    def set_folded(self, on: bool) -> None:
        """Fold the thinking, or unfold it."""
        opened = self.text.opened
        if opened is None:
            return
        shape = opened.structure
        for line, (kind, block) in enumerate(zip(shape.kind.tolist(), shape.block.tolist(), strict=True)):
            thinks = kind == LineKind.BLOCK and shape.blocks[block].kind is BlockKind.THINKING
            if thinks and self.text.is_folded(line) is not on:
                self.text.toggle(line)

    # -- parts --------------------------------------------------------------------------------------------------------

    def _number(self) -> int:
        watched = self.live.watched
        traces = self.live.transcript.traces
        return next((number for number, each in traces.items() if each is watched), 0) + 1

    def _show(self, opened: Opened) -> None:
        at_end = self.text.is_at_end  # then it stays so
        before = self.text.opened
        longer = before is not None and opened.trace.text.startswith(before.trace.text[:64])
        self.text.set_trace(opened, keep=longer)
        self.place.grow(opened.structure, opened.token_starts) if longer else self.place.open(
            opened.structure, opened.token_starts
        )
        if at_end and self.outcome is None:
            self.text.to_end()
        self.budget.set_budget(opened.conversation.budget)

    def _grow(self, made: TraceTree | None) -> None:
        if made is not None:
            self.tree.show_tree(made, keep=self.tree.isVisible() and len(self.live.nodes) > 2)

    def _say_phase(self) -> None:
        """Whether it thinks or answers, while it writes."""
        watched = self.live.watched
        part = "" if watched is None else watched.part
        self.grade.setText({"thinking": "thinks …", "answer": "answers …"}.get(part, "tries …"))
        set_role(self.grade, "caption")

    def _late(self) -> str:
        """How long nothing came, where that was most of the time: a worker had to start, or to load its models."""
        return f", {seconds_text(self.waited)} of them before the first token" if self.waited > LATE else ""

    def _show_tree(self, on: bool) -> None:
        self.tree.setVisible(on)
        self._share_room()

    def _share_room(self) -> None:
        """Half to the text; all that the answer below it does not need where no tree wants the rest."""
        now = (self._split.orientation() == Qt.Orientation.Horizontal, self.tree.isVisibleTo(self))
        if now != self._shared:
            self._shared = now
            self._split.setSizes([AMPLE, AMPLE if any(now) else 1])

    def _judge(self) -> None:
        """Have the exact checks look at what stands there now, off this thread."""
        if self._judging is self.live or self.outcome is not None:
            return
        self._judging = self.live
        self._since_judged.start()
        text, problem = self.live.text, self.play.problem
        look = partial(judge, text, (), problem, grows=True)
        self._context.background.call(self, look, partial(self._on_judged, self.live))
        response = read_response(text)
        self.answer.set_problem(response.visible.of(text).strip(), response.answer)

    def _on_judged(self, live: Live, judged: Judged) -> None:
        if live is not self.live:
            return  # another play has begun in this lane
        self._judging = None
        if self.outcome is None:
            self.judged = judged
            self.verdict.setText(f"Checks so far: {judged.words}")

    def _open(self, node: int) -> None:
        """Show the trace of a node in Inspect, at its step."""
        made = None if self.outcome is None else self.outcome.tree
        if made is None or node <= 0 or (branch := made.branch(node)) is None:
            return
        self._context.background.read(
            self, lambda c: trace_tree.step_of(c, made, node),
            lambda step: self._context.open_trace(Page.INSPECT, branch.trace_id, step),
        )  # fmt: skip

    def _on_moved(self, position: Position) -> None:
        self.text.set_position(position)

    def _fit(self) -> None:
        """Lengths in the present size of text."""
        self.text.setMinimumHeight(self._context.theme.px(104))
        self.tree.setMinimumHeight(self._context.theme.px(84))

    def _lay_out(self) -> None:
        self._fit()
        self.head.addWidget(self.title)
        self.head.addWidget(self.grade)
        self.head.addStretch(1)
        side = _Below()
        below = QVBoxLayout(side)
        below.setContentsMargins(0, 0, 0, 0)
        below.setSpacing(6)
        for widget in (self.answer, self.verdict, self.why):
            below.addWidget(widget)
        below.addWidget(self.tree, 1)
        below.addStretch()
        self._split.setChildrenCollapsible(False)
        self._split.addWidget(self.text)
        self._split.addWidget(side)
        self._split.setStretchFactor(0, 1)
        self._split.setStretchFactor(1, 1)
        column = self.column
        column.setContentsMargins(12, 10, 12, 10)
        column.setSpacing(6)
        column.addLayout(self.head)
        column.addWidget(self.state)
        column.addWidget(self.budget)
        column.addWidget(self._split, 1)


class _Below(QWidget):
    """What stands below the text, as high as its words need at this width: no splitter asks for that."""

    def event(self, event: QEvent) -> bool:
        """Its words or its width are others now."""
        done = super().event(event)
        layout = self.layout()
        if event.type() in (QEvent.Type.LayoutRequest, QEvent.Type.Resize) and layout is not None:
            least = layout.minimumHeightForWidth(self.width())
            if least != self.minimumHeight():
                self.setMinimumHeight(least)
        return done


def _places(judged: Judged) -> tuple[tuple[int, int], ...]:
    return tuple((finding.start, finding.end) for finding in judged.findings if finding.end > finding.start)
