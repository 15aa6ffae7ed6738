"""One strategy on the Play page: its text as it comes, its tree, its budget, and what the user would see."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QElapsedTimer, Qt, QTimer
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSplitter, QVBoxLayout, QWidget

from studio.store.trace_tree import TraceTree
from studio.ui.context import Context
from studio.ui.dialogs import set_role
from studio.ui.inspect.budget_bar import BudgetBar
from studio.ui.inspect.cursor import Cursor, Position
from studio.ui.inspect.heat import Heat
from studio.ui.inspect.opened import Opened
from studio.ui.inspect.structure import LineKind
from studio.ui.inspect.transcript import Transcript
from studio.ui.inspect.tree_view import TreeView
from studio.ui.play.live import Live
from studio.ui.play.outcome import Judged, Outcome, judge
from studio.ui.play.values import Entrant, Play
from studio.ui.widgets.parts import Quiet, duration, heading, plural
from studio.ui.widgets.problem_view import ProblemView
from trainer.contract.events import Grew, Wrote
from trainer.contract.records import BlockKind
from trainer.reasoning.response import read_response

GROW_MS = 120  # between two drawings of a tree that grows
JUDGE_MS = 400  # between two looks of the exact checks at a text that grows
SIGNS = {1: "✓ right", 0: "✗ wrong", None: ""}


class Lane(QFrame):
    """Shows one entrant from the ask to its answer."""

    def __init__(self, context: Context, entrant: Entrant, play: Play, policy: str, *, alone: bool) -> None:
        super().__init__()
        self._context = context
        self.entrant, self.play = entrant, play
        self.live = Live(play.problem, play.reference, policy, entrant.title, play.budgets.grant)
        self.outcome: Outcome | None = None
        self.judged: Judged | None = None
        self.setProperty("card", True)
        self.setAccessibleName(entrant.title)
        self.title, self.state = heading(entrant.title), Quiet()
        self.budget = BudgetBar(context.theme)
        self.text = Transcript(context.maths, context.theme)
        self.answer = ProblemView(context.maths, context.theme, captions=("What the user sees", "Final"))
        self.grade, self.verdict, self.why = QLabel(), Quiet(), Quiet()
        self.tree = TreeView(context.theme)
        self.place = Cursor(self)
        self.growth = QTimer(self, singleShot=True, interval=GROW_MS)
        self.growth.timeout.connect(self.show_growth)
        self._judging = False
        self._since_judged = QElapsedTimer()
        self._since_judged.start()
        self._lay_out(alone=alone)
        self.place.moved.connect(self._on_moved)
        self.text.stepActivated.connect(self.place.go_step)
        self.text.pointActivated.connect(self.place.go_point)
        self.say("waits for its turn")

    # -- what comes ---------------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """How it stands."""
        self.state.setText(text)

    def take(self, events: list[Wrote | Grew]) -> None:
        """Something was written, or the tree has grown; painted once for all of them."""
        for event in events:
            self.live.take(event)
        self._show(self.live.opened())
        if any(isinstance(event, Grew) for event in events) and not self.growth.isActive():
            self.growth.start()
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
            self._grow(outcome.tree)
        self.judged = outcome.judged
        cached = " · from the cache" if answered.cached else ""
        self.say(f"{answered.tokens:,} tokens · {duration(answered.seconds)}{cached}")
        self.answer.set_problem(answered.text, answered.answer)
        self.grade.setText(SIGNS[answered.outcome] if answered.answer is not None else "no answer")
        set_role(self.grade, {1: "good", 0: "error", None: "caption"}[answered.outcome])
        self.verdict.setText("" if self.judged is None else f"Checks: {self.judged.words}")
        votes = answered.why[:4] if self.entrant.has_tree or self.entrant.routed else ()
        self.why.setText("\n".join([*votes, *([answered.marked] if answered.marked else [])]))
        self.why.setVisible(bool(self.why.text()))

    def fail(self, why: str) -> None:
        """It has none."""
        self.say(why)
        set_role(self.state, "error")

    # -- what a person does -------------------------------------------------------------------------------------------

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

    def _judge(self) -> None:
        """Have the exact checks look at what stands there now, off this thread."""
        if self._judging or self.outcome is not None:
            return
        self._judging = True
        self._since_judged.start()
        text, problem = self.live.text, self.play.problem
        self._context.background.call(self, partial(judge, text, (), problem), self._on_judged)
        response = read_response(text)
        self.answer.set_problem(response.visible.of(text).strip(), response.answer)

    def _on_judged(self, judged: Judged) -> None:
        self._judging = False
        if self.outcome is None:
            self.judged = judged
            self.verdict.setText(f"Checks so far: {judged.words}")

    def _on_moved(self, position: Position) -> None:
        self.text.set_position(position)

    def _lay_out(self, *, alone: bool) -> None:
        self.text.setMinimumHeight(self._context.theme.px(140))
        self.tree.setMinimumHeight(self._context.theme.px(120))
        if not self.entrant.has_tree:
            self.tree.hide()  # `setVisible(True)` here, without a parent yet, would open a window
        self.tree.setAccessibleName(f"Tree of {self.entrant.title}")
        self.text.setAccessibleName(f"Text of {self.entrant.title}")
        self.why.hide()
        head = QHBoxLayout()
        head.addWidget(self.title)
        head.addWidget(self.grade)
        head.addStretch(1)
        side = QWidget()
        below = QVBoxLayout(side)
        below.setContentsMargins(0, 0, 0, 0)
        below.setSpacing(6)
        for widget in (self.answer, self.verdict, self.why):
            below.addWidget(widget)
        below.addWidget(self.tree, 1)
        if not self.entrant.has_tree:
            below.addStretch(1)
        split = QSplitter(Qt.Orientation.Horizontal if alone else Qt.Orientation.Vertical)
        split.setChildrenCollapsible(False)
        split.addWidget(self.text)
        split.addWidget(side)
        split.setStretchFactor(0, 1)
        split.setStretchFactor(1, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 10, 12, 10)
        column.setSpacing(6)
        column.addLayout(head)
        column.addWidget(self.state)
        column.addWidget(self.budget)
        column.addWidget(split, 1)


def _places(judged: Judged) -> tuple[tuple[int, int], ...]:
    return tuple((finding.start, finding.end) for finding in judged.findings if finding.end > finding.start)
