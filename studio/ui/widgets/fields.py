"""Editors of single values that never change a value silently: what cannot be is kept, marked and explained."""

from __future__ import annotations

import math

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent, QWheelEvent
from PySide6.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QWidget

from studio.ui.widgets.parts import button, set_property


class NumberField(QLineEdit):
    """A number typed, or stepped by Up and Down: whole numbers by one, others along 1, 2, 5 of each decade.

    Unlike a plain spin box it never clamps what was typed: `problem()` says what is wrong.

    Signals:
        changed: the text was edited or stepped.
    """

    changed = Signal()

    def __init__(
        self,
        value: float,
        *,
        whole: bool,
        low: float | None = None,
        high: float | None = None,
        unit: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.whole, self.low, self.high, self.unit = whole, low, high, unit
        self.setFixedWidth(130)
        self.setText(self._shown(value))
        self.textEdited.connect(lambda _text: self.changed.emit())

    def text_value(self) -> str:
        """What stands in the field."""
        return self.text().strip()

    def number(self) -> float | int | None:
        """The number that stands in the field, None when it is none."""
        text = self.text_value().replace("_", "")
        try:
            return int(text) if self.whole else _finite(float(text.replace(",", ".")))
        except ValueError:
            return None

    def problem(self) -> str:
        """What is wrong with the text, in words; empty when nothing is."""
        value = self.number()
        if value is None:
            return f"“{self.text_value()}” is not a {'whole ' if self.whole else ''}number"
        if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            return f"must be {self.range_text()}"
        return ""

    def range_text(self) -> str:
        """The allowed range in words."""
        if self.low is not None and self.high is not None:
            return f"{_grouped(self.low)} to {_grouped(self.high)}"
        if self.low is not None:
            return f"at least {_grouped(self.low)}"
        return f"at most {_grouped(self.high)}" if self.high is not None else "any number"

    def set_number(self, value: float) -> None:
        """Show a number; tells nobody."""
        self.setText(self._shown(value))

    def _shown(self, value: float) -> str:
        return str(int(value)) if self.whole or (value == int(value) and abs(value) < 1e6) else f"{value:g}"

    def step_by(self, steps: int) -> None:
        """Go up or down, staying in the range."""
        value: float | int | None = self.number()
        if value is None:
            return
        for _ in range(abs(steps)):
            value = value + (1 if steps > 0 else -1) if self.whole else _next_round(value, up=steps > 0)
        if self.low is not None:
            value = max(value, self.low)
        if self.high is not None:
            value = min(value, self.high)
        self.set_number(value)
        self.selectAll()
        self.changed.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Up and Down step."""
        if event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            self.step_by(1 if event.key() == Qt.Key.Key_Up else -1)
        else:
            super().keyPressEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """The wheel steps a field with the focus; scrolling the form must not change what lies under the pointer."""
        if self.hasFocus() and event.angleDelta().y():
            self.step_by(1 if event.angleDelta().y() > 0 else -1)
            event.accept()
        else:
            event.ignore()


class ChoiceField(QComboBox):
    """A combo box that leaves the wheel to the form around it unless it has the focus."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumWidth(130)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Scrolling the form must not change what lies under the pointer."""
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


class Compound(QWidget):
    """A field of several parts: what it is called and what it is for, its parts are told as well.

    A screen reader reads the part that has the keys, never the widget around it.
    """

    def setAccessibleName(self, name: str) -> None:
        """Name the box and its buttons, too."""
        super().setAccessibleName(name)
        for box in self.findChildren(QComboBox):
            box.setAccessibleName(name)
            if (line := box.lineEdit()) is not None:
                line.setAccessibleName(name)
        for each in self.findChildren(QPushButton):
            each.setAccessibleName(f"{name}: {each.text()}")

    def setAccessibleDescription(self, text: str) -> None:
        """Describe the box, too."""
        super().setAccessibleDescription(text)
        for box in self.findChildren(QComboBox):
            box.setAccessibleDescription(text)


class ModelField(Compound):
    """A model: one of the known ones, or a typed hub id, or a folder or GGUF file chosen on disk.

    Signals:
        changed: the text was edited or chosen.
    """

    changed = Signal()

    def __init__(self, value: str, known: tuple[str, ...] = (), parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.combo = ChoiceField(self)
        self.combo.setEditable(True)
        self.combo.addItems([*known])
        self.combo.setCurrentText(value)
        self.combo.setMinimumContentsLength(22)
        self.combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.combo.currentTextChanged.connect(lambda _text: self.changed.emit())
        folder = button("Folder…", self._on_folder, tip="Choose a model's folder", parent=self)
        file = button("File…", self._on_file, tip="Choose a GGUF file", parent=self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.combo, 1)
        row.addWidget(folder)
        row.addWidget(file)
        self.setFocusProxy(self.combo)

    def text(self) -> str:
        """The model: what a known name stands for, else what was typed."""
        typed = self.combo.currentText().strip()
        known = self.combo.findText(typed, Qt.MatchFlag.MatchExactly)
        return str(self.combo.itemData(known) or typed) if known >= 0 else typed

    def set_text(self, text: str) -> None:
        """Show a model, by its name if it is a known one."""
        known = self.combo.findData(text)
        self.combo.setCurrentText(self.combo.itemText(known) if known >= 0 else text)

    def add_known(self, name: str, value: str) -> None:
        """Offer a model under a name that people read; tells nobody."""
        blocked = self.combo.blockSignals(True)
        typed = self.text()
        self.combo.addItem(name, value)
        self.combo.setItemData(self.combo.count() - 1, value, Qt.ItemDataRole.ToolTipRole)
        self.set_text(typed)
        self.combo.blockSignals(blocked)

    def _on_folder(self) -> None:
        if chosen := QFileDialog.getExistingDirectory(self, "A model's folder"):
            self.combo.setCurrentText(chosen)

    def _on_file(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(self, "A GGUF file", "", "GGUF models (*.gguf);;All files (*)")
        if chosen:
            self.combo.setCurrentText(chosen)


def mark_invalid(widget: QWidget, invalid: bool) -> None:
    """Give an editor the look of an error, or its own again; of a compound one, the part that takes the keys."""
    set_property(widget.focusProxy() or widget, "invalid", invalid)


def _grouped(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(value)
    return value


def _next_round(value: float, *, up: bool) -> float:
    """The next number of the series ... 0.1, 0.2, 0.5, 1, 2, 5 ... above or below; 0 goes to 1e-5 and back."""
    if value < 0:
        return -_next_round(-value, up=not up)
    smallest = 1e-5
    if value < smallest:
        return smallest if up else 0.0
    exponent = math.floor(math.log10(value) + 1e-12)
    series = [m * 10.0**e for e in (exponent - 1, exponent, exponent + 1) for m in (1, 2, 5)]
    if up:
        return float(f"{next(s for s in series if s > value * (1 + 1e-9)):.12g}")
    lower = next(s for s in reversed(series) if s < value * (1 - 1e-9))
    return float(f"{lower:.12g}") if lower >= smallest * (1 - 1e-9) else 0.0
