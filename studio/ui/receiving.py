"""The OTLP receiver of the window: as long as the preferences want it, and what the status bar says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from studio.errors import SteplensError
from studio.settings import Settings
from studio.workspace import Workspace

if TYPE_CHECKING:
    from studio.jobs.otlp_receiver import Received, Receiver


class Receiving(QObject):
    """Opens and closes the receiver.

    Signals:
        changed(): it listens, or no longer, or more has come.
    """

    changed = Signal()
    _came = Signal(object)

    def __init__(self, workspace: Workspace, settings: Settings, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._workspace, self._settings = workspace, settings
        self.receiver: Receiver | None = None
        self.trouble = ""
        self._total: Received | None = None
        self._came.connect(self._on_came)  # from the thread of a post to this one

    @property
    def text(self) -> str:
        """For the status bar; empty when it is off."""
        if self.trouble:
            return "OTLP is off: see Preferences"
        if self.receiver is None:
            return ""
        if self._total is None:
            return f"OTLP on {self.receiver.port}"
        from studio.jobs.otlp_receiver import counted

        return f"OTLP on {self.receiver.port}, {counted(self._total.traces, 'trace')}"

    @property
    def about(self) -> str:
        """In whole sentences."""
        if self.trouble or self.receiver is None:
            return self.trouble or "Off: no other program can send anything"
        so_far = "nothing has come yet" if self._total is None else self._total.sentence()
        return f"Spans are taken at {self.receiver.address} (http/protobuf or http/json): {so_far}"

    def apply(self) -> None:
        """Listen as the settings say; one that does already goes on."""
        wanted = self._settings.otlp_port if self._settings.otlp_receiver else None
        if self.receiver is not None and self.receiver.port == wanted:
            return  # switched on while the services of the window were still being started
        self.close()
        if self._settings.otlp_receiver:
            from studio.jobs.otlp_receiver import Receiver

            try:
                self.receiver = Receiver(self._workspace, self._settings.otlp_port, self._came.emit)
            except SteplensError as error:
                self.trouble = str(error)
        self.changed.emit()

    def close(self) -> None:
        """Listen no longer; waits for a post that is being stored."""
        if self.receiver is not None:
            self.receiver.close()
        self.receiver, self._total, self.trouble = None, None, ""

    def _on_came(self, total: Received) -> None:
        if self.receiver is not None:
            self._total = total
            self.changed.emit()
