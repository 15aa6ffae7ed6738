"""Tables of runs side by side: what differs in their specs, and what came out."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QCheckBox, QHeaderView, QTreeWidget, QTreeWidgetItem, QVBoxLayout, QWidget

from studio.jobs.compare import Comparison, Fact, Figure, number_text
from studio.ui.widgets.parts import GAP, Quiet, blend
from studio.ui.widgets.spec_form import label_of

_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class FactsTable(QWidget):
    """Parameters, models, selection and counts; cells unlike the first run's are bold on a tint."""

    def __init__(self, made: Comparison, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._made = made
        self.only = QCheckBox("Only what &differs", self)
        self.only.setChecked(True)
        self.only.toggled.connect(self._fill)
        self.note = Quiet("", self)
        self.tree = _tree(("", *(side.run.name for side in made.sides)), "What differs between the runs", self)
        column = QVBoxLayout(self)
        column.setSpacing(GAP)
        column.addWidget(self.only)
        column.addWidget(self.tree, 1)
        column.addWidget(self.note)
        self._fill()

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "tree"):
            self._fill()

    def _fill(self) -> None:
        self.tree.clear()
        groups: dict[str, QTreeWidgetItem] = {}
        differing = sum(fact.differs for fact in self._made.facts)
        for fact in self._made.facts:
            if fact.differs or not self.only.isChecked():
                self._add(_group(self.tree, groups, fact.group), fact)
        count = len(self._made.facts)
        self.note.setText(
            f"{differing} of {count} lines differ; marked is what is not as in {self._made.sides[0].run.name}."
            if differing
            else "The runs were asked the same, of the same rows."
        )
        _fit(self.tree)

    def _add(self, group: QTreeWidgetItem, fact: Fact) -> None:
        plain = fact.group in ("Parameters", "Selection")
        item = QTreeWidgetItem(group, [label_of(fact.name) if plain else fact.name, *fact.cells])
        palette = self.palette()
        tint = blend(palette.color(QPalette.ColorRole.Accent), palette.color(QPalette.ColorRole.Base), 0.22)
        for column, (cell, marked) in enumerate(zip(fact.cells, fact.marked, strict=True), 1):
            item.setToolTip(column, f"{cell}, unlike {self._made.sides[0].run.name}" if marked else cell)
            if marked:
                font = item.font(column)
                font.setBold(True)
                item.setFont(column, font)
                item.setBackground(column, tint)


class FiguresTable(QWidget):
    """Results and last values, with the difference from the first run; seeds of one spec as mean and deviation."""

    def __init__(self, made: Comparison, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._made = made
        self._spreads = [{(s.group, s.name): s for s in made.spreads(family)} for family in made.families]
        heads = (
            "",
            *(side.run.name for side in made.sides),
            *(f"{family.name}: mean ± sd" for family in made.families),
        )
        self.tree = _tree(heads, "What came out of the runs", self)
        column = QVBoxLayout(self)
        column.setSpacing(GAP)
        column.addWidget(self.tree, 1)
        column.addWidget(Quiet(f"In brackets: the difference from {made.sides[0].run.name}. {_about(made)}", self))
        groups: dict[str, QTreeWidgetItem] = {}
        for figure in made.figures:
            self._add(_group(self.tree, groups, figure.group), figure)
        _fit(self.tree)

    def _add(self, group: QTreeWidgetItem, figure: Figure) -> None:
        changes = (None, *figure.differences[1:])
        cells = [number_text(value, change) for value, change in zip(figure.values, changes, strict=True)]
        for spreads in self._spreads:
            spread = spreads.get((figure.group, figure.name))
            cells.append("" if spread is None else f"{spread.mean:.4g} ± {spread.deviation:.2g}")
        item = QTreeWidgetItem(group, [figure.name if "/" in figure.name else label_of(figure.name), *cells])
        for column in range(1, len(cells) + 1):
            item.setTextAlignment(column, _RIGHT)


def _about(made: Comparison) -> str:
    if not made.families:
        return "Runs that differ in the seed alone are shown as mean and deviation; there are none here."
    return "Seeds: mean ± standard deviation (n - 1) of runs that differ in the seed alone; a seed counts once."


def _tree(heads: tuple[str, ...], name: str, parent: QWidget) -> QTreeWidget:
    tree = QTreeWidget(parent)
    tree.setHeaderLabels(list(heads))
    tree.setAccessibleName(name)
    tree.setRootIsDecorated(False)
    tree.setUniformRowHeights(True)
    tree.header().setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
    return tree


def _group(tree: QTreeWidget, groups: dict[str, QTreeWidgetItem], name: str) -> QTreeWidgetItem:
    if name not in groups:
        item = groups[name] = QTreeWidgetItem(tree, [name])
        font = item.font(0)
        font.setBold(True)
        item.setFont(0, font)
        item.setExpanded(True)
    return groups[name]


def _fit(tree: QTreeWidget) -> None:
    for column in range(tree.columnCount()):
        tree.resizeColumnToContents(column)
        tree.setColumnWidth(column, min(300, tree.columnWidth(column) + 18))
