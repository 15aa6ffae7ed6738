"""Validation rows as the PRM sees them now: step scores painted beside the targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPalette
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QSplitter,
    QStackedLayout,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from studio.jobs.values import Example
from studio.ui.widgets.parts import EmptyState, Quiet, blend

if TYPE_CHECKING:
    from studio.ui.context import Context
    from studio.ui.theme import Theme

Index = QModelIndex | QPersistentModelIndex
_ROOT = QModelIndex()
HEADS = ("Step", "Text", "Score", "Target")
NUMBER, TEXT, SCORE, TARGET = range(len(HEADS))


def target_text(target: float | None) -> str:
    """A target with its sign, so that colour is never alone."""
    if target is None:
        return "not used"
    return {0.0: "− negative", 1.0: "+ positive"}.get(target, f"≈ {target:.2f}")


def error_of(example: Example) -> float:
    """The largest distance of a score from its target in a row; 0 when nothing is supervised."""
    pairs = zip(example.scores, example.targets, strict=False)
    return max((abs(s - t) for s, t in pairs if s is not None and t is not None), default=0.0)


class ExampleModel(QAbstractTableModel):
    """The steps of one example."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.example: Example | None = None

    def show_example(self, example: Example | None) -> None:
        """Show another row, or newer scores of the same."""
        same = example is not None and self.example is not None and example.steps == self.example.steps
        if same and example is not None:
            self.example = example
            self.dataChanged.emit(self.index(0, 0), self.index(len(example.steps) - 1, len(HEADS) - 1))
            return
        self.beginResetModel()
        self.example = example
        self.endResetModel()

    def rowCount(self, parent: Index = _ROOT) -> int:
        """How many steps."""
        return 0 if parent.isValid() or self.example is None else len(self.example.steps)

    def columnCount(self, parent: Index = _ROOT) -> int:
        """How many columns."""
        return 0 if parent.isValid() else len(HEADS)

    def headerData(self, number: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Column titles."""
        wanted = orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole
        return HEADS[number] if wanted else None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """What a cell shows."""
        example = self.example
        if example is None:
            return None
        row, column = index.row(), index.column()
        target = example.targets[row] if row < len(example.targets) else None
        score = example.scores[row] if row < len(example.scores) else None
        if role == Qt.ItemDataRole.UserRole:
            return score
        if role == Qt.ItemDataRole.ForegroundRole and column == TARGET:
            if target is None:
                return self._theme.colours.q("secondary")
            return self._theme.colours.rating(1 if target > 0.5 else -1 if target < 0.5 else 0)
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            shown = "none" if score is None else f"{score:.2f}"
            return (str(row + 1), example.steps[row], shown, target_text(target))[column]
        if role == Qt.ItemDataRole.ToolTipRole and column == SCORE and score is not None:
            return f"The PRM gives this step {score:.3f} to be correct"
        return None


class ScoreDelegate(QStyledItemDelegate):
    """A score as a bar from red to green with its number."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw the bar on the plain background."""
        score = index.data(Qt.ItemDataRole.UserRole)
        if score is None:
            super().paint(painter, option, index)
            return
        colours = self._theme.colours
        area = QRectF(option.rect).adjusted(8, 0, -8, 0)
        track = QRectF(area.left() + 42, area.center().y() - 4, area.width() - 42, 8)
        ink = option.palette.color(QPalette.ColorRole.Text)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(blend(ink, option.palette.color(QPalette.ColorRole.Base), 0.1))
        painter.drawRoundedRect(track, 4, 4)
        painter.setBrush(score_colour(score, colours.rating(-1), colours.q("unsure"), colours.rating(1)))
        painter.drawRoundedRect(QRectF(track.left(), track.top(), max(8.0, track.width() * score), 8), 4, 4)
        painter.setPen(ink)
        number = QRectF(area.left(), area.top(), 40, area.height())
        painter.drawText(number, int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter), f"{score:.2f}")
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Room for a short bar."""
        return QSize(150, option.fontMetrics.height() + 14)


class RoomyDelegate(QStyledItemDelegate):
    """Text with air above and below."""

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """The text's size and some more."""
        size = super().sizeHint(option, index)
        return QSize(size.width(), size.height() + 14)


def score_colour(score: float, low: QColor, middle: QColor, high: QColor) -> QColor:
    """The colour of a score: `low` at 0, `middle` at one half, `high` at 1, mixed between them."""
    score = min(1.0, max(0.0, score))
    return blend(middle, low, 2 * score) if score < 0.5 else blend(high, middle, 2 * score - 1)


class ExamplesTab(QWidget):
    """Rows on the left (the worst first), the steps of one on the right."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._examples: tuple[Example, ...] = ()
        self.rows = QTreeWidget(self)
        self.rows.setHeaderLabels(["Off by", "Problem"])
        self.rows.setAccessibleName("Examples, the worst first")
        self.rows.setRootIsDecorated(False)
        self.rows.setUniformRowHeights(True)
        self.rows.header().setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        self.rows.currentItemChanged.connect(lambda item, _old: self._on_row(self.rows.indexOfTopLevelItem(item)))
        self.model = ExampleModel(context.theme, self)
        self.table = QTableView(self)
        self.table.setModel(self.model)
        self.table.setAccessibleName("Steps with scores and targets")
        self.table.setItemDelegate(RoomyDelegate(self.table))
        self.table.setItemDelegateForColumn(SCORE, ScoreDelegate(context.theme, self.table))
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setShowGrid(False)
        self.table.setWordWrap(True)
        self.table.setTabKeyNavigation(False)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        head = self.table.horizontalHeader()
        head.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        head.setSectionResizeMode(TEXT, QHeaderView.ResizeMode.Stretch)
        for column, width in ((NUMBER, 48), (SCORE, 190), (TARGET, 110)):
            self.table.setColumnWidth(column, width)
        self.problem = Quiet("", self)
        self.problem.setTextFormat(Qt.TextFormat.PlainText)
        right = QWidget(self)
        column_box = QVBoxLayout(right)
        column_box.setContentsMargins(12, 0, 0, 0)
        column_box.addWidget(self.problem)
        column_box.addWidget(self.table, 1)
        split = QSplitter(Qt.Orientation.Horizontal, self)
        split.addWidget(self.rows)
        split.addWidget(right)
        split.setStretchFactor(1, 1)
        split.setSizes([320, 760])
        empty = EmptyState("No examples yet", "They come with the first validation of the run.", parent=self)
        place = QWidget(self)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 8, 0, 0)
        outer.addWidget(place)
        self._stack = QStackedLayout(place)
        self._stack.addWidget(empty)
        self._stack.addWidget(split)

    def show_examples(self, examples: tuple[Example, ...]) -> None:
        """Show the newest examples; the chosen row stays chosen."""
        if examples == self._examples:
            return
        chosen = None if self.model.example is None else self.model.example.row
        self._examples = tuple(sorted(examples, key=lambda e: (-error_of(e), e.row)))
        self._stack.setCurrentIndex(1 if examples else 0)
        self.rows.blockSignals(True)
        self.rows.clear()
        for example in self._examples:
            first = " ".join(example.problem.split())
            item = QTreeWidgetItem(self.rows, [f"{error_of(example):.2f}", first[:200]])
            item.setToolTip(1, first[:500])
        self.rows.blockSignals(False)
        found = next((n for n, e in enumerate(self._examples) if e.row == chosen), 0)
        chosen_item = self.rows.topLevelItem(found)
        if chosen_item is not None:
            self.rows.setCurrentItem(chosen_item)
        self._on_row(found if self._examples else -1)

    def _on_row(self, row: int) -> None:
        example = self._examples[row] if 0 <= row < len(self._examples) else None
        self.problem.setText("" if example is None else f"{example.problem}\n(validation at step {example.step:,})")
        self.model.show_example(example)
