"""How a verb without a window tells of its progress, and how it is cancelled."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import msgspec

CANCELLED = 130  # exit code
SECONDS_BETWEEN = 0.1
Progress = Callable[[str, int, int, str], None]  # phase, done, total, text
Stop = Callable[[], bool]


class Report(Protocol):
    """What a verb says at its end."""

    def sentences(self) -> Iterator[str]:
        """The report for a person, a line each."""


def quiet(_phase: str, _done: int, _total: int, _text: str) -> None:
    """Tell nobody."""


def never() -> bool:
    """Do not stop."""
    return False


class Teller:
    """Progress on stdout as JSON lines (`json`), on a terminal as one line (`text`), or not (`none`)."""

    def __init__(self, manner: str) -> None:
        self._json = manner == "json"
        self._line = manner == "text" and sys.stderr.isatty()
        self._next = 0.0

    def __call__(self, phase: str, done: int, total: int, text: str) -> None:
        """Tell, at most ten times a second."""
        moment = time.monotonic()
        if moment < self._next:
            return
        self._next = moment + SECONDS_BETWEEN
        if self._json:
            self._write({"phase": phase, "done": done, "total": total, "text": text})
        elif self._line:
            sys.stderr.write(f"\r\x1b[K{phase} {100 * done // max(total, 1)} %  {text}")
            sys.stderr.flush()

    def report(self, report: Report) -> None:
        """Tell the end."""
        if self._json:
            self._write({"report": msgspec.to_builtins(report)})
        else:
            self.say("\n".join(report.sentences()))

    def say(self, text: str) -> None:
        """Tell a person; with JSON on the other channel."""
        if self._line:
            sys.stderr.write("\r\x1b[K")
        print(text, file=sys.stderr if self._json else sys.stdout, flush=True)

    def _write(self, value: object) -> None:
        sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
        sys.stdout.flush()


@contextmanager
def cancellable() -> Iterator[Stop]:
    """Whether SIGTERM or SIGINT has come; a second SIGINT ends the process as usual."""
    asked = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def ask(number: int, _frame: object) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    for number in before:
        signal.signal(number, ask)
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
