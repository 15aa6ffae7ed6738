"""The view on the steps of a rollout: rows as high as their text, scores edited by mouse and keyboard."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QModelIndex, QTimer
from PySide6.QtGui import QKeyEvent, Qt
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from studio.ui.theme import Theme
from studio.ui.train.rollouts_delegate import FigureDelegate, NumberDelegate, ScoreDelegate, TextDelegate
from studio.ui.train.rollouts_step_model import NUMBER, PAID, SCORE, TEXT, WHAT_IF, RolloutStepModel

_WIDTHS = {NUMBER: 44, SCORE: 96, PAID: 104, WHAT_IF: 104}
_EDIT_KEYS = (Qt.Key.Key_F2, Qt.Key.Key_Return, Qt.Key.Key_Enter)


class RolloutStepTable(QTableView):
    """Steps with score, paid and what-if advantage."""

    def __init__(self, theme: Theme, model: RolloutStepModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme, self._steps = theme, model
        self.setModel(model)
        self.setAccessibleName("Steps of the chosen trace with score and advantages")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        self.setMouseTracking(True)
        self.verticalHeader().hide()
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setMinimumSectionSize(1)
        head = self.horizontalHeader()
        head.setHighlightSections(False)
        head.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        head.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        head.setSectionResizeMode(TEXT, QHeaderView.ResizeMode.Stretch)
        self.text_delegate = TextDelegate(theme, model, self)
        figures = FigureDelegate(theme, model, self)
        self.setItemDelegateForColumn(NUMBER, NumberDelegate(theme, model, self))
        self.setItemDelegateForColumn(TEXT, self.text_delegate)
        self.setItemDelegateForColumn(SCORE, ScoreDelegate(theme, model, self))
        for column in (PAID, WHAT_IF):
            self.setItemDelegateForColumn(column, figures)
        self._fitting = QTimer(self)
        self._fitting.setSingleShot(True)
        self._fitting.timeout.connect(self.resizeRowsToContents)
        head.sectionResized.connect(lambda *_: self._fitting.start(0))
        model.modelReset.connect(self._on_reset)
        self.doubleClicked.connect(self._on_double_click)
        self._size_columns()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """F2 or Enter edits the score of the row from any column; Delete takes an edit back."""
        index = self.currentIndex()
        here = index.isValid() and not self.is_edited
        if here and event.key() in _EDIT_KEYS:
            self.edit_score(index.row())
        elif here and event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self._steps.scoreEdited.emit(index.row(), None)
        else:
            super().keyPressEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        """Other text sizes want other rows."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange) and hasattr(self, "_fitting"):
            self._size_columns()
            self._fitting.start(0)

    @property
    def is_edited(self) -> bool:
        """Whether a spin box is open."""
        return self.state() is QAbstractItemView.State.EditingState

    def edit_score(self, row: int) -> None:
        """Open the spin box of a step's score; what follows the last step has none."""
        index = self._steps.index(row, SCORE)
        if self._steps.flags(index) & Qt.ItemFlag.ItemIsEditable:
            self.setCurrentIndex(index)
            self.edit(index)

    def _on_double_click(self, index: QModelIndex) -> None:
        if index.column() != SCORE:  # there the view opens the editor itself
            self.edit_score(index.row())

    def _on_reset(self) -> None:
        self.resizeRowsToContents()
        if self._steps.rowCount():
            self.setCurrentIndex(self._steps.index(0, SCORE))

    def _size_columns(self) -> None:
        for column, width in _WIDTHS.items():
            self.setColumnWidth(column, self._theme.px(width))
