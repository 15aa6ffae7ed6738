"""The rows of a step list: values and their Qt model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from studio.render import prose
from trainer.contract.records import Rating

Index = QModelIndex | QPersistentModelIndex
ROW_ROLE = int(Qt.ItemDataRole.UserRole)
NO_PARENT = QModelIndex()


class Mark(StrEnum):
    """How far the last change of a row has come."""

    NONE = ""
    SAVING = "saving"
    DONE = "done"
    ERROR = "not saved"


class Faces(StrEnum):
    """What of the ratings is shown: all three faces to click, the given one, or none."""

    ALL = "all"
    ONE = "one"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class StepRow:
    """One line of a step list."""

    ordinal: int
    text: str
    rating: Rating | None = None
    unsure: bool = False
    ratable: bool = False  # faces can be clicked
    ahead: bool = False  # look-ahead: grey, readable
    mark: Mark = Mark.NONE
    trouble: str = ""  # why it was not saved
    score: float | None = None
    score_note: str = ""  # why the score does not count here; drawn hatched
    stale: bool = False  # its text has changed since it was rated or scored
    label: str = ""  # shown instead of the number
    others: tuple[Rating, ...] = ()  # what other people said


WORDS = {Rating.NEGATIVE: "negative", Rating.NEUTRAL: "neutral", Rating.POSITIVE: "positive"}


def sentence(row: StepRow, count: int, *, current: bool = False) -> str:
    """A row for a screen reader: "Step 3 of 12, rated negative, current: so x = 7"."""
    parts = [f"Step {row.label or row.ordinal + 1} of {count}"]
    parts.append("not rated" if row.rating is None else f"rated {WORDS[row.rating]}")
    parts += [word for word, holds in (("unsure", row.unsure), ("changed since", row.stale)) if holds]
    if row.score is not None:
        parts.append(f"score {row.score:.2f}" + (f" ({row.score_note})" if row.score_note else ""))
    if row.others:
        parts.append("others: " + ", ".join(WORDS[value] for value in row.others))
    if row.mark is not Mark.NONE:
        parts.append(row.mark.value + (f": {row.trouble}" if row.trouble else ""))
    parts += [word for word, holds in (("later step", row.ahead), ("current", current)) if holds]
    return ", ".join(parts) + ": " + prose.spoken(row.text[:2_000])


class StepModel(QAbstractListModel):
    """Rows in order; `rowCount` is the number of steps."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._rows: list[StepRow] = []
        self._places: dict[int, int] = {}
        self.current: int | None = None

    def set_rows(self, rows: Sequence[StepRow]) -> None:
        """Show these rows."""
        self.beginResetModel()
        self._rows = list(rows)
        self._places = {row.ordinal: place for place, row in enumerate(self._rows)}
        self.endResetModel()

    def set_row(self, row: StepRow) -> bool:
        """Replace the row of the same ordinal; whether its text is another one."""
        place = self._places[row.ordinal]
        renewed = self._rows[place].text != row.text
        self._rows[place] = row
        index = self.index(place)
        self.dataChanged.emit(index, index, [ROW_ROLE])
        return renewed

    def place(self, ordinal: int) -> int | None:
        """In which line a step stands."""
        return self._places.get(ordinal)

    def row(self, place: int) -> StepRow:
        """The row in this line."""
        return self._rows[place]

    @property
    def rows(self) -> tuple[StepRow, ...]:
        """All rows, in order."""
        return tuple(self._rows)

    def rowCount(self, parent: Index = NO_PARENT) -> int:
        """Number of steps."""
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """The row itself under ROW_ROLE; texts for screen readers and tool tips."""
        if not index.isValid():
            return None
        row = self._rows[index.row()]
        if role == ROW_ROLE:
            return row
        if role == Qt.ItemDataRole.DisplayRole:
            return prose.visible(row.text[:2_000])
        if role in (Qt.ItemDataRole.AccessibleTextRole, Qt.ItemDataRole.AccessibleDescriptionRole):
            return sentence(row, len(self._rows), current=row.ordinal == self.current)
        if role == Qt.ItemDataRole.ToolTipRole:
            return row.trouble or row.score_note or None
        return None
