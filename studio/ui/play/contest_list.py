"""The problems behind a point of the comparison, and the way from there to the trace that answered."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from studio.ui.play.contest_store import Line
from studio.ui.widgets.tables import dress

HEADS = ("", "Problem", "Answer", "Reference")
MARKS = {True: "✓", False: "✗", None: "?"}
WORDS = {True: "right", False: "wrong", None: "not decided"}
SHOWN = 160  # characters of a problem


class ProblemList(QTableWidget):
    """The wrong ones first. Signals:

    opened(int): the trace with this number is wanted.
    missing(str): there is no trace to open, and why.
    """

    opened = Signal(int)
    missing = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(HEADS), parent)
        self.lines: tuple[Line, ...] = ()
        self.setAccessibleName("Problems behind the point")
        self.setHorizontalHeaderLabels(HEADS)
        dress(self)
        head = self.horizontalHeader()
        head.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        head.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.cellDoubleClicked.connect(lambda *_: self.open_line())

    def show_lines(self, lines: tuple[Line, ...], of: str) -> None:
        """Show the problems behind a point of this name."""
        self.lines = lines
        self.setAccessibleName(f"Problems behind {of}" if of else "Problems behind a point")
        self.setRowCount(len(lines))
        for row, line in enumerate(lines):
            texts = (MARKS[line.right], line.example.problem, line.answer or "none", line.example.reference)
            for column, text in enumerate(texts):
                item = QTableWidgetItem(" ".join(text.split())[:SHOWN])
                item.setToolTip(WORDS[line.right] if column == 0 else text)
                self.setItem(row, column, item)
        if lines:
            self.setCurrentCell(0, 1)

    def open_line(self) -> None:
        """The trace of the current problem."""
        row = self.currentRow()
        if not 0 <= row < len(self.lines):
            return
        trace = self.lines[row].trace
        if trace is None:
            self.missing.emit("this trace is not in the workspace any more")
        else:
            self.opened.emit(trace)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter opens."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.open_line()
        else:
            super().keyPressEvent(event)
