"""The log file of this session, Qt's own messages in it, and the one excepthook."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from PySide6.QtCore import QMessageLogContext, QtMsgType, qInstallMessageHandler

from studio.domain import now

KEPT = 10
LEVELS = {
    QtMsgType.QtDebugMsg: logging.DEBUG,
    QtMsgType.QtInfoMsg: logging.INFO,
    QtMsgType.QtWarningMsg: logging.WARNING,
    QtMsgType.QtCriticalMsg: logging.ERROR,
    QtMsgType.QtFatalMsg: logging.CRITICAL,
}


def start_log(folder: Path) -> Path:
    """Log to a new file of `folder`; the newest ten are kept. Terminals hear warnings alone. Returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in sorted(folder.glob("session-*.log"))[: -KEPT + 1]:
        old.unlink(missing_ok=True)
    path = folder / f"session-{now().replace(':', '')}.log"
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s [%(threadName)s] %(message)s"))
    root = logging.getLogger()
    for terminal in root.handlers:
        terminal.setLevel(max(terminal.level, logging.WARNING))
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    return path


def catch_all(tell: Callable[[BaseException], None]) -> None:
    """Log and tell what nobody caught; the program goes on. `tell` runs in any thread."""

    def on_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        logging.getLogger("studio").critical("nobody caught this", exc_info=(kind, error, trace))
        tell(error)

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            on_error(args.exc_type, args.exc_value, args.exc_traceback)

    sys.excepthook = on_error
    threading.excepthook = in_thread


def log_qt() -> None:
    """Write Qt's messages to the log."""
    qt = logging.getLogger("qt")

    def on_message(kind: QtMsgType, where: QMessageLogContext, text: str | None) -> None:
        qt.log(LEVELS[kind], "%s (%s)", text, where.category)

    qInstallMessageHandler(on_message)
