"""What goes in, what is left out and why, and what it will take: before Start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPainterPath, QPaintEvent
from PySide6.QtWidgets import QGridLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from studio.jobs.values import Preview
from studio.store.rows import Counts
from studio.ui.widgets.parts import Quiet, duration, heading, plural, size_text
from trainer.contract.records import Split

if TYPE_CHECKING:
    from studio.ui.theme import Theme

PARTS = {
    "prm": ("labels", "facts", "splits", "left out", "unlabelled", "estimate"),
    "orm": ("facts", "splits", "left out", "estimate"),
    "sft": ("facts", "splits", "left out", "estimate"),
    "rl": ("splits", "left out", "estimate"),
    "generate": ("splits", "left out", "estimate"),
    "search": ("splits", "left out", "estimate"),
    "route": ("splits", "left out", "estimate"),
    "autolabel": ("facts", "left out", "estimate"),
    "score": ("left out", "estimate"),
    "monitor": ("left out", "estimate"),
}
_SIGNS = {-1: "− negative", 0: "0 neutral", 1: "+ positive"}


class BalanceBar(QWidget):
    """The share of negative, neutral and positive labels, left to right."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._parts: dict[int, float] = {}
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_counts(self, counts: Counts) -> None:
        """Show the weights of the labels."""
        self._parts = {-1: counts.negative, 0: counts.neutral, 1: counts.positive}
        self.setAccessibleName("Labels: " + ", ".join(f"{_SIGNS[k]} {v:,.0f}" for k, v in self._parts.items()))
        self.update()

    def sizeHint(self) -> QSize:
        """A flat bar."""
        return QSize(200, 12)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Three segments with gaps; a part that exists is never thinner than 3 pixels."""
        total = sum(self._parts.values())
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        outline = QPainterPath()
        outline.addRoundedRect(QRectF(self.rect()), 5, 5)
        painter.setClipPath(outline)
        painter.fillRect(self.rect(), self._theme.colours.q("border"))
        left = 0.0
        for value, weight in self._parts.items():
            if total <= 0 or weight <= 0:
                continue
            width = max(3.0, self.width() * weight / total)
            painter.fillRect(QRectF(left, 0, width - 2, self.height()), self._theme.colours.rating(value))
            left += width


class PreviewPanel(QWidget):
    """Counts, left out, splits, balance and estimate of the run that the form describes."""

    def __init__(self, theme: Theme, recipe: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._recipe = recipe
        self.title = heading("What goes in", self)
        self.busy = Quiet("Counting…", self)
        self.counts = QLabel("", self)
        self.counts.setWordWrap(True)
        self.problems = QLabel("", self)
        self.problems.setWordWrap(True)
        self.problems.setProperty("role", "error")
        self.warnings = QLabel("", self)
        self.warnings.setWordWrap(True)
        self.warnings.setProperty("role", "warning")
        self.balance = BalanceBar(theme, self)
        self.balance_text = Quiet("", self)
        self.splits = _Lines(self)
        self.left_out = _Lines(self)
        self.unlabelled = _Lines(self)
        self.facts = _Lines(self)
        self.estimate = _Lines(self)
        self.basis = Quiet("", self)
        self._parts = {
            "labels": (heading("Labels", self), (self.balance, self.balance_text)),
            "facts": (heading("Of these traces", self), (self.facts,)),
            "splits": (heading("Split by problem", self), (self.splits,)),
            "left out": (heading("Traces left out", self), (self.left_out,)),
            "unlabelled": (heading("Steps without a label", self), (self.unlabelled,)),
            "estimate": (heading("It will take about", self), (self.estimate, self.basis)),
        }
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        for label in (self.title, self.busy, self.counts, self.problems, self.warnings):
            column.addWidget(label)
        for title, widgets in self._parts.values():
            column.addSpacing(10)
            column.addWidget(title)
            for widget in widgets:
                column.addWidget(widget)
        column.addStretch(1)
        self._show_parts(False)

    def show_busy(self) -> None:
        """The counts are being made anew; the old ones stay readable."""
        self.busy.setText("Counting…")
        self.busy.show()

    def show_problem(self, text: str) -> None:
        """There is nothing to count."""
        self.busy.hide()
        self.counts.setText("")
        self.counts.hide()
        self._set_problem(text)
        self._set_warnings(())
        self._show_parts(False)

    def show_preview(self, preview: Preview) -> None:
        """Show the counts."""
        c = preview.counts
        self.busy.hide()
        self._set_problem("\n".join(preview.problems))
        self._set_warnings(preview.warnings)
        self.counts.setText(self._counted(c))
        self.counts.show()
        self.balance.show_counts(c)
        whole = c.labels or 1.0
        parts = ((-1, c.negative), (0, c.neutral), (1, c.positive))
        self.balance_text.setText("   ".join(f"{_SIGNS[k]} {v:,.0f} ({v / whole:.0%})" for k, v in parts))
        noun = "problems" if self._recipe in ("rl", "generate", "search", "route") else "traces"
        self.splits.show_lines({split.value: f"{c.per_split.get(split, 0):,} {noun}" for split in Split})
        self.facts.show_lines({name: f"{number:,}" for name, number in preview.facts.items()})
        self.left_out.show_lines({k: f"{v:,}" for k, v in c.left_out.items() if v} or {"none": ""})
        self.unlabelled.show_lines({k: f"{v:,}" for k, v in c.unlabelled.items() if v} or {"none": ""})
        e = preview.estimate
        self.estimate.show_lines(
            {
                "time": "unknown" if e.seconds is None else duration(e.seconds),
                "memory": "unknown" if e.memory_bytes is None else size_text(e.memory_bytes),
                "disk": "unknown" if e.disk_bytes is None else size_text(e.disk_bytes),
            }
        )
        self._parts["estimate"][0].setText(
            "It will take about" if preview.runs == 1 else f"All {preview.runs} runs will take about"
        )
        self.basis.setText(e.basis)
        self._show_parts(True)

    def _counted(self, c: Counts) -> str:
        if self._recipe == "rl":
            return f"{plural(c.rows, 'problem')} with a reference answer."
        labels = f", {c.labels:,.0f} of them labelled" if self._recipe == "prm" else ""
        more = f", and {plural(c.alternatives, 'rated alternative')}" if c.alternatives else ""
        return f"{plural(c.rows, 'trace')} of {plural(c.problems, 'problem')}, {plural(c.steps, 'step')}{labels}{more}."

    def _set_problem(self, text: str) -> None:
        self.problems.setText(text)
        self.problems.setVisible(bool(text))

    def _set_warnings(self, warnings: tuple[str, ...]) -> None:
        self.warnings.setText("\n".join(f"⚠ {each}" for each in warnings))
        self.warnings.setVisible(bool(warnings))

    def _show_parts(self, on: bool) -> None:
        for name, (title, widgets) in self._parts.items():
            shown = on and name in PARTS[self._recipe] and (name != "facts" or bool(self.facts.lines))
            title.setVisible(shown)
            for widget in widgets:
                widget.setVisible(shown)


class _Lines(QWidget):
    """Names on the left, figures on the right."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.lines: dict[str, str] = {}
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setVerticalSpacing(3)
        self._grid.setColumnStretch(0, 1)

    def show_lines(self, lines: dict[str, str]) -> None:
        """Show these, and no others."""
        if lines == self.lines:
            return
        self.lines = lines
        while (item := self._grid.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.hide()
                old.deleteLater()
        for row, (name, figure) in enumerate(lines.items()):
            left, right = QLabel(name, self), QLabel(figure, self)
            left.setWordWrap(True)
            self._grid.addWidget(left, row, 0)
            self._grid.addWidget(right, row, 1, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop)
