"""Compose a filter of traces from conditions on any stored field; it is counted while one composes, kept by name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from PySide6.QtCore import QSignalBlocker, Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QHBoxLayout,
    QInputDialog,
    QLabel,
    QLineEdit,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from sqlalchemy import Connection

from studio.errors import FindError
from studio.store import filter_choices, saved_filters, trace_conditions, trace_list
from studio.store.filter_choices import Choices
from studio.store.saved_filters import NamedFilter
from studio.store.trace_filter import OPS, Condition, Field, Filter, Kind, Op, kind_of
from studio.store.trace_list import TraceQuery
from studio.ui.context import Context
from studio.ui.dialogs import open_at, set_role
from studio.ui.widgets.parts import GAP, MARGIN, Quiet, button, plural

TYPING_MS = 200
ABOUT = "Every condition is on a stored field; the list, its counts and the tree follow the filter."
NO_VALUE = (Op.KNOWN, Op.UNKNOWN)


@dataclass(frozen=True, slots=True)
class _Counted:
    number: int
    traces: int


class ConditionRow(QWidget):
    """One condition: field, way, and what the field takes as a value.

    Signals:
        changed(): another condition.
        removed(): take this line away.
    """

    changed = Signal()
    removed = Signal()

    def __init__(self, choices: Choices, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._choices = choices
        self.field, self.op, self.choice = QComboBox(), QComboBox(), QComboBox()
        self.key, self.value, self.away = QLineEdit(), QLineEdit(), QToolButton()
        for field in Field:
            self.field.addItem(field.value, field)
        for widget, name in (
            (self.field, "Field"),
            (self.op, "Way"),
            (self.choice, "Value"),
            (self.value, "Value"),
            (self.key, "Key of the metadata"),
            (self.away, "Remove this condition"),
        ):
            widget.setAccessibleName(name)
        self.field.setMaxVisibleItems(len(Field))
        self.choice.setEditable(True)
        self.choice.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.key.setPlaceholderText("key, such as usage.cost")
        self.away.setText("✕")
        self.away.setToolTip("Remove this condition")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for widget, stretch in ((self.field, 3), (self.key, 3), (self.op, 2), (self.choice, 4), (self.value, 4)):
            row.addWidget(widget, stretch)
        row.addWidget(self.away)
        self.field.currentIndexChanged.connect(lambda _index: self._on_field())
        self.op.currentIndexChanged.connect(lambda _index: self._on_op())
        self.choice.currentTextChanged.connect(lambda _text: self.changed.emit())
        for line in (self.key, self.value):
            line.textChanged.connect(lambda _text: self.changed.emit())
        self.away.clicked.connect(lambda: self.removed.emit())
        self._on_field()

    @property
    def condition(self) -> Condition:
        """What the line says."""
        field, op = Field(self.field.currentData()), Op(self.op.currentData())
        if op in NO_VALUE:
            return Condition(field, op, "", self._key(field))
        if kind_of(field) is Kind.CHOICE:
            at = self.choice.findText(self.choice.currentText())
            said = self.choice.itemData(at) if at >= 0 else self.choice.currentText()
            return Condition(field, op, str(said))
        return Condition(field, op, self.value.text().strip(), self._key(field))

    def set_condition(self, condition: Condition) -> None:
        """Show a condition."""
        with QSignalBlocker(self):
            self.field.setCurrentIndex(self.field.findData(condition.field))
            self.op.setCurrentIndex(self.op.findData(condition.op))
            at = self.choice.findData(condition.value)
            self.choice.setCurrentIndex(at)
            if at < 0:
                self.choice.setEditText(condition.value)
            self.value.setText(condition.value)
            self.key.setText(condition.key)

    def _key(self, field: Field) -> str:
        return self.key.text().strip() if kind_of(field) is Kind.KEYED else ""

    def _on_field(self) -> None:
        field = Field(self.field.currentData())
        kind = kind_of(field)
        with QSignalBlocker(self.op), QSignalBlocker(self.choice):
            self.op.clear()
            for op in OPS[kind]:
                self.op.addItem(op.value, op)
            self.choice.clear()
            for words, value in self._choices.of(field):
                self.choice.addItem(words, value)
        self.key.setVisible(kind is Kind.KEYED)
        self._on_op()

    def _on_op(self) -> None:
        kind, asks = kind_of(Field(self.field.currentData())), Op(self.op.currentData()) not in NO_VALUE
        self.choice.setVisible(asks and kind is Kind.CHOICE)
        self.value.setVisible(asks and kind is not Kind.CHOICE)
        self.value.setPlaceholderText("number" if kind is Kind.NUMBER else "text or number")
        self.changed.emit()


class FilterDialog(QDialog):
    """Conditions over a live count.

    Signals:
        wanted(Filter): narrow the list by this; an empty one lifts it.
    """

    wanted = Signal(object)

    def __init__(self, context: Context, query: TraceQuery, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context, self._query = context, query
        self._number = 0
        self._choices = Choices()
        self.setWindowTitle("Filter traces")
        self.setAccessibleName("Filter traces")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        open_at(self, context.theme, 760, 440)
        self.rows: list[ConditionRow] = []
        self.join, self.saved = QComboBox(), QComboBox()
        self.count = QLabel()
        self._lines = QVBoxLayout()
        self.add = button("Add condition", lambda: self.add_row(), parent=self)
        self.keep = button("Save…", self._save, tip="Keep this filter under a name", parent=self)
        self.forget = button("Forget", self._forget, tip="Forget the chosen saved filter", parent=self)
        self.lift = button("Lift filter", self._lift, tip="Show all traces again", parent=self)
        self.yes = button("Filter", self._apply, primary=True, parent=self)
        self._typing = QTimer(self, singleShot=True, interval=TYPING_MS)
        self._typing.timeout.connect(self._count)
        self._lay_out()
        self.saved.activated.connect(self._on_saved)
        self.join.currentIndexChanged.connect(lambda _index: self._typing.start())
        self.yes.setDefault(True)
        context.background.read(self, filter_choices.read, self._begin)

    @property
    def filter(self) -> Filter:
        """What is composed."""
        return Filter(tuple(row.condition for row in self.rows), any_of=self.join.currentIndex() == 1)

    def set_filter(self, wanted: Filter) -> None:
        """Show a filter."""
        for row in tuple(self.rows):
            self._take(row)
        self.join.setCurrentIndex(int(wanted.any_of))
        for condition in wanted.conditions:
            self.add_row(condition)
        self._typing.start()

    def add_row(self, condition: Condition | None = None) -> ConditionRow:
        """One more condition."""
        row = ConditionRow(self._choices, self)
        if condition is not None:
            row.set_condition(condition)
        row.changed.connect(self._typing.start)
        row.removed.connect(partial(self._take, row))
        self.rows.append(row)
        self._lines.insertWidget(len(self.rows) - 1, row)
        self._typing.start()
        return row

    def _begin(self, choices: Choices) -> None:
        self._choices = choices
        self._fill_saved()
        self.set_filter(self._query.filter or Filter((Condition(Field.OUTCOME, Op.IS, "wrong"),)))

    def _fill_saved(self) -> None:
        with QSignalBlocker(self.saved):
            self.saved.clear()
            self.saved.addItem("Saved filters", None)
            for one in self._choices.saved:
                self.saved.addItem(one.name, one)
        self.forget.setEnabled(False)

    def _take(self, row: ConditionRow) -> None:
        self.rows.remove(row)
        self._lines.removeWidget(row)
        row.deleteLater()
        self._typing.start()

    def _count(self) -> None:
        self._number += 1
        try:
            wanted = self.filter
            trace_conditions.clause(wanted)
        except FindError as error:
            self._refuse(str(error))
            return
        self.yes.setEnabled(True)
        self.keep.setEnabled(bool(wanted))
        work = partial(_counted, self._query, wanted, self._number)
        self._context.background.read(self, work, self._on_counted, self._on_failed)

    def _on_counted(self, counted: _Counted) -> None:
        if counted.number == self._number:
            set_role(self.count, "caption")
            self.count.setText(plural(counted.traces, "trace"))

    def _on_failed(self, error: Exception) -> None:
        if isinstance(error, FindError):
            self._refuse(str(error))
        else:
            self._context.fail(error)

    def _refuse(self, words: str) -> None:
        set_role(self.count, "warning")
        self.count.setText(words)
        self.yes.setEnabled(False)
        self.keep.setEnabled(False)

    def _apply(self) -> None:
        self.wanted.emit(self.filter)
        self.accept()

    def _lift(self) -> None:
        self.wanted.emit(Filter())
        self.accept()

    def _save(self) -> None:
        wanted = self.filter
        name, given = QInputDialog.getText(self, "Save this filter", "Name", text=str(wanted)[:60])
        if given:
            write = partial(_save, name, wanted)
            self._context.background.write(self, write, lambda _kept: self._read_saved(), self._on_failed)

    def _forget(self) -> None:
        chosen = self.saved.currentData()
        if isinstance(chosen, NamedFilter):
            self._context.background.write(
                self, lambda c: saved_filters.remove(c, chosen.id), lambda _none: self._read_saved()
            )

    def _read_saved(self) -> None:
        def show(choices: Choices) -> None:
            self._choices = choices
            self._fill_saved()

        self._context.background.read(self, filter_choices.read, show)

    def _on_saved(self, _index: int) -> None:
        chosen = self.saved.currentData()
        self.forget.setEnabled(chosen is not None)
        if isinstance(chosen, NamedFilter):
            self.set_filter(chosen.filter)

    def _lay_out(self) -> None:
        self.join.addItems(["all of these hold", "any of these holds"])
        self.join.setAccessibleName("How conditions are joined")
        self.saved.setAccessibleName("Saved filters")
        self.saved.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)  # filled when it is shown already
        self.count.setAccessibleName("How many traces the filter has")
        self.count.setWordWrap(True)
        head = QHBoxLayout()
        head.addWidget(self.join)
        head.addStretch(1)
        for widget in (self.saved, self.keep, self.forget):
            head.addWidget(widget)
        inside = QWidget()
        inside.setObjectName("conditions")
        inside.setStyleSheet("#conditions { background: transparent; }")
        lines = QVBoxLayout(inside)
        lines.setContentsMargins(0, 0, 0, 0)
        lines.addLayout(self._lines)
        lines.addWidget(self.add, 0, Qt.AlignmentFlag.AlignLeft)
        lines.addStretch(1)
        area = QScrollArea()
        area.setWidget(inside)
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.viewport().setAutoFillBackground(False)
        foot = QHBoxLayout()
        foot.addWidget(self.count, 1)
        for widget in (self.lift, button("Close", self.reject, parent=self), self.yes):
            foot.addWidget(widget)
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(GAP)
        column.addWidget(Quiet(ABOUT, self))
        column.addLayout(head)
        column.addWidget(area, 1)
        column.addLayout(foot)


def _counted(query: TraceQuery, wanted: Filter, number: int, c: Connection) -> _Counted:
    return _Counted(number, trace_list.count(c, replace(query, filter=wanted)))


def _save(name: str, wanted: Filter, c: Connection) -> NamedFilter:
    return saved_filters.save_filter(c, name, wanted)
