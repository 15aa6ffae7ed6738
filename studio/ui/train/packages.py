"""The training packages: looked for at the start, installed as a visible job when they are not there."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt, Signal

from studio.errors import RunError
from studio.jobs import runtime
from studio.jobs.runtime import Installation, InstallState, InstallView, Runtime
from studio.ui.widgets.child_process import Progress

if TYPE_CHECKING:
    from studio.ui.context import Context

LOG = "training-packages.log"
_USUAL_COUNT = 60  # packages that pip turns to on a bare environment: for the bar alone


class PackagesState(StrEnum):
    """What is known of the training packages."""

    UNKNOWN = "unknown"
    READY = "ready"
    MISSING = "missing"
    INSTALLING = "installing"
    BROKEN = "broken"


class Packages(QObject):
    """Whether runs can start with the interpreter of the settings, and the job that makes it so.

    It speaks like a child process, so that the status bar shows it with Cancel.

    Signals:
        changed(): `state`, `text` or the progress is another.
        progressed(Progress): how far pip is.
        ended(): pip has ended.
    """

    changed = Signal()
    progressed = Signal(object)
    ended = Signal()
    _told = Signal(object)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._context = context
        self._job: Installation | None = None
        self.state = PackagesState.UNKNOWN
        self.text = ""
        self.log = context.workspace.cache / LOG
        self._told.connect(self._on_told, Qt.ConnectionType.QueuedConnection)

    @property
    def allows_start(self) -> bool:
        """Whether a run may be queued now."""
        return self.state in (PackagesState.READY, PackagesState.UNKNOWN)

    def look(self) -> None:
        """Ask the interpreter in the background; packages that are missing in our own environment are installed."""
        program = self._context.settings.interpreter or None
        self._context.background.call(self, lambda: runtime.check(program), self._on_found)

    def install(self) -> None:
        """Start pip in the interpreter of the settings."""
        if self.state is PackagesState.INSTALLING:
            return
        self._job = Installation(self.log, self._told.emit, self._context.settings.interpreter or None)
        try:
            self._job.start()
        except RunError as error:
            self._say(PackagesState.BROKEN, str(error))
            return
        self._say(PackagesState.INSTALLING, "starting pip")
        self._context.childStarted.emit("Training packages", self)

    def cancel(self) -> None:
        """Stop pip; what it has installed stays."""
        if self._job is not None:
            self._job.cancel()

    def log_text(self) -> str:
        """The end of pip's log. Reads a file."""
        try:
            return self.log.read_text("utf-8", "replace")[-64_000:]
        except FileNotFoundError:
            return ""

    def _on_found(self, found: Runtime) -> None:
        if found.problem:
            self._say(PackagesState.BROKEN, found.problem)
        elif found.ready:
            self._say(PackagesState.READY, "")
        else:
            self._say(PackagesState.MISSING, f"{found.interpreter} lacks {', '.join(found.missing)}")
            if not self._context.settings.interpreter:
                self.install()

    def _on_told(self, view: InstallView) -> None:
        if view.state is InstallState.RUNNING:
            self.progressed.emit(Progress("installing", min(view.packages, _USUAL_COUNT - 1), _USUAL_COUNT, view.line))
            self._say(PackagesState.INSTALLING, view.line)
            return
        self._job = None
        self.ended.emit()
        if view.state is InstallState.DONE:
            self._say(PackagesState.READY, "")
            self._context.say("The training packages are installed")
        else:
            self._say(PackagesState.MISSING, view.line)

    def _say(self, state: PackagesState, text: str) -> None:
        self.state, self.text = state, text
        self.changed.emit()
