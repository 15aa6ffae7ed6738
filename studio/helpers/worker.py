"""The helper process: reads jobs from standard input, writes results to standard output, ends with its parent."""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import signal
import sys
import threading
import time
from typing import IO

PR_SET_PDEATHSIG = 1
CHECK_S = 2.0
COLLECT_EVERY = 20_000  # objects; a job makes many at once and drops them all


def main(arguments: list[str]) -> None:
    """Serve until the input closes. Arguments: the parent's process id, then what to import, or call, first."""
    parent = int(arguments[0])
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C in the terminal is the parent's affair
    begins, ends = _own_streams()
    for target in arguments[1:]:
        module, _, name = target.partition(":")
        loaded = importlib.import_module(module)
        if name:
            getattr(loaded, name)()
    from studio.helpers.pool import put

    gc.freeze()  # what is loaded stays
    gc.set_threshold(COLLECT_EVERY)
    put(ends, "loaded")
    serve(begins, ends)


def serve(begins: IO[bytes], ends: IO[bytes]) -> None:
    """Answer every job with its result or its exception."""
    from studio.helpers.pool import put, take

    while True:
        try:
            job = take(begins)
        except EOFError:
            return
        try:
            result = _call(job)
        except Exception as error:
            result = error
        try:
            put(ends, result)
        except BrokenPipeError:
            return
        except Exception as error:  # what cannot be pickled
            put(ends, RuntimeError(f"{type(error).__name__}: {error}"))


def _call(job: object) -> object:
    assert isinstance(job, tuple)
    target, argument = job
    module, _, name = str(target).partition(":")
    result: object = getattr(importlib.import_module(module), name)(argument)
    return result


def _own_streams() -> tuple[IO[bytes], IO[bytes]]:
    """The pipes to the parent, moved away from where a stray print or read would hit them."""
    begins, ends = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    return begins, ends


def _die_with(parent: int) -> None:
    """Ask the kernel to end this process with its parent; elsewhere look for the parent every other second."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.name == "posix":
        if os.getppid() != parent:  # it died before we asked
            os._exit(0)
        threading.Thread(target=_watch, args=(parent,), name="parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(CHECK_S)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
