"""A word over the transcript when more of the trace has come than can be seen: a click goes there."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton

from studio.ui.inspect.transcript import Transcript
from studio.ui.widgets.parts import plural


class NewBelow(QPushButton):
    """Lies at the foot of a transcript as long as its end is out of sight."""

    def __init__(self, steps: Transcript) -> None:
        super().__init__(steps)
        self._steps = steps
        self.setAccessibleName(self.tr("New steps below"))
        self.setProperty("primary", True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.hide()
        steps.scrolled.connect(self.place)
        self.clicked.connect(lambda _checked=False: self._go())

    def tell(self, steps: int) -> None:
        """So many steps have come."""
        if steps > 0 and not self._steps.at_end:
            self.setText(f"{plural(steps, 'new step')} below")
            self.show()
        self.place()

    def place(self) -> None:
        """In the middle above the lower edge; gone when the end is in sight."""
        if self.isHidden():
            return
        if self._steps.at_end:
            self.hide()
            return
        self.adjustSize()
        room = self._steps.viewport().rect()
        self.move(room.center().x() - self.width() // 2, room.bottom() - self.height() - 10)
        self.raise_()

    def _go(self) -> None:
        self.hide()
        self._steps.to_end()
