"""The table of runs: now, unknown, next, paused, done; ticked runs are drawn over one another in the charts."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QBrush, QColor, QIcon, QPainter, QPalette, QPixmap
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from studio.jobs.values import RunView
from studio.ui.train.words import (
    RECIPE_NAMES,
    RECIPE_SHORT,
    Section,
    left_text,
    ordered,
    progress_text,
    section,
    state_text,
)
from studio.ui.widgets.charts import series_colour
from studio.ui.widgets.parts import blend
from trainer.contract.records import RunState

Index = QModelIndex | QPersistentModelIndex
_ROOT = QModelIndex()
HEADS = ("", "Run", "State", "Progress", "Left", "Device", "AUC", "Recipe")
TICK, NAME, STATE, PROGRESS, LEFT, DEVICE, AUC, RECIPE = range(len(HEADS))
VIEW_ROLE = int(Qt.ItemDataRole.UserRole)
_BAD = {RunState.FAILED, RunState.CRASHED, RunState.LOST}


@dataclass(frozen=True, slots=True)
class Ticked:
    """A run to draw and the number of its colour."""

    run_id: int
    colour: int


class RunModel(QAbstractTableModel):
    """The runs in the order of the page; a run keeps its row's selection and tick through every update.

    Signals:
        tickedChanged(): other runs are to be drawn.
    """

    tickedChanged = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._views: list[RunView] = []
        self._ticked: dict[int, int] = {}
        self._palette = QPalette()

    def show_runs(self, views: tuple[RunView, ...]) -> None:
        """Take the runs as they stand; only a new order resets the table."""
        fresh = ordered(views)
        if [v.id for v in fresh] == [v.id for v in self._views]:
            self._views = fresh
            if fresh:
                self.dataChanged.emit(self.index(0, 0), self.index(len(fresh) - 1, len(HEADS) - 1))
            return
        self.beginResetModel()
        self._views = fresh
        known = {v.id for v in fresh}
        gone = [run for run in self._ticked if run not in known]
        for run in gone:
            del self._ticked[run]
        self.endResetModel()
        if gone:
            self.tickedChanged.emit()

    def view_at(self, row: int) -> RunView | None:
        """The run of a row."""
        return self._views[row] if 0 <= row < len(self._views) else None

    def row_of(self, run_id: int) -> int:
        """The row of a run, -1 when it is gone."""
        return next((row for row, view in enumerate(self._views) if view.id == run_id), -1)

    def ticked(self) -> tuple[Ticked, ...]:
        """The runs to draw."""
        return tuple(Ticked(run, colour) for run, colour in self._ticked.items())

    def tick(self, run_id: int, on: bool) -> None:
        """Draw a run, or no longer."""
        if on == (run_id in self._ticked):
            return
        if on:
            used = set(self._ticked.values())
            self._ticked[run_id] = next(n for n in range(len(used) + 1) if n not in used)
        else:
            del self._ticked[run_id]
        row = self.row_of(run_id)
        if row >= 0:
            self.dataChanged.emit(self.index(row, 0), self.index(row, len(HEADS) - 1))
        self.tickedChanged.emit()

    def set_palette(self, palette: QPalette) -> None:
        """The palette that swatches are drawn for."""
        self._palette = palette

    def rowCount(self, parent: Index = _ROOT) -> int:
        """How many runs."""
        return 0 if parent.isValid() else len(self._views)

    def columnCount(self, parent: Index = _ROOT) -> int:
        """How many columns."""
        return 0 if parent.isValid() else len(HEADS)

    def headerData(self, number: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Column titles."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return HEADS[number]
        if role == Qt.ItemDataRole.TextAlignmentRole and number in (LEFT, AUC):
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role == Qt.ItemDataRole.ToolTipRole and number == TICK:
            return "Tick a run to draw it over the others"
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        """The first column can be ticked."""
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        return flags | Qt.ItemFlag.ItemIsUserCheckable if index.column() == TICK else flags

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """What a cell shows."""
        view = self.view_at(index.row())
        if view is None:
            return None
        column = index.column()
        if role == VIEW_ROLE:
            return view
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(view, column)
        if role == Qt.ItemDataRole.CheckStateRole and column == TICK:
            return Qt.CheckState.Checked if view.id in self._ticked else Qt.CheckState.Unchecked
        if role == Qt.ItemDataRole.DecorationRole and column == NAME and view.id in self._ticked:
            return _swatch(series_colour(self._ticked[view.id], self._palette))
        if role == Qt.ItemDataRole.ToolTipRole and column == RECIPE:
            return RECIPE_NAMES.get(view.recipe, view.recipe)
        if role == Qt.ItemDataRole.ToolTipRole:
            return view.message or state_text(view)
        if role == Qt.ItemDataRole.TextAlignmentRole and column in (LEFT, AUC):
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role == Qt.ItemDataRole.ForegroundRole and column == STATE and view.state in _BAD:
            return QBrush(_warning(self._palette))
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{HEADS[column]} {self._text(view, column)}".strip()
        return None

    def setData(self, index: Index, value: object, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Tick or untick."""
        view = self.view_at(index.row())
        if view is None or role != Qt.ItemDataRole.CheckStateRole:
            return False
        self.tick(view.id, Qt.CheckState(value) == Qt.CheckState.Checked)
        return True

    def _text(self, view: RunView, column: int) -> str:
        auc = view.last_metrics.get("validation/auc", view.summary.get("validation_auc"))
        where = section(view)
        lead = "" if where is Section.DONE else f"{where.value}: "
        return {
            TICK: "",
            NAME: view.name,
            STATE: lead + state_text(view) if where is not Section.PAUSED else state_text(view),
            PROGRESS: progress_text(view),
            LEFT: left_text(view),
            DEVICE: view.device,
            AUC: "" if auc is None else f"{auc:.3f}",
            RECIPE: RECIPE_SHORT.get(view.recipe, view.recipe),
        }[column]


class ProgressDelegate(QStyledItemDelegate):
    """A calm bar with the figures beside it."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw the background as usual, then the bar."""
        view: RunView = index.data(VIEW_ROLE)
        self.initStyleOption(option, index)
        text, option.text = option.text, ""
        style = option.widget.style()
        style.drawControl(QStyle.ControlElement.CE_ItemViewItem, option, painter, option.widget)
        if not text:
            return
        palette = option.widget.palette()
        ink, ground = palette.color(QPalette.ColorRole.Text), palette.color(QPalette.ColorRole.Base)
        area = QRectF(option.rect).adjusted(8, 0, -8, 0)
        width = min(110.0, area.width() * 0.5)
        bar = QRectF(area.left(), area.center().y() - 3, width, 6)
        share = min(1.0, view.done / view.total)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(blend(ink, ground, 0.18))
        painter.drawRoundedRect(bar, 3, 3)
        over = view.state.is_final or view.state is RunState.PAUSED
        painter.setBrush(blend(ink, ground, 0.45) if over else palette.color(QPalette.ColorRole.Accent))
        painter.drawRoundedRect(QRectF(bar.left(), bar.top(), max(6.0, width * share), 6), 3, 3)
        painter.setPen(ink)
        left = QRectF(bar.right() + 10, area.top(), area.right() - bar.right() - 10, area.height())
        painter.drawText(left, int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft), text)
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Room for the bar and the figures."""
        text = str(index.data(Qt.ItemDataRole.DisplayRole))
        return QSize(150 + option.fontMetrics.horizontalAdvance(text), super().sizeHint(option, index).height())


class RunTable(QTableView):
    """The view on `RunModel`.

    Signals:
        chosen(object): the run id of the current row, or None.
    """

    chosen = Signal(object)

    def __init__(self, model: RunModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self._chosen: int | None = None
        self.setModel(model)
        self.setAccessibleName("Runs")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(round(self.fontMetrics().height() * 1.9))
        self.setItemDelegateForColumn(PROGRESS, ProgressDelegate(self))
        head = self.horizontalHeader()
        head.setHighlightSections(False)
        head.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        widest = max(self.fontMetrics().horizontalAdvance(name) for name in RECIPE_SHORT.values()) + 24
        for column, width in enumerate((34, 0, 190, 240, 110, 90, 80, widest)):
            if width:
                self.setColumnWidth(column, width)
        head.setSectionResizeMode(TICK, QHeaderView.ResizeMode.Fixed)
        head.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        self.selectionModel().currentRowChanged.connect(self._on_current)
        model.modelAboutToBeReset.connect(self._on_about_to_reset)
        model.modelReset.connect(self._on_reset)

    @property
    def run_id(self) -> int | None:
        """The run of the current row."""
        return self._chosen

    def choose(self, run_id: int) -> None:
        """Make a run the current one."""
        row = self._model.row_of(run_id)
        if row >= 0:
            self.setCurrentIndex(self._model.index(row, NAME))

    def _on_current(self, index: QModelIndex) -> None:
        view = self._model.view_at(index.row())
        self._tell(None if view is None else view.id)

    def _tell(self, run_id: int | None) -> None:
        if run_id != self._chosen:
            self._chosen = run_id
            self.chosen.emit(run_id)

    def _on_about_to_reset(self) -> None:
        self.selectionModel().blockSignals(True)

    def _on_reset(self) -> None:
        self.selectionModel().blockSignals(False)
        row = -1 if self._chosen is None else self._model.row_of(self._chosen)
        if row < 0 and self._model.rowCount():
            row = 0
        if row < 0:
            self._tell(None)
            return
        self.setCurrentIndex(self._model.index(row, NAME))


def _swatch(colour: QColor) -> QIcon:
    picture = QPixmap(10, 10)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(colour)
    painter.drawEllipse(1, 1, 8, 8)
    painter.end()
    icon = QIcon(picture)
    icon.addPixmap(picture, QIcon.Mode.Selected)  # else a selected row tints it
    return icon


def _warning(palette: QPalette) -> QColor:
    dark = palette.color(QPalette.ColorRole.Base).lightness() < 128
    return QColor("#ff8d84" if dark else "#b8302a")
