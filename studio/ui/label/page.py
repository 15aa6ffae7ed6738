"""The page Label."""

from __future__ import annotations

from PySide6.QtWidgets import QWidget

from studio.ui.context import Context


class LabelPage(QWidget):
    """The phase-2 screen."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context

    def activate(self) -> None:
        """The page is shown."""

    def show_trace(self, trace_id: int, step: int) -> None:
        """Show this trace."""
