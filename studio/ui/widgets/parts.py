"""Small pieces the Train and Data pages are set from: headings, quiet text, buttons, empty states, copyable text."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QColor, QFontDatabase
from PySide6.QtWidgets import (
    QApplication,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

GAP = 12
MARGIN = 16
LABEL_WIDTH = 150


class Quiet(QLabel):
    """Secondary text: smaller and calmer, and readable on every theme."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.setTextFormat(Qt.TextFormat.PlainText)  # what a model wrote is never markup
        self.setWordWrap(True)
        self.setProperty("role", "caption")


def blend(over: QColor, under: QColor, share: float) -> QColor:
    """`share` of one colour over another, opaque."""
    pairs = zip((over.red(), over.green(), over.blue()), (under.red(), under.green(), under.blue()), strict=True)
    return QColor(*(round(share * a + (1 - share) * b) for a, b in pairs))


class _Heading(QLabel):
    """Bold, and so many times the size of other text; follows it when that is made larger."""

    def __init__(self, text: str, parent: QWidget | None, size: float) -> None:
        super().__init__(text, parent)
        self._size = size
        self._dress()

    def changeEvent(self, event: QEvent) -> None:
        """A style sheet for another size of text is here: by then the application has its other font."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange:
            self._dress()

    def _dress(self) -> None:
        font = QApplication.font()
        font.setBold(True)
        font.setPointSizeF(font.pointSizeF() * self._size)
        if font != self.font():
            self.setFont(font)


def heading(text: str, parent: QWidget | None = None, *, size: float = 1.0) -> QLabel:
    """A bold line; `size` scales the font."""
    return _Heading(text, parent, size)


def button(
    text: str, pressed: Callable[[], object], *, tip: str = "", primary: bool = False, parent: QWidget | None = None
) -> QPushButton:
    """A push button that calls `pressed`; the tip is also what a screen reader says. `primary`: the one to press."""
    made = QPushButton(text, parent)
    made.setProperty("primary", primary)
    made.setAutoDefault(False)
    made.clicked.connect(lambda _checked=False: pressed())
    made.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
    if tip:
        made.setToolTip(tip)
        made.setAccessibleDescription(tip)
    return made


def monospace(text: str = "", parent: QWidget | None = None) -> QPlainTextEdit:
    """Read-only text in the fixed font, to read and to copy."""
    box = QPlainTextEdit(text, parent)
    box.setReadOnly(True)
    box.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
    box.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
    return box


class EmptyState(QWidget):
    """What stands where nothing is yet: one sentence, a hint, and the one action that fills the place."""

    def __init__(
        self,
        title: str,
        hint: str,
        action: str = "",
        pressed: Callable[[], object] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.title = heading(title, self, size=1.25)
        self.hint = Quiet(hint, self)
        self.hint.setFixedWidth(440)
        column = QVBoxLayout(self)
        column.setSpacing(GAP)
        centre = Qt.AlignmentFlag.AlignHCenter
        column.addStretch(1)
        self.title.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column.addWidget(self.title)
        row = QHBoxLayout()  # a layout of its own asks the wrapped text for its height
        row.addStretch(1)
        row.addWidget(self.hint)
        row.addStretch(1)
        column.addLayout(row)
        self.button: QPushButton | None = None
        if pressed is not None:
            self.button = button(action, pressed, primary=True, parent=self)
            column.addWidget(self.button, 0, centre)
        column.addStretch(1)

    def say(self, title: str, hint: str) -> None:
        """Stand for something else."""
        self.title.setText(title)
        self.hint.setText(hint)


def align_labels(form: QFormLayout) -> None:
    """Give the labels of a form the width that all forms share, so that their fields stand in one line."""
    form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    for row in range(form.rowCount()):
        item = form.itemAt(row, QFormLayout.ItemRole.LabelRole)
        label = None if item is None else item.widget()
        if label is not None:
            label.setMinimumWidth(LABEL_WIDTH)


def plural(count: int, one: str, many: str = "") -> str:
    """A count with its noun: "1 row", "1,204 rows"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """A span of time as people say it: "45 s", "3 min", "8 h 20 min"."""
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s" if seconds < 1 else f"{seconds:.0f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} days {hours % 24} h"


def size_text(count: float) -> str:
    """Bytes as people say them: "212 GB", "3.4 MB"."""
    units = ["B", "kB", "MB", "GB", "TB"]
    position = 0
    while count >= 1000 and position < len(units) - 1:
        count, position = count / 1000, position + 1
    digits = 0 if position == 0 or count >= 100 else 1
    return f"{count:.{digits}f} {units[position]}"


def set_property(widget: QWidget, name: str, value: object) -> None:
    """Set a property that the style sheet looks at, and take the new look."""
    if widget.property(name) != value:
        widget.setProperty(name, value)
        widget.style().unpolish(widget)
        widget.style().polish(widget)
