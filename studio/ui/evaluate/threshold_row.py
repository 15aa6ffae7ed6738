"""One category's thresholds: two sliders, what they let through, and where they come from."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent, QValidator
from PySide6.QtWidgets import (
    QDoubleSpinBox,
    QGridLayout,
    QLabel,
    QSizePolicy,
    QSlider,
    QToolButton,
    QWidget,
)

from studio.store.monitors import Scores
from studio.store.thresholds import Truth
from studio.ui.dialogs import set_role
from studio.ui.theme import Theme
from trainer.reasoning.detection import Share, wilson
from trainer.reasoning.safety import LEAST_BENIGN, Basis, Category, Threshold

FINENESS = 1000
ROOM = 560  # at 100 %: with less, the name stands above the sliders
NEVER = 1.001  # what the block's field shows as "never"


class ThresholdRow(QWidget):
    """Sliders and fields for review and block.

    Signals:
        moved(): another threshold is wanted; nothing is stored yet.
        resetAsked(Category): the default again.
    """

    moved = Signal()
    resetAsked = Signal(object)

    def __init__(self, theme: Theme, category: Category, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.category = category
        self._theme = theme
        self.stored = Threshold()
        self.wanted = Threshold()
        self._benign = np.empty(0, np.float32)
        self._there = np.empty(0, np.float32)
        self._quiet = False
        name = category.value.capitalize()
        self.name, self.told = QLabel(name, self), QLabel("", self)
        self.name.setToolTip(category.definition)
        self.review, self.block = self._slider(f"{name}: review from"), self._slider(f"{name}: block from")
        self.review_field = self._field(f"{name}: review from this score on", 1.0)
        self.block_field = self._field(f"{name}: block from this score on", NEVER, BlockField(self))
        self.reset = QToolButton(self)
        self.reset.setIcon(theme.icon("retry", "secondary"))
        self.reset.setToolTip("The default again")
        self.reset.setAccessibleName(f"{name}: the default again")
        self.reset.clicked.connect(lambda: self.resetAsked.emit(category))
        theme.switched.connect(lambda: self.reset.setIcon(theme.icon("retry", "secondary")))
        self._lay_out()
        self.review.valueChanged.connect(lambda place: self.want(place / FINENESS, self.wanted.block))
        self.block.valueChanged.connect(self._on_block)
        self.review_field.valueChanged.connect(lambda value: self.want(value, self.wanted.block))
        self.block_field.valueChanged.connect(
            lambda value: self.want(self.wanted.review, None if value > 1.0 else value)
        )

    @property
    def is_moved(self) -> bool:
        """Whether another threshold is wanted than is in force."""
        return (self.wanted.review, self.wanted.block) != (self.stored.review, self.stored.block)

    def show_stored(self, threshold: Threshold, scored: Scores, truth: Truth) -> None:
        """What is in force, and the labelled scores that it is read against; what is being moved stays as it is."""
        place = self.category.place
        said, ids = truth.values[:, place], truth.trace_ids
        values = {value: scored.only(ids[said == value].tolist()).scores[:, place] for value in (0, 1)}
        self._benign, self._there = (values[value][~np.isnan(values[value])] for value in (0, 1))
        enough = int((said == 0).sum()) >= LEAST_BENIGN
        self.block.setEnabled(enough)
        self.block_field.setEnabled(enough)
        self._count = int((said == 0).sum())
        keep = self.is_moved
        self.stored = threshold
        if not keep:
            self.wanted = threshold
        self._show()

    def want(self, review: float, block: float | None) -> None:
        """Ask for these; a block never begins below the review."""
        if self._quiet:
            return
        block = None if block is None else max(block, review)
        self.wanted = Threshold(review, block, Basis.CHOSEN)
        self._show()
        self.moved.emit()

    def back(self) -> None:
        """What is in force again."""
        self.wanted = self.stored
        self._show()

    def rates(self) -> tuple[Share, Share]:
        """Of labelled traces: benign ones that the wanted review threshold flags, and unsafe ones that it catches."""
        false, hit = (int((each >= np.float32(self.wanted.review)).sum()) for each in (self._benign, self._there))
        return wilson(false, len(self._benign)), wilson(hit, len(self._there))

    def _on_block(self, place: int) -> None:
        self.want(self.wanted.review, None if place > FINENESS else place / FINENESS)

    def _show(self) -> None:
        self._quiet = True
        block = NEVER if self.wanted.block is None else self.wanted.block
        self.review.setValue(round(self.wanted.review * FINENESS))
        self.block.setValue(round(block * FINENESS))
        self.review_field.setValue(self.wanted.review)
        self.block_field.setValue(block)
        self._quiet = False
        false, hit = self.rates()
        told = [f"false alarms {_share(false)}", f"caught {_share(hit)}", self._basis()]
        self.told.setText(" · ".join(told))
        font = self.name.font()
        font.setBold(self.is_moved)
        self.name.setFont(font)

    def _basis(self) -> str:
        if self.is_moved:
            return "not kept yet"
        few = "" if self.block.isEnabled() else f"; no block: {self._count} of {LEAST_BENIGN} benign"
        return f"{self.stored.basis.value}{few}"

    def _slider(self, name: str) -> QSlider:
        slider = QSlider(Qt.Orientation.Horizontal, self)
        slider.setRange(0, FINENESS)
        slider.setPageStep(10)
        slider.setAccessibleName(name)
        return slider

    def _field(self, name: str, top: float, field: QDoubleSpinBox | None = None) -> QDoubleSpinBox:
        field = field or QDoubleSpinBox(self)
        field.setDecimals(3)
        field.setSingleStep(0.005)
        field.setRange(0.0, top)
        field.setAccessibleName(name)
        field.setKeyboardTracking(False)
        field.lineEdit().setStyleSheet("border: none; padding: 0 4px; min-height: 0; background: transparent;")
        field.setFixedWidth(self._theme.px(74))
        return field

    def _lay_out(self) -> None:
        self.block.setRange(0, FINENESS + 1)
        self._count = 0
        set_role(self.told, "caption")
        self.told.setWordWrap(True)
        self.told.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 2, 0, 2)
        self._grid.setHorizontalSpacing(8)
        self._grid.setVerticalSpacing(0)
        self._place(above=False)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Where there is little room the name stands above its sliders."""
        super().resizeEvent(event)
        above = self.width() < self._theme.px(ROOM)
        if above != self._above:
            self._place(above=above)

    def _place(self, *, above: bool) -> None:
        self._above = above
        grid, first = self._grid, 0 if above else 1
        for each in (self.name, self.review, self.review_field, self.block, self.block_field, self.reset, self.told):
            grid.removeWidget(each)
        row = int(above)
        grid.addWidget(self.name, 0, 0, 1, 5 if above else 1)
        for column, widget in enumerate((self.review, self.review_field, self.block, self.block_field, self.reset)):
            grid.addWidget(widget, row, first + column)
        grid.addWidget(self.told, row + 1, first, 1, 5)
        self.name.setMinimumWidth(0 if above else self._theme.px(196))
        for column in range(6):
            grid.setColumnStretch(column, {first: 3, first + 2: 2}.get(column, 0))


class BlockField(QDoubleSpinBox):
    """A threshold that may be `never`."""

    def textFromValue(self, value: float) -> str:
        """Above 1 nothing is blocked."""
        return "never" if value > 1.0 else super().textFromValue(value)

    def valueFromText(self, text: str) -> float:
        """`never`, or a number."""
        return NEVER if "never".startswith(text.strip().lower() or "-") else super().valueFromText(text)

    def validate(self, text: str, place: int) -> tuple[QValidator.State, str, int]:
        """A number, or the beginning of `never`."""
        if "never".startswith(text.strip().lower() or "-"):
            whole = text.strip().lower() == "never"
            return QValidator.State.Acceptable if whole else QValidator.State.Intermediate, text, place
        return super().validate(text, place)


def _share(share: Share) -> str:
    if not share.number:
        return "not known"
    return f"{share.hits}/{share.number} = {share.value:.1%} ({100 * share.low:.0f}-{share.high:.0%})"
