"""The cache of answers: what is kept, how often it helped, and invalidating it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QHBoxLayout,
    QHeaderView,
    QMessageBox,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from studio.ui.evaluate.routing_desk import read_cache
from studio.ui.widgets.parts import Quiet, button, plural, size_text
from studio.ui.widgets.tables import dress
from trainer.contract import kept_answers
from trainer.contract.kept_answers import ModelStatistics

if TYPE_CHECKING:
    from studio.ui.context import Context

HEADS = ("Model", "Answers", "Size", "Lookups", "Hits", "Tokens saved", "Time saved", "Cost saved")
EMPTY = "The cache is empty: routers keep every answer of a model under its exact problem, budgets and seed."
ABOUT = "A hit needs the same problem, model, budgets, temperature and seed; there is no matching by meaning."


class CachePanel(QWidget):
    """A line a model."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._folder = context.workspace.cache / "answers"
        self.found: tuple[ModelStatistics, ...] = ()
        self.box: QMessageBox | None = None
        self.table = QTableWidget(0, len(HEADS), self)
        self.about = Quiet(ABOUT, self)
        self.forget_button = button(
            "Invalidate…", self.forget, tip="Remove the answers of the chosen model", parent=self
        )
        self._lay_out()

    def reload(self) -> None:
        """Look again."""
        self._context.background.call(self, partial(read_cache, self._folder), self._on_read)

    def forget(self) -> None:
        """Ask, then remove the chosen model's answers."""
        row = self.table.currentRow()
        if not 0 <= row < len(self.found):
            self._context.say("the cache is empty" if not self.found else "choose a model of the cache first")
            return
        chosen = self.found[row]
        box = self.box = QMessageBox(self)
        box.setWindowTitle("Invalidate cached answers")
        box.setText(f"Remove {plural(chosen.answers, 'kept answer')} of {chosen.name}?")
        box.setInformativeText("The next question asks the model again. Traces and ledgers stay as they are.")
        yes = box.addButton("Remove them", QMessageBox.ButtonRole.AcceptRole)
        box.addButton("Keep them", QMessageBox.ButtonRole.RejectRole)
        yes.clicked.connect(lambda: self._remove(chosen))
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.open()

    def _remove(self, chosen: ModelStatistics) -> None:
        self._context.background.call(
            self, lambda: kept_answers.remove(self._folder, model=chosen.identity), self._on_removed
        )

    def _on_removed(self, count: int) -> None:
        self._context.say(f"{plural(count, 'answer')} removed from the cache")
        self.reload()

    def _on_read(self, found: tuple[ModelStatistics, ...]) -> None:
        self.found = found
        self.table.setRowCount(len(found))
        for row, each in enumerate(found):
            for column, text in enumerate(_texts(each)):
                item = QTableWidgetItem(text)
                if column:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(row, column, item)
        if found and self.table.currentRow() < 0:
            self.table.setCurrentCell(0, 0)
        self.forget_button.setEnabled(bool(found))
        self.about.setText(ABOUT if found else EMPTY)

    def _lay_out(self) -> None:
        self.table.setHorizontalHeaderLabels(HEADS)
        self.table.setAccessibleName("Cached answers by model")
        dress(self.table)
        for number in range(1, len(HEADS)):
            named = self.table.horizontalHeaderItem(number)
            assert named is not None
            named.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        head = self.table.horizontalHeader()
        head.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        head.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        foot = QHBoxLayout()
        foot.addWidget(self.about, 1)
        foot.addWidget(self.forget_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(8)
        column.addWidget(self.table, 1)
        column.addLayout(foot)


def _texts(each: ModelStatistics) -> tuple[str, ...]:
    counts = each.counts
    lookups = counts.hits + counts.misses
    hits = f"{counts.hits:,} ({counts.hits / lookups:.0%})" if lookups else "0"
    return (
        each.name,
        f"{each.answers:,}",
        size_text(each.bytes),
        f"{lookups:,}",
        hits,
        f"{counts.saved_tokens:,}",
        f"{counts.saved_seconds:.1f} s",
        f"{counts.saved_cost:.4g}",
    )
