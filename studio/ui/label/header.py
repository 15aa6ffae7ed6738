"""The line at the top of the Label page: project, what is left, active time, today, saved."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QToolButton, QWidget

from studio.ui.text_line import TextLine
from studio.ui.theme import Theme

BLINK_MS = 180
WIDEST = 320  # of a project's name at 100 %


class Header(QFrame):
    """Blinks when a key was dropped because the trace was not yet to be seen.

    Signals:
        projectClicked(): the person wants another project.
    """

    projectClicked = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("labelHeader")
        self._theme = theme
        self._named = ""
        self.project = QToolButton()
        self.project.setObjectName("projectButton")
        self.project.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.project.setLayoutDirection(Qt.LayoutDirection.RightToLeft)  # the arrow behind the name
        self.project.setToolTip("Choose a project")
        self.project.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.project.clicked.connect(self.projectClicked)
        self.left = TextLine(theme, "", "Traces left")
        self.place = TextLine(theme, "", "Step")
        self.active = TextLine(theme, "", "Active time", right=True)
        self.today = TextLine(theme, "", "Submitted today", right=True)
        self.saved = TextLine(theme, "✕ 8 not saved", "Saved", right=True)
        row = QHBoxLayout(self)
        row.setContentsMargins(4, 2, 8, 2)
        row.setSpacing(16)
        for widget in (self.project, self.left, self.place):
            row.addWidget(widget)
        row.addStretch(1)
        for widget in (self.active, self.today, self.saved):
            row.addWidget(widget)
        self._calm = QTimer(self, singleShot=True, interval=BLINK_MS)
        self._calm.timeout.connect(self._on_calm)
        theme.switched.connect(self._dress)
        self._dress()
        self.show_saved(True, 0)

    @property
    def is_blinking(self) -> bool:
        """Whether it is lit up just now."""
        return self._calm.isActive()

    def blink(self) -> None:
        """Light up for a moment: a key was dropped."""
        self._light(True)
        self._calm.start()

    def show_project(self, name: str) -> None:
        """Name the project."""
        self._named = name
        self.project.setAccessibleName(f"Project {name}")
        self._cut()

    def show_counts(self, left: int, today: int) -> None:
        """How many traces are left and how many were submitted today."""
        self.left.set_text(f"{left:,} left")
        self.today.set_text(f"{today:,} today")

    def show_place(self, text: str) -> None:
        """Where in the trace one is."""
        self.place.set_text(text)

    def show_active(self, seconds: float) -> None:
        """Active time on this trace."""
        minutes, rest = divmod(int(seconds), 60)
        self.active.set_text(f"{minutes:02d}:{rest:02d} active")

    def show_saved(self, saved: bool, failed: int) -> None:
        """Whether every commit has returned; how many writes failed."""
        if failed:
            self.saved.set_text(f"✕ {failed} not saved", "negative")
        else:
            self.saved.set_text(*(("✓ saved", "positive") if saved else ("saving…", "secondary")))

    def _on_calm(self) -> None:
        self._light(False)

    def _light(self, on: bool) -> None:
        self.setProperty("blink", on)
        self.style().unpolish(self)
        self.style().polish(self)

    def _cut(self) -> None:
        """A name as long as a run's must not make the window wider."""
        metrics, room = self.project.fontMetrics(), self._theme.px(WIDEST)
        self.project.setText(metrics.elidedText(self._named, Qt.TextElideMode.ElideRight, room))
        self.project.setToolTip("Choose a project" if self.project.text() == self._named else self._named)

    def _dress(self) -> None:
        self._cut()
        self.project.setIcon(self._theme.icon("next", "secondary"))
        self.project.setIconSize(QSize(self._theme.px(16), self._theme.px(16)))
