"""Two models on the same problems: who has which right, a test, and the problems in every square."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QFormLayout, QGridLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from studio.errors import NotFoundError
from studio.exchange.result_names import labels
from studio.store.evaluation_rows import Key
from studio.store.evaluations import Cell
from studio.ui.evaluate.models_desk import title_of
from studio.ui.evaluate.models_pairs import Pairs, read_pairs, told
from studio.ui.widgets.parts import Quiet, align_labels, plural

if TYPE_CHECKING:
    from studio.ui.context import Context

SQUARE = 47  # height of a square at 100 %
ALONE = "Nothing else was evaluated on this suite: evaluate a second model, or this one with another strategy."


class ComparePanel(QWidget):
    """The chosen cell beside another one of the same suite.

    Signals:
        behindWanted(Behind): show these problems.
    """

    behindWanted = Signal(object)

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._asked = 0
        self._cells: tuple[Cell, ...] = ()
        self._full: dict[Key, str] = {}
        self._left: Key | None = None
        self.pairs: Pairs | None = None
        self.left, self.right = QLabel("", self), QComboBox(self)
        self.right.setAccessibleName("Compare with")
        self.told = QLabel("", self)
        self.squares = [QPushButton("", self) for _ in range(4)]
        self._lay_out()
        self.right.currentIndexChanged.connect(lambda _index: self._read())

    @property
    def others(self) -> tuple[Cell, ...]:
        """What the chosen cell can be compared with."""
        left = self._left
        return tuple(c for c in self._cells if left is not None and c.key.suite == left.suite and c.key != left)

    def show_cells(self, cells: Sequence[Cell]) -> None:
        """What there is."""
        self._cells = tuple(cells)
        named = labels([cell.key for cell in cells])
        self._full = {key: ", ".join(filter(None, [row, column.conditions])) for key, (row, column) in named.items()}

    def show_left(self, left: Key) -> None:
        """Compare this cell; the other side stays where it can."""
        before: Key | None = self.right.currentData()
        self._left = left
        self.left.setText(title_of(left))
        self.right.blockSignals(True)
        self.right.clear()
        for cell in self.others:
            self.right.addItem(self._full[cell.key], cell.key)
        place = next((n for n, cell in enumerate(self.others) if cell.key == before), 0)
        self.right.setCurrentIndex(place)
        self.right.setEnabled(self.right.count() > 0)
        self.right.blockSignals(False)
        self._read()

    def choose(self, right: Key) -> None:
        """Compare with this one."""
        self.right.setCurrentIndex(next(n for n, cell in enumerate(self.others) if cell.key == right))

    def _names(self, left: Key, right: Key) -> tuple[str, str]:
        """Short names where they tell the two apart."""
        one, other = left.model or left.prm, right.model or right.prm
        if one != other:
            return one, other
        return self._full.get(left, one), self._full.get(right, other)

    def _read(self) -> None:
        left, right = self._left, self.right.currentData()
        self._asked += 1
        self.pairs = None
        for square in self.squares:
            square.hide()
        self._fit()
        if left is None or right is None:
            self.told.setText(ALONE)
            return
        names = self._names(left, right)
        self.told.setText("comparing …")
        self._context.background.read(
            self,
            partial(read_pairs, left=left, right=right, names=names),
            partial(self._on_read, self._asked, names),
            partial(self._on_failed, self._asked),
        )

    def _on_read(self, asked: int, names: tuple[str, str], found: Pairs) -> None:
        if asked != self._asked:
            return
        self.pairs = found
        self.told.setText(told(found, names))
        for button, square in zip(self.squares, found.squares, strict=False):
            count = len(square.behind.lines)
            button.setText(f"{square.name}\n{count:,}")
            button.setAccessibleName(f"{square.name}: {plural(count, 'problem')}")
            button.setEnabled(count > 0)
            button.show()
        self._fit()

    def _on_failed(self, asked: int, error: Exception) -> None:
        if not isinstance(error, NotFoundError):
            self._context.fail(error)
        elif asked == self._asked:
            self.told.setText(str(error))

    def _on_square(self, place: int) -> None:
        if self.pairs is not None:
            self.behindWanted.emit(self.pairs.squares[place].behind)

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setHorizontalSpacing(14)
        form.addRow("This one", self.left)
        form.addRow("With", self.right)
        align_labels(form)
        grid = self._grid = QGridLayout()
        grid.setSpacing(8)
        for place, button in enumerate(self.squares):
            button.setAutoDefault(False)
            button.setAccessibleName("Problems behind a square")
            button.setToolTip("Show these problems")
            button.clicked.connect(partial(self._on_square, place))
            grid.addWidget(button, place // 2, place % 2)
        for label in (self.left, self.told):
            label.setTextFormat(Qt.TextFormat.PlainText)
        self.told.setWordWrap(True)
        self.told.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(10)
        column.addLayout(form)
        column.addWidget(self.told)
        column.addLayout(grid)
        column.addWidget(Quiet("Every square opens its problems, with the samples of both models.", self))
        column.addStretch(1)
        self._fit()
        self._context.theme.switched.connect(self._fit)

    def _fit(self) -> None:
        """Room for both lines of a square; a style sheet's own least height would win over a button's."""
        for row in range(2):
            shown = not self.squares[2 * row].isHidden()
            self._grid.setRowMinimumHeight(row, self._context.theme.px(SQUARE) if shown else 0)
