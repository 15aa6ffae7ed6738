"""Long work of the window is the command line in a child process: progress as JSON lines, SIGTERM as Cancel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from PySide6.QtCore import QCoreApplication, QObject, QProcess, QProcessEnvironment, QTimer, Signal

from studio.jobs import children

CANCELLED_CODE = 130
KILL_AFTER_MS = 20_000  # of silence
STOP_WAIT_MS = 3_000
KEPT_STDERR = 64 * 1024
SHOWN_STDERR = 4_000


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a child is; `total` 0 = unknown."""

    phase: str
    done: int
    total: int
    text: str = ""


class ChildProcess(QObject):
    """One verb of `python -m studio` in a child process; runs once.

    Signals:
        progressed: a `Progress`.
        reported: the dict of the child's last line; the child may still have left with an exit code above 0.
        failed: what to show a person: the child ended without a report and nobody had cancelled it.
        cancelled: the child stopped because it was asked to; nothing it wrote is visible.
        ended: always last, after exactly one of the three above.
    """

    progressed = Signal(object)
    reported = Signal(object)
    failed = Signal(str)
    cancelled = Signal()
    ended = Signal()

    def __init__(self, arguments: Sequence[str], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.arguments = list(arguments)
        self.exit_code: int | None = None
        self._rest = b""
        self._errors = b""
        self._report: dict[str, Any] | None = None
        self._asked_to_stop = False
        self._over = False
        self._process = QProcess(self)
        environment = QProcessEnvironment()
        for name, value in children.environment().items():
            environment.insert(name, value)
        self._process.setProcessEnvironment(environment)
        self._process.readyReadStandardOutput.connect(self._on_output)
        self._process.readyReadStandardError.connect(self._on_errors)
        self._process.finished.connect(self._on_finished)
        self._process.errorOccurred.connect(self._on_error)
        self._killer = QTimer(self, singleShot=True, interval=KILL_AFTER_MS)
        self._killer.timeout.connect(self._process.kill)

    def start(self) -> None:
        """Start the child; signals follow."""
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.stop_now)
        verb, *rest = self.arguments
        program, *command = children.command(verb, "--progress", "json", *rest)
        self._process.start(program, command)

    @property
    def running(self) -> bool:
        """Whether the child lives."""
        return self._process.state() != QProcess.ProcessState.NotRunning

    def cancel(self) -> None:
        """Ask the child to stop (SIGTERM); it removes what it wrote. Killed when it is silent for 20 s."""
        if self.running and not self._asked_to_stop:
            self._asked_to_stop = True
            self._process.terminate()
            self._killer.start()

    def stop_now(self) -> None:
        """Stop the child because the program ends; a batch it leaves is removed at the next start."""
        if not self.running:
            return
        self._over = True
        self._process.terminate()
        if not self._process.waitForFinished(STOP_WAIT_MS):
            self._process.kill()
            self._process.waitForFinished(1_000)

    def error_text(self) -> str:
        """The end of what the child wrote to stderr."""
        return self._errors.decode("utf-8", "replace").strip()[-SHOWN_STDERR:]

    def _on_output(self) -> None:
        if self._killer.isActive():
            self._killer.start()  # it cleans up, however long that takes
        *lines, self._rest = (self._rest + bytes(self._process.readAllStandardOutput().data())).split(b"\n")
        latest: Progress | None = None
        for line in lines:
            found = self._read(line)
            latest = found or latest
        if latest is not None and not self._over:
            self.progressed.emit(latest)

    def _read(self, line: bytes) -> Progress | None:
        """One line of the protocol; anything else a library prints is kept with the errors."""
        if not line.strip():
            return None
        try:
            value = msgspec.json.decode(line)
        except msgspec.DecodeError:
            value = None
        if not isinstance(value, dict):
            self._keep(line + b"\n")
        elif isinstance(value.get("report"), dict):
            self._report = value["report"]
        elif "phase" in value:
            done, total = int(value.get("done") or 0), int(value.get("total") or 0)
            return Progress(str(value["phase"]), done, total, str(value.get("text") or ""))
        return None

    def _on_errors(self) -> None:
        self._keep(bytes(self._process.readAllStandardError().data()))

    def _keep(self, data: bytes) -> None:
        self._errors = (self._errors + data)[-KEPT_STDERR:]

    def _on_error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart and not self._over:
            self._over = True
            self.failed.emit(f"{self._process.program()} could not be started: {self._process.errorString()}")
            self.ended.emit()

    def _on_finished(self, code: int, status: QProcess.ExitStatus) -> None:
        self._killer.stop()
        self._on_output()
        self._on_errors()
        if self._rest:
            self._read(self._rest)
        self.exit_code = code
        if self._over:
            return
        self._over = True
        if self._report is not None and code != CANCELLED_CODE and status == QProcess.ExitStatus.NormalExit:
            self.reported.emit(self._report)
        elif self._asked_to_stop or code == CANCELLED_CODE:
            self.cancelled.emit()
        else:
            how = f"exit code {code}" if status == QProcess.ExitStatus.NormalExit else "it was killed or crashed"
            self.failed.emit(f"{self.arguments[0]} did not finish ({how}).\n{self.error_text()}".strip())
        self.ended.emit()
