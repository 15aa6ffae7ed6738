"""One window a workspace: a second start raises the first one's window."""

from __future__ import annotations

import hashlib
from pathlib import Path

from PySide6.QtCore import QLockFile, QObject, Signal
from PySide6.QtNetwork import QLocalServer, QLocalSocket

WAIT_MS = 1_000


class SingleInstance(QObject):
    """Holds the lock file of a workspace folder while this window is open.

    Signals:
        raised(): a second start asked this window to come to the front.
    """

    raised = Signal()

    def __init__(self, folder: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._name = "steplens-" + hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:20]
        self._lock = QLockFile(str(folder / "window.lock"))
        self._lock.setStaleLockTime(0)  # stale only when its process is gone
        self._server: QLocalServer | None = None

    def acquire(self) -> bool:
        """Take the lock and listen; False when another window has it."""
        if not self._lock.tryLock(0):
            return False
        QLocalServer.removeServer(self._name)  # left by a killed window
        self._server = QLocalServer(self)
        self._server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        self._server.newConnection.connect(self._on_connection)
        self._server.listen(self._name)
        return True

    def raise_other(self) -> bool:
        """Ask the window that has the workspace to come to the front; False when it does not answer."""
        socket = QLocalSocket()
        socket.connectToServer(self._name)
        reached = socket.waitForConnected(WAIT_MS)
        socket.abort()
        return reached

    def release(self) -> None:
        """Let another window have the workspace."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._lock.unlock()

    def _on_connection(self) -> None:
        assert self._server is not None
        self._server.nextPendingConnection().deleteLater()
        self.raised.emit()
