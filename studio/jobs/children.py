"""Verbs of the command line as child processes: heavy Python stays out of the window's process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

import studio
from studio.errors import RunError

Progress = Callable[[str, int, int], None]


def command(*arguments: str) -> list[str]:
    """`python -m studio ARGUMENTS` with the interpreter of this process."""
    return [sys.executable, "-m", "studio", *arguments]


def environment() -> dict[str, str]:
    """The present environment, in which a child finds this very `studio`."""
    root = str(Path(studio.__file__ or "").parent.parent)
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def call(arguments: Sequence[str], *, given: bytes = b"", progress: Progress | None = None) -> dict[str, Any]:
    """Run a verb that speaks the JSON protocol to its end; its report. Raises RunError, and what `progress` raises."""
    pipe = subprocess.PIPE
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen(command(*arguments), stdin=pipe, stdout=pipe, stderr=errors, env=environment()) as child:
            feeder = threading.Thread(target=_feed, args=(child, given), daemon=True)
            feeder.start()
            try:
                report = _listen(child, progress)
            except BaseException:
                child.terminate()
                raise
            finally:
                feeder.join()
        errors.seek(0)
        text = errors.read().decode("utf-8", "replace").strip()
    if child.returncode == 0 and report is not None:
        return report
    raise RunError(text.rpartition("steplens: ")[2] or f"{arguments[0]} left with code {child.returncode} and no word")


def _feed(child: subprocess.Popen[bytes], given: bytes) -> None:
    assert child.stdin is not None
    try:
        child.stdin.write(given)
        child.stdin.close()
    except BrokenPipeError:
        return  # it left before it had read everything; its exit code tells


def _listen(child: subprocess.Popen[bytes], progress: Progress | None) -> dict[str, Any] | None:
    assert child.stdout is not None
    report = None
    for line in child.stdout:
        said = msgspec.json.decode(line)
        if "report" in said:
            report = said["report"]
        elif progress is not None:
            progress(said["phase"], said["done"], said["total"])
    return report
