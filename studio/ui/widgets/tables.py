"""What tables of lines share: their look, and lines taken along as a spreadsheet reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QAbstractItemView, QTableView


def dress(table: QTableView) -> None:
    """One line is chosen, none is edited, no grid; Tab leaves the table."""
    table.verticalHeader().hide()
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.setTabKeyNavigation(False)
    table.setShowGrid(False)
    table.setWordWrap(False)
    table.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)


def tabbed(lines: Iterable[Sequence[str]]) -> str:
    """Lines of cells with tabs between them."""
    return "\n".join("\t".join(line) for line in lines)


def copy_lines(lines: Iterable[Sequence[str]]) -> None:
    """Put lines of cells on the clipboard, the heads as the first."""
    QGuiApplication.clipboard().setText(tabbed(lines))
