"""Which rows a run gets: projects, words, annotators, source, and what becomes of disagreement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)
from sqlalchemy import Connection

from studio.domain import Annotator, Project
from studio.store import machine_labels, projects
from studio.store.rows import Origin, Resolution, Selection
from studio.ui.widgets.parts import Quiet, align_labels

if TYPE_CHECKING:
    from studio.ui.context import Context

RATED_HERE, WRITTEN_HERE = "Rated here", "Written by runs"
_SOURCES: tuple[tuple[str, tuple[Origin, ...]], ...] = (
    ("Everywhere", ()),
    (RATED_HERE, (Origin.HERE,)),
    ("Imported", (Origin.IMPORTED,)),
    ("The sample", (Origin.SAMPLE,)),
)


@dataclass(frozen=True, slots=True)
class _Known:
    projects: tuple[Project, ...]
    annotators: tuple[Annotator, ...]
    methods: tuple[str, ...]  # of machine labels


class SelectionForm(QWidget):
    """Editors of a `Selection`. Nothing ticked in a list means everything.

    Signals:
        changed(): another selection.
    """

    changed = Signal()

    def __init__(
        self,
        context: Context,
        *,
        labelled: bool,
        rewards: bool = False,
        candidates: bool = False,
        ticked: tuple[str, ...] = (),
        parent: QWidget | None = None,
    ) -> None:
        """`labelled`: ratings come along, `rewards`: machine labels may stand in, `candidates`: alternatives teach."""
        super().__init__(parent)
        self._labelled, self._rewards, self._candidates = labelled, rewards, candidates
        self._ticked = ticked
        self.projects = _CheckList("Projects", self)
        self.annotators = _CheckList("Annotators", self)
        self.text = QLineEdit(self)
        self.text.setPlaceholderText("words in the problem or the trace")
        self.text.setClearButtonEnabled(True)
        self.source = QComboBox(self)
        for name, origins in _SOURCES:
            here = WRITTEN_HERE if name == RATED_HERE and not labelled else name
            self.source.addItem(here, origins)
        self.resolution = QComboBox(self)
        for each in Resolution:
            self.resolution.addItem(each.value.capitalize(), each)
        self.submitted = QCheckBox("Only submitted work", self)
        self.submitted.setChecked(True)
        self.unsure = QCheckBox("Leave out ratings marked unsure", self)
        self.alternatives = QCheckBox("Rated alternatives teach, too", self)
        self.alternatives.setToolTip("Each becomes a row of its own that shares what stands before it")
        self.machine = QComboBox(self)
        self.machine.addItem("Have no label", "")
        self.limit = QLineEdit(self)
        self.limit.setPlaceholderText("all")
        self._lay_out()
        self._connect()
        context.background.read(self, _known, self._on_known)

    def selection(self) -> Selection:
        """What is chosen now."""
        limit = self.limit.text().strip()
        return Selection(
            projects=self.projects.ticked(),
            text=self.text.text().strip(),
            annotators=self.annotators.ticked() if self._labelled else (),
            origins=self.source.currentData(),
            only_submitted=self.submitted.isChecked(),
            skip_unsure=self.unsure.isChecked(),
            resolution=self.resolution.currentData(),
            labelled=self._labelled,
            machine=self.machine.currentData() if self._rewards else "",
            alternatives=self._candidates and self.alternatives.isChecked(),
            limit=int(limit) if limit.isdecimal() else 0,
        )

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
        form.setHorizontalSpacing(14)
        form.setVerticalSpacing(10)
        form.addRow("Projects", self.projects)
        form.addRow("Containing", self.text)
        form.addRow("Source", self.source)
        if self._labelled:
            form.addRow("Annotators", self.annotators)
            form.addRow("Where people differ", self.resolution)
            form.addRow("", self.submitted)
            form.addRow("", self.unsure)
            if self._rewards:
                form.addRow("Traces nobody rated", self.machine)
            if self._candidates:
                form.addRow("", self.alternatives)
        else:
            for widget in (self.annotators, self.resolution, self.submitted, self.unsure):
                widget.hide()
        self.alternatives.setVisible(self._candidates)
        self.machine.setVisible(self._rewards)
        form.addRow("At most", self.limit)
        align_labels(form)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(form)
        column.addWidget(Quiet("Nothing ticked in a list means all of it.", self))

    def _connect(self) -> None:
        for combo in (self.source, self.resolution, self.machine):
            combo.currentIndexChanged.connect(lambda _index: self.changed.emit())
        for line in (self.text, self.limit):
            line.textChanged.connect(lambda _text: self.changed.emit())
        for check in (self.submitted, self.unsure, self.alternatives):
            check.toggled.connect(lambda _on: self.changed.emit())
        for tick_list in (self.projects, self.annotators):
            tick_list.itemChanged.connect(lambda _item: self.changed.emit())

    def _on_known(self, known: _Known) -> None:
        self.projects.fill([(p.uid, f"{p.name}  ({p.traces:,})") for p in known.projects], self._ticked)
        self.annotators.fill([(a.uid, a.name) for a in known.annotators], ())
        for each in known.methods:
            self.machine.addItem(f"Machine labels: {each}", each)
        self.changed.emit()


class _CheckList(QListWidget):
    """A short list with ticks."""

    def __init__(self, name: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setMaximumHeight(118)
        self.setMinimumHeight(62)

    def fill(self, entries: list[tuple[str, str]], ticked: tuple[str, ...]) -> None:
        """Show uid and text of each entry; tells nobody."""
        self.blockSignals(True)
        self.clear()
        for uid, text in entries:
            item = QListWidgetItem(text, self)
            item.setData(Qt.ItemDataRole.UserRole, uid)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Checked if uid in ticked else Qt.CheckState.Unchecked)
        self.blockSignals(False)

    def ticked(self) -> tuple[str, ...]:
        """The uids that are ticked."""
        items = (self.item(row) for row in range(self.count()))
        return tuple(i.data(Qt.ItemDataRole.UserRole) for i in items if i.checkState() == Qt.CheckState.Checked)

    def tick(self, text: str) -> None:
        """Tick the entry that begins with this text."""
        for row in range(self.count()):
            if self.item(row).text().startswith(text):
                self.item(row).setCheckState(Qt.CheckState.Checked)


def _known(c: Connection) -> _Known:
    methods = dict.fromkeys(each.method for each in machine_labels.methods(c))
    return _Known(projects.all_projects(c), projects.annotators(c), tuple(methods))
