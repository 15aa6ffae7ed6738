"""The line above the rollouts: which update is shown, and what is known of it."""

from __future__ import annotations

from bisect import bisect_left

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QSlider, QSpinBox, QWidget

from studio.ui.widgets.parts import Quiet, button

WITHOUT_ARROWS = "QAbstractSpinBox::up-button, QAbstractSpinBox::down-button { width: 0; height: 0; border: none; }"
"""Up and Down step a spin box as well."""


class UpdateBar(QWidget):
    """Chooses one of the updates that a run folder holds; the newest until another is chosen.

    Signals:
        chosen(int): show this update.
    """

    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.updates: tuple[int, ...] = ()
        self.follows = True
        self._quiet = False
        self.slider = QSlider(Qt.Orientation.Horizontal, self)
        self.slider.setAccessibleName("Update")
        self.slider.setMinimumWidth(160)
        self.slider.setPageStep(10)
        self.number = QSpinBox(self)
        self.number.setAccessibleName("Number of the update")
        self.number.setKeyboardTracking(False)
        self.number.setStyleSheet(WITHOUT_ARROWS)
        self.number.setMinimumWidth(80)
        self.newest = button("Newest", self.follow, tip="Show the newest update, and stay with it", parent=self)
        self.about = Quiet("", self)
        self.about.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.slider.valueChanged.connect(lambda place: self._on_chosen(self.updates[place]))
        self.number.valueChanged.connect(lambda number: self._on_chosen(self._nearest(number)))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(QLabel("Update", self))
        row.addWidget(self.slider)
        row.addWidget(self.number)
        row.addWidget(self.newest)
        row.addWidget(self.about, 1)

    @property
    def update_number(self) -> int | None:
        """The chosen update, None where there is none."""
        return self.updates[self.slider.value()] if self.updates else None

    def show_updates(self, updates: tuple[int, ...], *, hold: bool = False) -> None:
        """Offer these updates; `hold`: stay where it is although newer ones came. Tells nobody."""
        chosen = self.update_number
        self.updates = updates
        if not updates:
            return
        self._quiet = True
        self.slider.setRange(0, len(updates) - 1)
        self.number.setRange(updates[0], updates[-1])
        stays = chosen is not None and (hold or not self.follows)
        self._show(self._nearest(chosen) if stays and chosen is not None else updates[-1])
        self._quiet = False

    def follow(self) -> None:
        """Show the newest update from now on."""
        self.follows = True
        if self.updates:
            self._on_chosen(self.updates[-1])
        self.newest.setEnabled(False)

    def _on_chosen(self, update: int) -> None:
        if self._quiet:
            return
        self._quiet = True
        self._show(update)
        self._quiet = False
        self.follows = update == self.updates[-1]
        self.chosen.emit(update)

    def _show(self, update: int) -> None:
        self.slider.setValue(self.updates.index(update))
        self.number.setValue(update)
        self.newest.setEnabled(update != self.updates[-1])

    def _nearest(self, number: int) -> int:
        place = bisect_left(self.updates, number)
        around = self.updates[max(0, place - 1) : place + 1]
        return min(around, key=lambda each: abs(each - number))
