"""Before a monitor in the shadow counts: what would change against the one that does."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLabel, QListWidget, QListWidgetItem, QVBoxLayout, QWidget
from sqlalchemy import Connection

from studio.store import monitor_figures
from studio.store.monitor_figures import Comparison
from studio.store.monitors import Monitor
from studio.ui.actions import Page
from studio.ui.widgets.parts import GAP, MARGIN, Quiet, button, heading, plural

if TYPE_CHECKING:
    from studio.ui.context import Context

SHOWN = 500
NONE_BEFORE = "No monitor of this kind counts now: promoting this one takes nothing away."


class CompareDialog(QDialog):
    """Shows the comparison, opens the traces that change, and promotes.

    Signals:
        promoteAsked(int): let this monitor count.
    """

    promoteAsked = Signal(int)

    def __init__(self, context: Context, old: Monitor | None, new: Monitor, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context, self._new = context, new
        self.comparison: Comparison | None = None
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(f"Promote {new.name}")
        self.resize(640, 560)
        self.told, self.figures = QLabel("Comparing…", self), QLabel("", self)
        self.changed = QListWidget(self)
        self.changed.setAccessibleName("Traces whose verdict changes")
        self.yes = button("Promote", self._on_yes, tip="Its word counts from now on", primary=True, parent=self)
        self.no = button("Close", self.reject, parent=self)
        self._lay_out(old, new)
        self.changed.itemActivated.connect(self._on_trace)
        if old is None:
            self._on_compared(None)
        else:
            self.yes.setEnabled(False)
            self._context.background.read(self, lambda c: _compare(c, old.id, new.id), self._on_compared)

    def _on_compared(self, found: Comparison | None) -> None:
        self.comparison = found
        self.yes.setEnabled(True)
        if found is None:
            self.told.setText(NONE_BEFORE)
            return
        verdicts = found.verdicts
        pairs = [f"{count:,} {old.value} → {new.value}" for (old, new), count in verdicts.changed.items()]
        self.told.setText(
            f"On {plural(found.traces, 'trace')} that both have scored, {plural(verdicts.changes, 'verdict')} "
            f"would change{': ' if pairs else ''}{', '.join(pairs)}."
        )
        lines = [
            f"{category.value}: AUROC {_number(old)} → {_number(new)} on {plural(number, 'labelled trace')}"
            for category, (old, new, number) in found.auroc.items()
        ]
        self.figures.setText(
            "\n".join(lines) or "No trace that both scored was reviewed: nothing says which is better."
        )
        for trace_id in found.changed[:SHOWN]:
            item = QListWidgetItem(f"trace {trace_id}", self.changed)
            item.setData(Qt.ItemDataRole.UserRole, trace_id)

    def _on_trace(self, item: QListWidgetItem) -> None:
        self._context.open_trace(Page.INSPECT, int(item.data(Qt.ItemDataRole.UserRole)))

    def _on_yes(self) -> None:
        self.promoteAsked.emit(self._new.id)
        self.accept()

    def _lay_out(self, old: Monitor | None, new: Monitor) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(GAP)
        name = "nothing" if old is None else f"{old.name} ({old.version[:8]})"
        column.addWidget(heading(f"{new.name} ({new.version[:8]}) instead of {name}", self, size=1.15))
        for label in (self.told, self.figures):
            label.setWordWrap(True)
            column.addWidget(label)
        column.addWidget(Quiet("Verdicts that change, under the thresholds in force:", self))
        column.addWidget(self.changed, 1)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(self.no)
        foot.addWidget(self.yes)
        column.addLayout(foot)


def _compare(c: Connection, old: int, new: int) -> Comparison:
    return monitor_figures.compare(c, old, new)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
