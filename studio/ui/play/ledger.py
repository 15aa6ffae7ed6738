"""The ledger: what every strategy of this session cost, which model answered and why."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent, QKeySequence
from PySide6.QtWidgets import QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from studio.jobs.asking import Answered
from studio.ui.dialogs import plain_tip
from studio.ui.play.outcome import Outcome
from studio.ui.play.values import Entrant, Play
from studio.ui.widgets.parts import duration
from studio.ui.widgets.tables import copy_lines, dress

COLUMNS = (
    "Strategy", "Answer", "Right", "Thinking", "Said", "Drawn", "Read", "PRM calls", "Time", "Cost", "Cache", "Model",
    "Why", "Problem",
)  # fmt: skip
LEFT_SIDE = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
RIGHT_SIDE = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
RIGHT = {1: "✓", 0: "✗", None: ""}
TIPS = {
    "Thinking": "Tokens of thinking of the trace that is shown",
    "Said": "Tokens of its answer",
    "Drawn": "Tokens that were drawn for all that was tried, kept or not",
    "Read": "Tokens that the policy read",
    "PRM calls": "Prefixes that the PRM scored",
    "Time": "From asking to the answer; the first one waits until a worker has loaded the models",
}
MINUTES = 120.0  # seconds from which a span is told in minutes
NUMBERS = frozenset({"Thinking", "Said", "Drawn", "Read", "PRM calls", "Time", "Cost"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One ask that came to its end."""

    play: Play
    entrant: Entrant
    outcome: Outcome

    @property
    def answered(self) -> Answered:
        """What came of it."""
        return self.outcome.answered

    def cells(self) -> dict[str, str]:
        """By column."""
        one, details, opened = self.answered, self.answered.details or {}, self.outcome.opened
        shown = None if opened is None else opened.conversation.budget
        budget = one.budget or ({} if shown is None else {"thinking": shown.thinking, "answer": shown.answer})
        drawn = f"{one.tokens:,}"
        return {
            "Strategy": self.entrant.title,
            "Answer": one.answer if one.answer is not None else "none",
            "Right": RIGHT[one.outcome],
            "Thinking": _count(budget.get("thinking")),
            "Said": _count(budget.get("answer")),
            "Drawn": drawn,
            "Read": _count(details.get("tokens_read")),
            "PRM calls": _count(details.get("prm_calls")),
            "Time": seconds_text(one.seconds) if one.seconds else "",
            "Cost": f"{one.cost:.4g}" if one.cost else "",
            "Cache": "hit" if one.cached else "",
            "Model": one.model,
            "Why": " · ".join([*one.why[:2], *([one.marked] if one.marked else [])]),
            "Problem": " ".join(self.play.problem.split())[:80],
        }


class Ledger(QTableWidget):
    """The newest first.

    Signals:
        wanted(Entry): show this one again.
    """

    wanted = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(COLUMNS), parent)
        self.entries: list[Entry] = []
        self.setAccessibleName("Ledger of this session")
        for column, name in enumerate(COLUMNS):
            head = QTableWidgetItem(name)
            head.setToolTip(TIPS.get(name, ""))
            head.setTextAlignment(RIGHT_SIDE if name in NUMBERS else LEFT_SIDE)
            self.setHorizontalHeaderItem(column, head)
        dress(self)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.horizontalHeader().setStretchLastSection(True)
        self.activated.connect(lambda index: self.wanted.emit(self.entries[index.row()]))

    @property
    def current(self) -> Entry | None:
        """The chosen one."""
        row = self.currentRow()
        return self.entries[row] if 0 <= row < len(self.entries) else None

    def add(self, entry: Entry) -> None:
        """One more."""
        self.entries.insert(0, entry)
        self.insertRow(0)
        for column, (name, text) in enumerate(entry.cells().items()):
            item = QTableWidgetItem(text)
            if name in NUMBERS:
                item.setTextAlignment(RIGHT_SIDE)
            item.setToolTip(plain_tip(text))
            self.setItem(0, column, item)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Copy takes the whole line, under its heads, as a spreadsheet reads it."""
        if event.matches(QKeySequence.StandardKey.Copy) and self.current is not None:
            copy_lines((COLUMNS, tuple(self.current.cells().values())))
        else:
            super().keyPressEvent(event)

    def row_texts(self, row: int) -> dict[str, str]:
        """What a line says, by column."""
        return self.entries[row].cells()


def seconds_text(seconds: float) -> str:
    """A span that is compared with others: tenths below two minutes."""
    return f"{seconds:.1f} s" if seconds < MINUTES else duration(seconds)


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else ""
