"""What helpers are asked to do in these tests."""

from __future__ import annotations

import os
import time
from pathlib import Path


def square(number: int) -> int:
    """n squared."""
    return number * number


def fail(text: str) -> None:
    """Raise."""
    raise ValueError(text)


def note(order: tuple[str, str, float]) -> None:
    """Append a name to a file after a while."""
    path, name, seconds = order
    time.sleep(seconds)
    with Path(path).open("a", encoding="utf-8") as stream:
        stream.write(name + "\n")


def note_when(order: tuple[str, str, str]) -> None:
    """Tell that it has begun, and append a name to a file when another file is there."""
    path, name, go = order
    Path(go).with_suffix(".begun").touch()
    while not Path(go).exists():
        time.sleep(0.01)
    note((path, name, 0.0))


def own_pid(_: object) -> int:
    """Which process this is."""
    return os.getpid()


def die(_: object) -> None:
    """End the helper without a word."""
    os._exit(3)


def chatter(text: str) -> str:
    """Write to standard output, as libraries do."""
    print(text, flush=True)
    return text


def prepare() -> None:
    """Called by a helper before its first job."""
    os.environ["STEPLENS_PREPARED"] = "yes"


def is_prepared(_: None) -> bool:
    """Whether `prepare` was called in this process."""
    return os.environ.get("STEPLENS_PREPARED") == "yes"
