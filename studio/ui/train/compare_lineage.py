"""What a run was made from, down to the revision of every annotation, and what was made from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLabel, QTreeWidget, QTreeWidgetItem, QVBoxLayout, QWidget

from studio.jobs.lineage import AnnotationUse, Lineage, RunNode, of_name
from studio.ui.train.words import RECIPE_NAMES
from studio.ui.widgets.parts import GAP, MARGIN, Quiet, button, heading, plural

if TYPE_CHECKING:
    from studio.jobs.values import RunView
    from studio.ui.context import Context

MOST = 1000  # annotations in the list; those that changed come first
_HEADS = ("Run or annotation", "What", "Used", "Now", "")


class LineageDialog(QDialog):
    """Reads the lineage in the background, then shows it in three parts."""

    def __init__(self, context: Context, view: RunView, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.found: Lineage | None = None
        self.setWindowTitle(f"Lineage of {view.name}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(900, 600)
        self.sentence = QLabel("Reading…", self)
        self.sentence.setWordWrap(True)
        self.tree = QTreeWidget(self)
        self.tree.setHeaderLabels(list(_HEADS))
        self.tree.setAccessibleName(f"Lineage of {view.name}")
        self.tree.setUniformRowHeights(True)
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(GAP)
        column.addWidget(heading(f"Lineage of {view.name}", self, size=1.15))
        column.addWidget(self.sentence)
        column.addWidget(self.tree, 1)
        column.addWidget(
            Quiet("`steplens lineage` tells the same without the window, and of a model or annotation, too.", self)
        )
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(button("Close", self.accept, primary=True, parent=self))
        column.addLayout(foot)
        context.background.read(self, lambda c: of_name(c, view.uid), self._fill, self._on_failed)

    def _fill(self, found: Lineage) -> None:
        self.found = found
        changed = [use for use in found.annotations if use.changed]
        count = plural(len(found.annotations), "use of an annotation", "uses of annotations")
        news = f"{plural(len(changed), 'annotation has', 'annotations have')} changed since." if changed else ""
        self.sentence.setText(f"{count}. {news or 'None of them has changed since.'}")
        self._runs("Made from", found.before, found.outside)
        self._annotations(found.annotations)
        self._runs("Used by", found.after, ())
        for column, width in enumerate((340, 230, 70, 70)):
            self.tree.setColumnWidth(column, width)

    def _on_failed(self, error: Exception) -> None:
        self.sentence.setText(str(error))

    def _runs(self, title: str, nodes: Sequence[RunNode], outside: Sequence[str]) -> None:
        part = self._part(title, len(nodes) + len(outside))
        for node in nodes:
            self._item(
                part, (node.name, RECIPE_NAMES.get(node.recipe, node.recipe), "", "", _staleness(node)), node.run
            )
        for name in outside:
            self._item(part, (name, "not made in this workspace"), name)

    def _annotations(self, uses: Sequence[AnnotationUse]) -> None:
        part = self._part("Annotations", len(uses))
        for use in sorted(uses, key=lambda use: not use.changed)[:MOST]:
            since = "changed since" if use.changed else ""
            cells = (use.annotation, use.annotator, str(use.used), str(use.now), since)
            self._item(part, cells, f"trace {use.trace}, run {use.run}")
        if len(uses) > MOST:
            self._item(part, (f"and {len(uses) - MOST:,} more", "steplens lineage --json lists them all"), "")

    def _part(self, title: str, count: int) -> QTreeWidgetItem:
        part = QTreeWidgetItem(self.tree, [title, f"{count:,}" if count else "nothing"])
        font = part.font(0)
        font.setBold(True)
        part.setFont(0, font)
        part.setExpanded(True)
        return part

    def _item(self, part: QTreeWidgetItem, cells: Sequence[str], tip: str) -> None:
        QTreeWidgetItem(part, list(cells)).setToolTip(0, tip)


def _staleness(node: RunNode) -> str:
    if node.changed:
        return f"stale: {node.changed:,} of {node.annotations:,} changed"
    return f"stale through {', '.join(uid[:8] for uid in node.stale_from)}" if node.stale_from else ""
