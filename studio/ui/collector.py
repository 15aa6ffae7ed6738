"""Python's cycle collector, kept to the GUI thread.

Left to itself it runs in whichever thread makes the next object. There it may end a signal's connection: Qt then holds
the lock of its connections and asks for Python's, while the GUI thread holds Python's and asks for Qt's; both wait for
ever. So the automatic collector is off while a window is open, and a timer of the GUI thread does its work.
"""

from __future__ import annotations

import gc

from PySide6.QtCore import QObject, QTimer

EVERY_MS = 200
YOUNG, MIDDLE, OLD = 2_000, 10, 10  # objects, then rounds of the generation below, between two collections


class Collector(QObject):
    """Collects from its making until `stop`."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._was_enabled = gc.isenabled()
        gc.disable()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.collect)

    def start(self) -> None:
        """What was made until now stays and is not looked through again; from now on, collect."""
        gc.freeze()
        self._timer.start(EVERY_MS)

    def collect(self) -> None:
        """The oldest generation that is due."""
        young, middle, old = gc.get_count()
        if old > OLD and middle > MIDDLE:
            gc.collect(2)
        elif middle > MIDDLE:
            gc.collect(1)
        elif young > YOUNG:
            gc.collect(0)

    def stop(self) -> None:
        """Leave it as it was found."""
        self._timer.stop()
        gc.unfreeze()
        if self._was_enabled:
            gc.enable()
