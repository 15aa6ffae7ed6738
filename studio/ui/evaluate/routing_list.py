"""Routes behind a figure: who was asked, why, and the traces of their answers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QListWidget, QListWidgetItem, QSplitter, QVBoxLayout, QWidget

from studio.store import routes
from studio.store.routes import StoredRoute, WholeRoute
from studio.ui.actions import Page
from studio.ui.evaluate.models_behind import MARKS, WORDS
from studio.ui.evaluate.rows_model import TIP, RowsModel
from studio.ui.evaluate.rows_view import Rows
from studio.ui.widgets.parts import Quiet, button, heading, plural
from studio.ui.widgets.tables import dress
from trainer.contract.generated import RouteStep

if TYPE_CHECKING:
    from studio.ui.context import Context

HEADS = ("", "Problem", "Task", "Answered by", "Answer", "Difficulty", "Time", "Cost")
TRACE_ROLE = int(Qt.ItemDataRole.UserRole)


class RoutesModel(RowsModel):
    """Routes as rows."""

    def __init__(self) -> None:
        super().__init__(HEADS, numbers=(6, 7))

    @property
    def routes(self) -> tuple[StoredRoute, ...]:
        """What is shown."""
        return self._rows

    def texts(self, row: StoredRoute) -> tuple[str, ...]:
        """Those of HEADS."""
        return _texts(row)

    def key(self, row: StoredRoute, column: int) -> float | str | None:
        """What can be measured, by its number."""
        numbers = {0: row.outcome, 5: row.difficulty, 6: row.seconds, 7: row.cost}
        return numbers[column] if column in numbers else super().key(row, column)

    def tip(self, row: StoredRoute, column: int) -> str:
        """The whole problem, or what the answer lacks."""
        return row.prompt[:TIP] if column == 1 else row.marked or super().tip(row, column)

    def spoken(self, row: StoredRoute) -> str:
        """Right or wrong, and the problem."""
        return f"{WORDS[None if row.outcome is None else row.outcome == 1]}: {_texts(row)[1]}"


class RoutesPanel(QWidget):
    """A list on the left; of the current route every model that was asked on the right."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._asked, self._tier = 0, ""
        self.whole: WholeRoute | None = None
        self.model = RoutesModel()
        self.count = Quiet("", self)
        self.list = Rows(self)
        self.prompt = Quiet("", self)
        self.steps = QListWidget(self)
        self.open_button = button("Open the trace", self.open_trace, tip="In Inspect", primary=True, parent=self)
        self._lay_out()
        self.list.selectionModel().currentRowChanged.connect(lambda *_: self._read())
        self.list.enterPressed.connect(self.open_trace)
        self.list.doubleClicked.connect(lambda _index: self.open_trace())
        self.steps.itemActivated.connect(lambda _item: self.open_trace())
        self.steps.currentItemChanged.connect(lambda *_: self._on_step())

    def show_routes(self, found: tuple[StoredRoute, ...], tier: str = "") -> None:
        """Show these; of each, the model of this tier first ("" = the one whose answer stands)."""
        self._tier = tier
        self.model.show_rows(found)
        self.count.setText(plural(len(found), "route"))
        self.list.resizeColumnToContents(0)
        self.list.fit()
        if found:
            self.list.selectRow(0)
        self._read()

    def open_trace(self) -> None:
        """Show the chosen model's trace in Inspect."""
        item = self.steps.currentItem()
        trace_id = None if item is None else item.data(TRACE_ROLE)
        if trace_id is not None:
            self._context.open_trace(Page.INSPECT, int(trace_id))
        elif item is not None:
            self._context.say("this model's answer has no trace in this workspace")

    def _read(self) -> None:
        self._asked += 1
        self.whole = None
        row = self.list.currentIndex().row()
        if not 0 <= row < len(self.model.routes):
            self.steps.clear()
            self.prompt.setText("")
            self.open_button.setEnabled(False)
            return
        wanted = self.model.routes[row].id
        self._context.background.read(self, partial(routes.read, route_id=wanted), partial(self._on_read, self._asked))

    def _on_read(self, asked: int, found: WholeRoute) -> None:
        if asked != self._asked:
            return
        self.whole = found
        one = found.route
        self.prompt.setText(f"{one.prompt}\nReference: {one.reference or 'none'}")
        self.steps.clear()
        for place, step in enumerate((*found.asked, *found.audited)):
            words = step_words(step, stands=place == found.answered_by, audited=place >= len(found.asked))
            item = QListWidgetItem(words, self.steps)
            item.setData(TRACE_ROLE, found.trace_ids.get(step.trace))
        tiers = [step.tier for step in (*found.asked, *found.audited)]
        self.steps.setCurrentRow(tiers.index(self._tier) if self._tier in tiers else max(0, found.answered_by))

    def _on_step(self) -> None:
        item = self.steps.currentItem()
        self.open_button.setEnabled(item is not None and item.data(TRACE_ROLE) is not None)

    def _fit(self) -> None:
        """Widths in the present size of text."""
        for column, width in ((0, 34), (2, 80), (3, 170), (4, 90), (5, 82), (6, 70), (7, 70)):
            self.list.setColumnWidth(column, self._context.theme.px(width))
        self.list.fit()

    def _lay_out(self) -> None:
        self.list.show_model(self.model)
        self.list.setAccessibleName("Routes behind the figure")
        dress(self.list)
        self._fit()
        self._context.theme.switched.connect(self._fit)
        self.steps.setAccessibleName("Models that were asked")
        self.steps.setWordWrap(True)
        right = QWidget(self)
        column_ = QVBoxLayout(right)
        column_.setContentsMargins(0, 0, 0, 0)
        column_.setSpacing(8)
        column_.addWidget(self.prompt)
        column_.addWidget(self.steps, 1)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(self.open_button)
        column_.addLayout(foot)
        split = QSplitter(Qt.Orientation.Horizontal, self)
        split.setHandleWidth(10)
        split.setChildrenCollapsible(False)
        split.addWidget(self.list)
        split.addWidget(right)
        split.setSizes([720, 440])
        top = QHBoxLayout()
        top.addWidget(heading("Routes", self))
        top.addWidget(self.count, 1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(10, 8, 10, 8)
        whole.setSpacing(8)
        whole.addLayout(top)
        whole.addWidget(split, 1)


def step_words(step: RouteStep, *, stands: bool, audited: bool) -> str:
    """One model that was asked, in lines."""
    right = None if step.outcome is None else step.outcome == 1
    sure = "" if step.confidence is None else f", P(right) {step.confidence:.2f}"
    spent = step.spent
    cost = f", cost {spent.cost:.4g}" if spent.cost else ""
    kept = ", from the cache" if spent.cached else ""
    head = f"{MARKS[right]} {step.model} ({step.tier}): {step.answer or 'no answer'}{sure}"
    role = "its answer stands" if stands else "audit only" if audited else "its answer does not stand"
    lines = [head, f"{role}; {step.why}", f"{spent.tokens:,} tokens, {spent.seconds:.2f} s{cost}{kept}"]
    return "\n".join([*lines, *([f"⚠ {step.problem}"] if step.problem else [])])


def _texts(one: StoredRoute) -> tuple[str, ...]:
    right = None if one.outcome is None else one.outcome == 1
    signs = "".join(sign for on, sign in ((one.escalated, " ↑"), (one.cached, " ⟲"), (bool(one.marked), " ⚠")) if on)
    difficulty = "" if one.difficulty is None else f"{one.difficulty:.2f}"
    return (
        MARKS[right],
        " ".join(one.prompt[:320].split()),
        one.task,
        f"{one.model or 'nobody'}{signs}",
        " ".join((one.answer or "none").split()),
        f"{difficulty} {one.level}".strip(),
        f"{one.seconds:.2f} s",
        f"{one.cost:.4g}",
    )
