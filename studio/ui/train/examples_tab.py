"""Validation rows as the PRM sees them now: step scores beside what people said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QHeaderView,
    QSplitter,
    QStackedLayout,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from studio.jobs.values import Example
from studio.ui.widgets.parts import EmptyState, Quiet
from studio.ui.widgets.problem_view import ProblemView
from studio.ui.widgets.step_list import StepListView
from studio.ui.widgets.step_model import Faces, StepRow
from trainer.contract.records import Rating

if TYPE_CHECKING:
    from studio.ui.context import Context


def error_of(example: Example) -> float:
    """The largest distance of a score from its target in a row; 0 when nothing is supervised."""
    pairs = zip(example.scores, example.targets, strict=False)
    return max((abs(s - t) for s, t in pairs if s is not None and t is not None), default=0.0)


def step_rows(example: Example) -> list[StepRow]:
    """The steps with the target as a rating; a step that is not supervised has none and stands grey."""
    return [
        StepRow(n, text, rating=_rating(target), score=score, ahead=target is None)
        for n, (text, score, target) in enumerate(zip(example.steps, example.scores, example.targets, strict=True))
    ]


def _rating(target: float | None) -> Rating | None:
    if target is None:
        return None
    return Rating.POSITIVE if target > 0.5 else Rating.NEGATIVE if target < 0.5 else Rating.NEUTRAL


class ExamplesTab(QWidget):
    """Rows on the left (the worst first), the steps of one on the right."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._examples: tuple[Example, ...] = ()
        self.shown: Example | None = None
        self.rows = QTreeWidget(self)
        self.rows.setHeaderLabels(["Off by", "Problem"])
        self.rows.setAccessibleName("Examples, the worst first")
        self.rows.setRootIsDecorated(False)
        self.rows.setUniformRowHeights(True)
        self.rows.header().setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        self.rows.currentItemChanged.connect(lambda item, _old: self._on_row(self.rows.indexOfTopLevelItem(item)))
        self.problem: ProblemView | None = None
        self.steps: StepListView | None = None
        self.caption = Quiet("", self)
        self._right = QWidget(self)
        self._column = QVBoxLayout(self._right)
        self._column.setContentsMargins(12, 0, 0, 0)
        self._column.setSpacing(8)
        split = QSplitter(Qt.Orientation.Horizontal, self)
        split.addWidget(self.rows)
        split.addWidget(self._right)
        split.setStretchFactor(1, 1)
        split.setSizes([320, 760])
        empty = EmptyState("No examples yet", "They come with the first validation of the run.", parent=self)
        place = QWidget(self)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 8, 0, 0)
        outer.addWidget(place)
        self._stack = QStackedLayout(place)
        self._stack.addWidget(empty)
        self._stack.addWidget(split)

    def show_examples(self, examples: tuple[Example, ...]) -> None:
        """Show the newest examples; the chosen row stays chosen."""
        if examples == self._examples:
            return
        chosen = None if self.shown is None else self.shown.row
        self._examples = tuple(sorted(examples, key=lambda e: (-error_of(e), e.row)))
        self._stack.setCurrentIndex(1 if examples else 0)
        self.rows.blockSignals(True)
        self.rows.clear()
        for example in self._examples:
            first = " ".join(example.problem.split())
            item = QTreeWidgetItem(self.rows, [f"{error_of(example):.2f}", first[:200]])
            item.setToolTip(1, first[:500])
        found = next((n for n, e in enumerate(self._examples) if e.row == chosen), 0)
        current = self.rows.topLevelItem(found)
        if current is not None:
            self.rows.setCurrentItem(current)
        self.rows.blockSignals(False)
        self._on_row(found if self._examples else -1)

    def _on_row(self, row: int) -> None:
        self.shown = self._examples[row] if 0 <= row < len(self._examples) else None
        if self.shown is None:
            return
        self._make_reader()
        assert self.problem is not None
        assert self.steps is not None
        self.caption.setText(
            f"Validation at step {self.shown.step:,}. The face is what people said, the bar what the PRM says; "
            "grey steps are not supervised."
        )
        self.problem.set_problem(self.shown.problem, None)
        self.steps.set_steps(step_rows(self.shown))

    def _make_reader(self) -> None:
        """What renders maths is made when there is something to read."""
        if self.steps is not None:
            return
        self.problem = ProblemView(self._context.maths, self._context.theme)
        self.steps = StepListView(self._context.maths, self._context.theme)
        self.steps.setObjectName("exampleSteps")
        self.steps.setAccessibleName("Steps with targets and scores")
        self.steps.set_columns(faces=Faces.ONE, scores=True)
        for widget in (self.caption, self.problem, self.steps):
            self._column.addWidget(widget, 1 if widget is self.steps else 0)
