"""Values as rows of a list: what a list of problems and one of routes have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt

from studio.ui.dialogs import plain_tip

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
        self._given: tuple[Any, ...] = ()
        self._rows: tuple[Any, ...] = ()
        self._by, self._down = -1, False

    def show_rows(self, rows: Sequence[Any]) -> None:
        """Show these, sorted as those before."""
        self.beginResetModel()
        self._given = tuple(rows)
        self._rows = self._in_order()
        self.endResetModel()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column, -1: as they were given. Equal ones stay as they were given; what is not known is last."""
        self.layoutAboutToBeChanged.emit()
        self._by, self._down = column, order == Qt.SortOrder.DescendingOrder
        before, kept = self._rows, self.persistentIndexList()
        self._rows = self._in_order()
        places = {id(row): place for place, row in enumerate(self._rows)}
        moved = [self.index(places[id(before[one.row()])], one.column()) for one in kept]
        self.changePersistentIndexList(kept, moved)
        self.layoutChanged.emit()

    def key(self, row: Any, column: int) -> float | str | None:  # noqa: ANN401
        """What a column is sorted by; None where nothing is known."""
        return self.texts(row)[column].casefold() or None

    def _in_order(self) -> tuple[Any, ...]:
        if self._by < 0:
            return self._given
        keys = [self.key(row, self._by) for row in self._given]
        known: list[tuple[Any, Any]] = [
            (key, row) for key, row in zip(keys, self._given, strict=True) if key is not None
        ]
        known.sort(key=lambda pair: pair[0], reverse=self._down)
        unknown = [row for key, row in zip(keys, self._given, strict=True) if key is None]
        return (*(row for _, row in known), *unknown)

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
            return plain_tip(self.tip(row, column))
        if role == Qt.ItemDataRole.AccessibleTextRole and column <= 1:
            return self.spoken(row)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return int(_CENTRE) if column == 0 else int(_NUMBER) if column in self._numbers else None
        return None
