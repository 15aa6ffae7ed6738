"""The report of an import, or of its dry run, as something to read, copy and save."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from studio.exchange.report import ImportReport
from studio.ui.widgets.parts import Quiet, button, heading, plural, set_property

if TYPE_CHECKING:
    from studio.ui.context import Context


class ReportView(QWidget):
    """Counts by kind, then every broken row as file:line with what is wrong and what to do."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.report: ImportReport | None = None
        self.verdict = heading("", self, size=1.1)
        self.verdict.setWordWrap(True)
        self.counts = QGridLayout()
        self.counts.setHorizontalSpacing(28)
        self.counts.setVerticalSpacing(4)
        self.errors = QTreeWidget(self)
        self.errors.setHeaderLabels(["Where", "What is wrong", "What to do"])
        self.errors.setAccessibleName("Rows that are not imported")
        self.errors.setRootIsDecorated(False)
        self.errors.setUniformRowHeights(True)
        for number in (1, 2):
            self.errors.header().setSectionResizeMode(number, QHeaderView.ResizeMode.Stretch)
        self.errors.header().setStretchLastSection(False)
        self.errors_title = heading("", self)
        self.more = Quiet("", self)
        copy = button("Copy report", self._on_copy, tip="The whole report as text", parent=self)
        save = button("Save report…", self._on_save, tip="The whole report as a text file", parent=self)
        foot = QHBoxLayout()
        foot.addWidget(self.more, 1)
        foot.addWidget(copy)
        foot.addWidget(save)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(10)
        column.addWidget(self.verdict)
        column.addLayout(self.counts)
        column.addWidget(self.errors_title)
        column.addWidget(self.errors, 1)
        column.addLayout(foot)
        self._spacer = QWidget(self)
        column.insertWidget(4, self._spacer, 1)

    def show_report(self, report: ImportReport) -> None:
        """Show a report."""
        self.report = report
        self.verdict.setText(verdict(report))
        set_property(self.verdict, "role", "error" if report.broken and not report.imported else "")
        self._show_counts(report)
        self.errors.clear()
        for error in report.errors:
            item = QTreeWidgetItem(self.errors, [f"{Path(error.file).name}:{error.line}", error.what, error.remedy])
            item.setToolTip(0, f"{error.file}:{error.line}")
            for column in (1, 2):
                item.setToolTip(column, item.text(column))
        self.errors.setColumnWidth(0, 220)
        any_errors = bool(report.errors)
        self.errors.setVisible(any_errors)
        self.errors_title.setVisible(any_errors)
        self._spacer.setVisible(not any_errors)
        self.errors_title.setText(f"{plural(report.broken, 'broken row')} left out; the others are not touched by it")
        hidden = report.broken - len(report.errors)
        self.more.setText(f"and {plural(hidden, 'more broken row')}" if hidden else "")

    def text(self) -> str:
        """The whole report as text."""
        return "" if self.report is None else "\n".join(self.report.sentences()) + "\n"

    def _show_counts(self, report: ImportReport) -> None:
        while (item := self.counts.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.hide()
                old.deleteLater()
        new = "would be new" if report.dry_run else "new"
        rows = {
            "Rows": f"{report.rows:,} read · {report.imported:,} {new} · {report.known:,} known already "
            f"· {report.broken:,} broken",
            "Problems and traces": f"{plural(report.problems, 'problem')} · {plural(report.traces, 'trace')} {new}",
            "Steps": _counted(report.cut),
            "Ratings": _counted({_RATINGS.get(k, k): report.ratings[k] for k in sorted(report.ratings, key=_rank)}),
            "Finish reasons": _counted(report.finish_reasons),
            "Met on the way": _counted(report.traps),
        }
        for row, (name, text) in enumerate((name, text) for name, text in rows.items() if text):
            self.counts.addWidget(Quiet(name, self), row, 0, Qt.AlignmentFlag.AlignTop)
            value = QLabel(text, self)
            value.setWordWrap(True)
            value.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            self.counts.addWidget(value, row, 1)
        self.counts.setColumnStretch(1, 1)
        self.counts.setColumnMinimumWidth(0, 150)

    def _on_copy(self) -> None:
        from PySide6.QtGui import QGuiApplication

        QGuiApplication.clipboard().setText(self.text())
        self._context.say("Report copied")

    def _on_save(self) -> None:
        chosen, _ = QFileDialog.getSaveFileName(self, "Save the report", "import-report.txt", "Text (*.txt)")
        if not chosen:
            return
        try:
            with open(chosen, "w", encoding="utf-8") as out:
                out.write(self.text())
        except OSError as error:
            self._context.fail(error)


def verdict(report: ImportReport) -> str:
    """The report in one sentence."""
    if not report.rows:
        return "The file has no rows."
    if report.known and not report.imported and not report.broken:
        would = "would be" if report.dry_run else "was"
        return f"Nothing {would} added: all {plural(report.known, 'row')} are known already."
    done = "can be imported" if report.dry_run else "imported"
    said = f"{plural(report.imported, 'row')} {done}" + (
        f" into “{report.project}”" if report.project and not report.dry_run else ""  # another may be typed till then
    )
    if report.known:
        said += f", {report.known:,} known already"
    if report.broken:
        said += f", {plural(report.broken, 'row')} broken"
    return said + "."


_RATINGS = {"-1": "− negative", "0": "0 neutral", "+1": "+ positive", "unrated": "unrated"}


def _rank(name: str) -> int:
    return list(_RATINGS).index(name) if name in _RATINGS else len(_RATINGS)


def _counted(counts: dict[str, int]) -> str:
    return "   ·   ".join(f"{name}: {number:,}" for name, number in counts.items())
