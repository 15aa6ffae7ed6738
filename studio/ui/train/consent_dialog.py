"""Before code of the user's own may run: which file, which function, its checksum, and what it says."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from studio.jobs.user_code import UserCode
from studio.ui.widgets.parts import GAP, MARGIN, Quiet, button, heading, monospace

_ABOUT = (
    "The run's worker will run this code with your rights: it can read and delete your files. Run only what you have "
    "read, or wrote yourself. What runs is a copy of the file as it stands here, kept in the run folder; a file that "
    "imports others brings only itself."
)


class ConsentDialog(QDialog):
    """Shows each file and asks once for all of them.

    Signals:
        agreed(tuple[str, ...]): the sha256 of every file that may run.
    """

    agreed = Signal(object)

    def __init__(self, codes: tuple[UserCode, ...], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.codes = codes
        self.setWindowTitle("Run your own code?")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(760, 300 + 220 * len(codes))
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(GAP)
        column.addWidget(heading("Run your own code?", self, size=1.15))
        column.addWidget(Quiet(_ABOUT, self))
        for code in codes:
            self._add(code, column)
        self.yes = button("Run this code", self._on_yes, tip="Agree to these files as they stand", parent=self)
        self.no = button("Do not run it", self.reject, primary=True, parent=self)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(self.yes)
        foot.addWidget(self.no)
        column.addLayout(foot)
        self.no.setFocus()

    def _add(self, code: UserCode, column: QVBoxLayout) -> None:
        title = QLabel(f"{code.role.capitalize()}: {code.function} in {code.path}", self)
        title.setWordWrap(True)
        title.setTextFormat(Qt.TextFormat.PlainText)
        column.addWidget(title)
        checksum = Quiet(f"sha256 {code.sha256}", self)
        checksum.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        column.addWidget(checksum)
        text = monospace(code.text, self)
        text.setAccessibleName(f"What {code.path.name} says")
        column.addWidget(text, 1)

    def _on_yes(self) -> None:
        self.agreed.emit(tuple(code.sha256 for code in self.codes))
        self.accept()
