"""The editor of a setting that names something built in, or a function of the user's own: FILE.py:function."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QWidget

from studio.errors import RunError
from studio.jobs.user_code import functions_in
from studio.ui.widgets.fields import ChoiceField, Compound
from studio.ui.widgets.parts import button


class CodeField(Compound):
    """One of the words built in, or a Python file with the name of a function. Nothing is run here.

    Signals:
        changed: the text was edited or chosen.
    """

    changed = Signal()

    def __init__(
        self, value: str, known: tuple[str, ...] = (), *, own: bool = True, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.combo = ChoiceField(self)
        self.combo.setEditable(True)
        self.combo.addItems([*known])
        self.combo.setCurrentText(value)
        self.combo.setMinimumContentsLength(18)
        self.combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.combo.currentTextChanged.connect(lambda _text: self.changed.emit())
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.combo, 1)
        line = self.combo.lineEdit()
        if own and line is not None:
            line.setPlaceholderText("FILE.py:function")
            row.addWidget(button("Python file…", self._on_file, tip="Choose a file with your function", parent=self))
        self.setFocusProxy(self.combo)

    def text(self) -> str:
        """What stands in the field."""
        return self.combo.currentText().strip()

    def set_text(self, text: str) -> None:
        """Show this."""
        self.combo.setCurrentText(text)

    def take_file(self, path: Path) -> None:
        """Name a file with its function: the one called like this setting, else its first."""
        try:
            have = functions_in(path)
        except RunError:
            have = ()  # what is wrong with it is said before Start, as of a typed name
        wanted = self.accessibleName().lower()
        function = wanted if wanted in have or not have else have[0]
        self.set_text(f"{path}:{function}")

    def _on_file(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(self, "A Python file", "", "Python (*.py)")
        if chosen:
            self.take_file(Path(chosen))
        self.combo.setFocus(Qt.FocusReason.OtherFocusReason)
