"""The grading process: reads questions from standard input, writes verdicts to standard output, ends with its parent.

A line of JSON each way. The process is meant to be killed: it sets no alarm and watches no clock.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from typing import IO, Any

import msgspec

MEMORY_BYTES = 2 << 30
PR_SET_PDEATHSIG = 1
CHECK_S = 2.0


def main(arguments: list[str]) -> None:
    """Serve until the input closes. Argument: the parent's process id."""
    _die_with(int(arguments[0]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C in the terminal is the parent's affair
    begins, ends = _own_streams()
    import sympy

    _limit_memory()
    sympy.Rational(1, 3).evalf(30)  # what is loaded at first use costs no question its time
    _say(ends, {"loaded": sympy.__version__})
    for line in begins:
        _say(ends, answer(msgspec.json.decode(line)))


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """The verdict about one question: a pair of answers, or the text of a step."""
    try:
        if question["kind"] == "algebra":
            from trainer.reasoning.arithmetic import check_algebra

            return {"step": check_algebra(question["text"])}
        return _grade(question["predicted"], question["reference"], strictly=question["form"] == "strict")
    except (ArithmeticError, ValueError, TypeError, NotImplementedError, AttributeError, KeyError) as error:
        return {"failed": f"{type(error).__name__}: {error}"[:300]}  # sympy's ways to say that it cannot
    except (MemoryError, RecursionError) as error:
        return {"failed": f"too large: {type(error).__name__}"}


def _grade(predicted: str, reference: str, *, strictly: bool) -> dict[str, Any]:
    from trainer.reasoning.compare import lenient, strict
    from trainer.reasoning.symbolic import SympyAlgebra

    return {"correct": (strict if strictly else lenient)(predicted, reference, SympyAlgebra())}


def _say(ends: IO[bytes], value: object) -> None:
    ends.write(msgspec.json.encode(value) + b"\n")
    ends.flush()


def _limit_memory() -> None:
    """A power of powers fills the memory long before its time is over; where there is no such limit, time has to do."""
    if sys.platform != "win32":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_AS)
        limit = MEMORY_BYTES if most == resource.RLIM_INFINITY else min(MEMORY_BYTES, most)
        resource.setrlimit(resource.RLIMIT_AS, (limit, most))


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
