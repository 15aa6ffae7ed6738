"""Write a report: which traces, in which form, what is taken out; with progress and Cancel."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)
from sqlalchemy import Connection

from studio.errors import CancelledError, FindError, StoreError
from studio.exchange.redaction import NOT_LOOKED_FOR, Redaction
from studio.exchange.reporting import ReportForm, Written, write
from studio.store import flags, traces
from studio.store.traces import TraceQuery
from studio.ui.context import Context
from studio.ui.dialogs import set_role
from studio.ui.widgets.parts import GAP, MARGIN, align_labels, button, plural, size_text

FORMS = {
    ReportForm.HTML: "HTML, opens in any browser without a network",
    ReportForm.MARKDOWN: "Markdown",
    ReportForm.JSON_LINES: "JSON Lines",
    ReportForm.INSPECT: "Inspect log (JSON)",
    ReportForm.OTLP: "OpenTelemetry (OTLP JSON)",
}
EVERYTHING = 2**31 - 1


class ReportDialog(QDialog):
    """Reads and writes in a thread; a cancelled report leaves no file.

    Signals:
        written(Written): a report stands.
    """

    written = Signal(object)
    _told = Signal(int)

    def __init__(
        self, context: Context, shown: int, found: Sequence[int], query: TraceQuery, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._context, self._query = context, query
        self._stop = threading.Event()
        self.setWindowTitle("Write a report")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.which, self.form = QComboBox(), QComboBox()
        self.title = QLineEdit("Steplens report")
        self.expressions = QPlainTextEdit()
        self.quotes = QCheckBox("Take out the quotes of flags, wherever they stand")
        self.progress, self.state = QProgressBar(), QLabel()
        self.which.addItem("this trace", (shown,))
        if found:
            self.which.addItem(f"the {plural(len(found), 'trace')} found", tuple(found))
        self.which.addItem("all traces of the list", None)
        for form, words in FORMS.items():
            self.form.addItem(words, form)
        self.go = button("Write…", self._ask, primary=True, parent=self)
        self.cancel = button("Cancel", self._on_cancel, parent=self)
        self._lay_out()
        self._told.connect(self.progress.setValue)

    def write_to(self, path: Path) -> None:
        """Write it now."""
        expressions = [line for line in self.expressions.toPlainText().splitlines() if line.strip()]
        try:
            redaction = Redaction.of(expressions)
        except FindError as error:
            self.state.setText(str(error))
            return
        self._stop = threading.Event()
        self.go.setEnabled(False)
        self.progress.setRange(0, 0)
        self.progress.show()
        self.state.setText("reading …")
        job = partial(
            _write,
            path,
            self.which.currentData(),
            self._query,
            ReportForm(self.form.currentData()),
            self.title.text(),
            redaction,
            self.quotes.isChecked(),
            self._stop,
            self._told.emit,
        )
        self._context.background.read(self, job, self._on_written, self._on_failed)

    def _ask(self) -> None:
        form = ReportForm(self.form.currentData())
        name = str(Path.home() / f"report{form.ending}")
        path, _ = QFileDialog.getSaveFileName(self, "Write a report", name, f"*{form.ending}")
        if path:
            self.write_to(Path(path))

    def _on_cancel(self) -> None:
        if self.go.isEnabled():
            self.reject()
        self._stop.set()

    def _on_written(self, made: Written) -> None:
        self._rest()
        gone = f", {plural(made.taken_out, 'text')} taken out. {NOT_LOOKED_FOR}" if made.taken_out else "."
        self.state.setText(f"{made.path}: {plural(made.traces, 'trace')}, {size_text(made.size)}{gone}")
        self.written.emit(made)

    def _on_failed(self, error: Exception) -> None:
        self._rest()
        if isinstance(error, CancelledError):
            self.state.setText("Stopped; no file was written.")
        elif isinstance(error, FindError | StoreError):
            self.state.setText(str(error))
        else:
            self.state.setText("")
            self._context.fail(error)

    def _rest(self) -> None:
        self.progress.hide()
        self.go.setEnabled(True)

    def _lay_out(self) -> None:
        self.expressions.setPlaceholderText(
            "Regular expressions, one a line. What they match anywhere is gone everywhere."
        )
        self.expressions.setFixedHeight(72)
        for widget, name in (
            (self.which, "Which traces"),
            (self.form, "Form"),
            (self.title, "Title"),
            (self.expressions, "What is taken out"),
        ):
            widget.setAccessibleName(name)
        set_role(self.state, "caption")
        self.state.setWordWrap(True)
        form = QFormLayout()
        form.addRow("Which traces", self.which)
        form.addRow("Form", self.form)
        form.addRow("Title", self.title)
        form.addRow("Take out", self.expressions)
        form.addRow("", self.quotes)
        align_labels(form)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(self.cancel)
        foot.addWidget(self.go)
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(GAP)
        column.addLayout(form)
        column.addWidget(self.progress)
        column.addWidget(self.state)
        column.addLayout(foot)
        self.progress.hide()
        self.setMinimumWidth(self._context.theme.px(560))


def _write(
    path: Path,
    ids: tuple[int, ...] | None,
    query: TraceQuery,
    form: ReportForm,
    title: str,
    redaction: Redaction,
    quotes: bool,
    stop: threading.Event,
    tell: object,
    c: Connection,
) -> Written:
    assert callable(tell)

    def check() -> None:
        if stop.is_set():
            raise CancelledError("the report was stopped")

    wanted = [row.id for row in traces.rows(c, query, limit=EVERYTHING)] if ids is None else list(ids)
    if quotes:
        said = {flag.quote for each in wanted for flag in flags.of_trace(c, each)}
        redaction = Redaction(redaction.expressions, tuple(sorted(said, key=len, reverse=True)))
    return write(c, path, wanted, form, title=title, redaction=redaction, check=check, told=tell)
