"""Saying when the first trace could be read, for the start-up benchmark: one JSON line, then quit."""

from __future__ import annotations

import json
import sys
import time

from PySide6.QtCore import QObject, QTimer
from PySide6.QtWidgets import QApplication

from studio.ui.actions import Page
from studio.ui.main_window import MainWindow
from studio.ui.widgets.paint_gate import PaintGate


class FirstPaint(QObject):
    """Watches the shown page until its trace has been painted with all its maths.

    The line holds `at` (monotonic seconds), `cpu` (seconds this process had used) and `modules` imported by then.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._at = self._cpu = 0.0
        gate = getattr(window.page_widget(window.page or Page.LABEL), "gate", None)
        if not isinstance(gate, PaintGate):
            raise TypeError(f"the page {window.page} shows no trace")
        gate.opened.connect(self._on_opened)

    def _on_opened(self) -> None:
        if self._at:
            return
        self._at, self._cpu = time.monotonic(), time.process_time()
        modules = sorted(sys.modules)
        QTimer.singleShot(0, lambda: self._say(modules))

    def _say(self, modules: list[str]) -> None:
        sys.stdout.write(json.dumps({"at": self._at, "cpu": self._cpu, "modules": modules}) + "\n")
        sys.stdout.flush()
        QApplication.quit()
