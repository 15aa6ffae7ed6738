"""The problems behind a figure, their samples, and the way from there to the traces in Inspect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QFont
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QPlainTextEdit,
    QSplitter,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from studio.store.evaluations import Sample
from studio.ui.actions import Page
from studio.ui.dialogs import plain_tip
from studio.ui.evaluate.models_behind import MARKS, WORDS, Behind, Line, LinesModel, Tried, Wanted, graders, kept, short
from studio.ui.evaluate.models_grids import GridsView
from studio.ui.evaluate.rows_view import Rows, SampleRows
from studio.ui.widgets.cut_label import CutLabel
from studio.ui.widgets.parts import Quiet, button, plural, set_property
from studio.ui.widgets.tables import dress
from trainer.contract.specs.evaluate import Suite

if TYPE_CHECKING:
    from studio.ui.context import Context

SAMPLES = ("Sample", "", "Answer", "Strict", "Lenient", "Thinking", "Answered", "Why")
LIST_WIDTHS = {0: 44, 2: 84, 3: 84, 4: 76, 5: 128}  # of columns, pixels at 100 %
SAMPLE_WIDTHS = {0: 72, 1: 32, 3: 56, 4: 70, 5: 82, 6: 88, 7: 160}
NO_TRACE = "This sample has no trace: it was judged on a text that was there, or the run kept none."


class ProblemsPanel(QWidget):
    """A list on the left; of the current problem its text, its samples and, where there are some, its grids."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.behind: Behind | None = None
        self.model = LinesModel()
        self.title, self.count = CutLabel("Problems", self), Quiet("", self)
        self.wanted = QComboBox(self)
        self.list = Rows(self)
        self.text = QPlainTextEdit(self)
        self.grids = GridsView(context.theme, self)
        self.samples = SampleRows(0, len(SAMPLES), self)
        self.why = CutLabel("", self)
        self.open_button = button("Open the trace", self.open_trace, tip="In Inspect", primary=True, parent=self)
        self._lay_out()
        self.wanted.currentIndexChanged.connect(lambda _index: self._show_wanted())
        self.list.selectionModel().currentRowChanged.connect(lambda *_: self._show_line())
        self.list.enterPressed.connect(self._to_samples)
        self.list.doubleClicked.connect(lambda _index: self.open_trace())
        self.samples.enterPressed.connect(self.open_trace)
        self.samples.cellDoubleClicked.connect(lambda *_: self.open_trace())
        self.samples.currentCellChanged.connect(lambda *_: self._show_sample())
        self.show_behind(None)

    @property
    def line(self) -> Line | None:
        """The current problem."""
        row = self.list.currentIndex().row()
        return self.model.lines[row] if 0 <= row < len(self.model.lines) else None

    @property
    def tried(self) -> Tried | None:
        """The current sample."""
        line, row = self.line, self.samples.currentRow()
        return line.tried[row] if line is not None and 0 <= row < len(line.tried) else None

    def show_behind(self, behind: Behind | None) -> None:
        """Show what is behind something."""
        self.behind = behind
        self.title.setText("Problems" if behind is None else behind.title)
        self._show_wanted()

    def show_only(self, wanted: Wanted) -> None:
        """Choose which of the problems are shown."""
        self.wanted.setCurrentIndex(list(Wanted).index(wanted))

    def open_trace(self) -> None:
        """Show the current sample's trace in Inspect."""
        tried = self.tried
        if tried is None:
            return
        if tried.sample.trace_id is None:
            self._context.say(NO_TRACE)
        else:
            self._context.open_trace(Page.INSPECT, tried.sample.trace_id)

    # -- showing ------------------------------------------------------------------------------------------------------

    def _show_wanted(self) -> None:
        behind = self.behind
        wanted = list(Wanted)[self.wanted.currentIndex()]
        lines = () if behind is None else kept(behind, wanted)
        self.model.show_rows(lines)
        whole = 0 if behind is None else len(behind.lines)
        self.count.setText(plural(whole, "problem") if len(lines) == whole else f"{len(lines):,} of {whole:,} problems")
        self.list.resizeColumnToContents(0)
        self.list.setColumnHidden(5, not any(each.sample.graders_differ for line in lines for each in line.tried))
        self.list.fit()
        if lines:
            self.list.selectRow(0)
        self._show_line()

    def _show_line(self) -> None:
        line, behind = self.line, self.behind
        self.text.setPlainText("" if line is None else line.solved.prompt)
        tried = () if line is None else line.tried
        self.samples.blockSignals(True)
        self.samples.setRowCount(len(tried))
        for row, each in enumerate(tried):
            for column, text in enumerate(_cells(each, line)):
                item = QTableWidgetItem(text)
                item.setToolTip(plain_tip(text))
                if column == 1:
                    item.setData(Qt.ItemDataRole.AccessibleTextRole, WORDS[each.sample.correct])
                self.samples.setItem(row, column, item)
        self.samples.setColumnHidden(7, not any(_cells(each, line)[7] for each in tried))
        self.samples.blockSignals(False)
        self.samples.resizeColumnToContents(0)
        for column in (3, 4, 5, 6):  # a PRM's judgement has no graders and no tokens
            self.samples.setColumnHidden(column, bool(tried) and all("scores" in each.sample.detail for each in tried))
        is_arc = behind is not None and behind.suite == Suite.ARC
        self.grids.setVisible(is_arc)
        self.text.setVisible(not is_arc)
        for widget, share in ((self.grids, 7), (self.samples, 3)):
            self._shares.setStretchFactor(widget, share if is_arc else 3)
        if tried:
            first = next((row for row, each in enumerate(tried) if each.sample.trace_id is not None), 0)
            self.samples.setCurrentCell(first, 0)
        self._show_sample()

    def _show_sample(self) -> None:
        tried, line = self.tried, self.line
        self.open_button.setEnabled(tried is not None and tried.sample.trace_id is not None)
        self.why.setText("" if tried is None or tried.sample.trace_id is not None else NO_TRACE)
        self.why.setVisible(bool(self.why.text()))
        if line is not None:
            self.grids.show_texts(line.solved.prompt, line.solved.reference, tried.sample.answer if tried else None)

    def _to_samples(self) -> None:
        """Enter on a problem: its trace where there is one sample, else the choice of a sample."""
        line = self.line
        if line is None:
            return
        if len(line.tried) == 1:
            self.open_trace()
        else:
            self.samples.setFocus(Qt.FocusReason.OtherFocusReason)

    def _fit(self) -> None:
        """Widths in the present size of text."""
        for table, widths in ((self.list, LIST_WIDTHS), (self.samples, SAMPLE_WIDTHS)):
            for column, width in widths.items():
                table.setColumnWidth(column, self._context.theme.px(width))
        self.list.fit()

    def _lay_out(self) -> None:
        for each in Wanted:
            self.wanted.addItem(each.value)
        self.wanted.setAccessibleName("Which problems")
        self.list.show_model(self.model)
        self.list.setAccessibleName("Problems behind the figure")
        dress(self.list)
        self.text.setReadOnly(True)
        self.text.setTabChangesFocus(True)
        self.text.setAccessibleName("The problem")
        self.samples.setHorizontalHeaderLabels(SAMPLES)
        self.samples.setAccessibleName("Samples of the problem")
        dress(self.samples)
        self.samples.horizontalHeader().setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
        top = QHBoxLayout()
        bold = QFont()
        bold.setBold(True)
        self.title.setFont(bold)
        set_property(self.why, "role", "caption")
        for widget, stretch in ((self.title, 1), (self.count, 0), (self.wanted, 0)):
            top.addWidget(widget, stretch)
        right = QWidget(self)
        column_ = self._shares = QVBoxLayout(right)
        column_.setContentsMargins(0, 0, 0, 0)
        column_.setSpacing(8)
        column_.addWidget(self.text, 2)
        column_.addWidget(self.grids, 3)
        column_.addWidget(self.samples, 3)
        foot = QHBoxLayout()
        foot.addWidget(self.why, 1)
        foot.addStretch(0)
        foot.addWidget(self.open_button)
        column_.addLayout(foot)
        split = QSplitter(Qt.Orientation.Horizontal, self)
        split.setHandleWidth(10)
        split.setChildrenCollapsible(False)
        split.addWidget(self.list)
        split.addWidget(right)
        split.setSizes([640, 520])
        whole = QVBoxLayout(self)
        whole.setContentsMargins(10, 8, 10, 8)
        whole.setSpacing(8)
        whole.addLayout(top)
        whole.addWidget(split, 1)
        self._fit()
        self._context.theme.switched.connect(self._fit)


def _cells(tried: Tried, line: Line | None) -> tuple[str, ...]:
    sample = tried.sample
    answer = sample.answer or "none"
    number = "chosen" if sample.number < 0 else str(sample.number + 1)
    differ = bool(graders(sample))
    return (
        f"{tried.of} {number}".strip() if tried.of else number,
        MARKS[sample.correct],
        " ".join(answer.split()) if line is None else short(line, answer),
        MARKS[sample.strict] + (" ≠" if differ else ""),
        MARKS[sample.lenient] + (" ≠" if differ else ""),
        f"{sample.thinking_tokens:,}" + (" cut" if sample.truncated else ""),
        f"{sample.answer_tokens:,}",
        sample.why or judged(sample),
    )


def judged(sample: Sample) -> str:
    """What a PRM said of the steps, counted from 1; nothing where no PRM was measured."""
    if "scores" not in sample.detail:
        return ""
    scores = f"scores {sample.detail['scores']}"
    if "predicted" not in sample.detail:
        return scores
    predicted, labelled = (_place(int(sample.detail[name])) for name in ("predicted", "labelled"))
    return f"first error {predicted}, labelled {labelled}; {scores}"


def _place(step: int) -> str:
    return "none" if step < 0 else f"in step {step + 1}"
