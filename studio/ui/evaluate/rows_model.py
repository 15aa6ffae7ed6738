"""Values as rows of a list: what a list of problems and one of routes have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt

Index = QModelIndex | QPersistentModelIndex
TIP = 2_000  # characters of a problem in a tool tip
_CENTRE, _NUMBER = Qt.AlignmentFlag.AlignCenter, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class RowsModel(QAbstractTableModel):
    """The first column is a mark, the second names the row; nothing is made before it is asked for.

    Who inherits says what stands in the cells.
    """

    def __init__(self, heads: Sequence[str], numbers: Sequence[int] = ()) -> None:
        """`numbers`: columns that are aligned to the right."""
        super().__init__()
        self._heads, self._numbers = tuple(heads), frozenset(numbers)
        self._rows: tuple[Any, ...] = ()

    def show_rows(self, rows: Sequence[Any]) -> None:
        """Show these."""
        self.beginResetModel()
        self._rows = tuple(rows)
        self.endResetModel()

    def texts(self, row: Any) -> tuple[str, ...]:  # noqa: ANN401 - of who inherits
        """What the cells of a row say."""
        raise NotImplementedError

    def tip(self, row: Any, column: int) -> str:  # noqa: ANN401
        """What is said of a cell to who waits over it."""
        return self.texts(row)[column]

    def spoken(self, row: Any) -> str:  # noqa: ANN401
        """The row's mark and name in words."""
        raise NotImplementedError

    def rowCount(self, parent: Index | None = None) -> int:
        """How many rows."""
        return len(self._rows)

    def columnCount(self, parent: Index | None = None) -> int:
        """As many as there are heads."""
        return len(self._heads)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: ANN401
        """The names of the columns; over numbers, where these stand."""
        if orientation is not Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole and section in self._numbers:
            return int(_NUMBER)
        return self._heads[section] if role == Qt.ItemDataRole.DisplayRole else None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: ANN401 - Qt's own type
        """Text, tool tip, spoken text and alignment."""
        row, column = self._rows[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self.texts(row)[column]
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.tip(row, column)
        if role == Qt.ItemDataRole.AccessibleTextRole and column <= 1:
            return self.spoken(row)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return int(_CENTRE) if column == 0 else int(_NUMBER) if column in self._numbers else None
        return None
