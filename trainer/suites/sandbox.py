"""Programs nobody has read, run in a child that can do nothing but compute: docs/reason.md says what holds where.

No network, no other process, no file outside its own folder but Python's library, bounded time, memory and output; the
whole process group is killed at the end. Where the kernel offers too little, nothing runs: SandboxError says so.
"""

from __future__ import annotations

import json
import os
import secrets
import selectors
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from itertools import count
from pathlib import Path
from typing import IO

from trainer.suites.jail import NO_WALLS, PROGRAM

MIB = 1 << 20
LOOK_SECONDS = 0.1  # between two looks at what the folder holds
PAGE, DEEPEST = 4096, 64  # bytes that an entry of a folder counts at least; folders in folders that a program may make
_START = "import sys; sys.path.insert(0, sys.argv[1]); from trainer.suites.jail import main; main(sys.argv[2])"


class SandboxError(RuntimeError):
    """This machine cannot hold a program; the message says what is missing and what to do."""


class Wall(StrEnum):
    """What hides files, besides the filter of system calls that always stands."""

    LANDLOCK = "landlock"
    NAMESPACES = "namespaces"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one program: seconds of wall-clock time, MiB of memory, of a file, of its folder, and of its output;
    threads."""

    seconds: float = 10.0
    memory: int = 512
    file: int = 16
    folder: int = 64
    output: int = 1
    threads: int = 64


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a program. `finished`: it ran to its last line. `why` says how it ended, for people."""

    finished: bool
    stdout: str
    stderr: str
    why: str
    seconds: float


@dataclass(slots=True)
class _Heard:
    """What came over the child's pipes."""

    said: bytearray = field(default_factory=bytearray)
    out: bytearray = field(default_factory=bytearray)
    err: bytearray = field(default_factory=bytearray)

    @property
    def size(self) -> int:
        """Bytes over all pipes; a program can find the one that is not meant for it, too."""
        return len(self.said) + len(self.out) + len(self.err)


@cache
def standing() -> frozenset[Wall]:
    """The walls that can be put up on this machine, tried once. Raises SandboxError when a program could see files."""
    found, reasons = set(), []
    for wall in Wall:
        try:
            run_program("", walls={wall}, probe=True)
            found.add(wall)
        except SandboxError as error:
            reasons.append(f"{wall.value}: {error}")
    if not found:
        raise SandboxError(
            f"programs cannot be run safely here ({'; '.join(reasons)}); use Linux 5.13 or newer with Landlock, or let "
            "this user make user namespaces (sysctl kernel.unprivileged_userns_clone=1, or user.max_user_namespaces)"
        )
    return frozenset(found)


def run_program(
    source: str,
    stdin: str = "",
    limits: Limits | None = None,
    *,
    walls: Collection[Wall] | None = None,
    check: Callable[[], None] = lambda: None,
    probe: bool = False,
) -> Ran:
    """Run Python source as a main program behind `walls` (default: all that stand here).

    `check` is called some ten times a second and may raise. Raises SandboxError.
    """
    if not sys.platform.startswith("linux"):
        raise SandboxError(f"programs cannot be run safely on {sys.platform}; evaluate code on Linux")
    limits = limits or Limits()
    wanted = standing() if walls is None else walls
    if not wanted:
        raise SandboxError("no wall was asked for")
    place = Path(tempfile.mkdtemp(prefix="steplens-sandbox-"))
    try:
        folder, root = place / "work", place / "root"
        folder.mkdir()
        root.mkdir()
        (folder / PROGRAM).write_text(source, "utf-8", errors="replace")
        return _Run(place, limits, wanted, check, probe).run(stdin)
    finally:
        _remove(place)


class _Run:
    """One child, from its start to its death."""

    def __init__(
        self, place: Path, limits: Limits, walls: Collection[Wall], check: Callable[[], None], probe: bool
    ) -> None:
        self._folder, self._limits, self._check = place / "work", limits, check
        self._word = secrets.token_hex(16)
        self._asked = {
            "folder": str(self._folder),
            "root": str(place / "root"),
            "walls": sorted(walls),
            "seconds": limits.seconds,
            "memory": limits.memory * MIB,
            "file": limits.file * MIB,
            "word": self._word,
            "probe": probe,
        }
        self._heard = _Heard()

    def run(self, stdin: str) -> Ran:
        """Start, listen until it ends or must end, kill what is left."""
        began = time.monotonic()
        ear, mouth = os.pipe()
        try:
            child = self._start(mouth)
        except BaseException:
            os.close(ear)
            raise
        finally:
            os.close(mouth)
        with os.fdopen(ear, "rb", buffering=0) as said:
            try:
                too_much = self._listen(child, said, stdin.encode("utf-8", "replace"), began)
            finally:
                _kill(child)
        return self._result(child.returncode, too_much, time.monotonic() - began)

    def _start(self, mouth: int) -> subprocess.Popen[bytes]:
        base = str(Path(__file__).resolve().parents[2])
        arguments = [sys.executable, "-I", "-S", "-B", "-c", _START, base, json.dumps(self._asked | {"pipe": mouth})]
        return subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self._folder,
            env={"HOME": str(self._folder), "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"},
            pass_fds=(mouth,),
            start_new_session=True,
        )

    def _listen(self, child: subprocess.Popen[bytes], said: IO[bytes], stdin: bytes, began: float) -> str:
        """Until all pipes are closed; why it must end before that, or an empty text."""
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        into = {child.stdout: self._heard.out, child.stderr: self._heard.err, said: self._heard.said}
        left, looked = memoryview(stdin), began
        with selectors.DefaultSelector() as selector:
            for pipe in into:
                selector.register(pipe, selectors.EVENT_READ)
            os.set_blocking(child.stdin.fileno(), False)
            selector.register(child.stdin, selectors.EVENT_WRITE)
            while any(key.fileobj is not child.stdin for key in selector.get_map().values()):
                for key, _ in selector.select(LOOK_SECONDS):
                    if key.fileobj is child.stdin:
                        left = _write(selector, child.stdin, left)
                        continue
                    piece = os.read(key.fd, 1 << 16)
                    if not piece:
                        selector.unregister(key.fileobj)
                    into[key.fileobj].extend(piece)  # type: ignore[index]
                now = time.monotonic()
                if now - looked >= LOOK_SECONDS:
                    looked = now
                    self._check()
                    if why := self._too_much(child.pid, now - began):
                        return why
                if self._heard.size > self._limits.output * MIB:
                    return f"wrote more than {self._limits.output} MiB"
        return self._last_wait(child, began)

    def _last_wait(self, child: subprocess.Popen[bytes], began: float) -> str:
        """A program that has closed its pipes may still be at work."""
        while child.poll() is None:
            if why := self._too_much(child.pid, time.monotonic() - began):
                return why
            self._check()
            time.sleep(LOOK_SECONDS / 10)
        return ""

    def _too_much(self, child: int, seconds: float) -> str:
        limits = self._limits
        if seconds > limits.seconds:
            return f"took longer than {limits.seconds:g} s"
        if _threads(child) > limits.threads:
            return f"started more than {limits.threads} threads"
        return _too_full(self._folder, limits.folder)

    def _result(self, status: int, too_much: str, seconds: float) -> Ran:
        said = bytes(self._heard.said)
        up, _, word = said.partition(b" ")
        if up != b"up" and not too_much:
            what = said.decode("utf-8", "replace").removeprefix("no: ") or self._heard.err.decode("utf-8", "replace")
            raise SandboxError(what.strip()[-300:] or f"the child ended with status {status}")
        finished = not too_much and status == 0 and word == self._word.encode()
        why = too_much or ("" if finished else _ending(status, bytes(self._heard.err)))
        out, err = (bytes(text).decode("utf-8", "replace") for text in (self._heard.out, self._heard.err))
        return Ran(finished, out, err, why, seconds)


def _write(selector: selectors.BaseSelector, pipe: IO[bytes], left: memoryview) -> memoryview:
    """Some more of the input; the pipe is closed behind the last of it, or when nobody reads."""
    try:
        left = left[os.write(pipe.fileno(), left[: 1 << 16]) :] if left else left
    except BlockingIOError:
        return left
    except BrokenPipeError:
        left = left[:0]
    if not left:
        selector.unregister(pipe)
        pipe.close()
    return left


def _threads(child: int) -> int:
    """How many threads a child has; 0 once it has ended."""
    try:
        return len(os.listdir(f"/proc/{child}/task"))
    except FileNotFoundError:
        return 0


def _too_full(folder: Path, most: int) -> str:
    """Why a folder holds more than `most` MiB on the disk, or hides what it holds; empty when it does neither.

    Every file and folder counts for a page at least: entries take room that no file shows.
    """
    left, waiting = most * MIB, [(str(folder), 0)]
    while waiting:
        path, depth = waiting.pop()
        try:
            if depth > DEEPEST:
                return f"made folders more than {DEEPEST} deep"
            with os.scandir(path) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    left -= max(status.st_blocks * 512, PAGE)
                    if left < 0:
                        return f"kept more than {most} MiB in files"
                    if stat.S_ISDIR(status.st_mode):
                        waiting.append((entry.path, depth + 1))
        except (FileNotFoundError, NotADirectoryError):  # gone meanwhile
            continue
        except PermissionError:
            return "made a folder that cannot be looked into"
    return ""


def _remove(place: Path) -> None:
    """Remove a folder however deep it is and whatever modes it has: subfolders are moved up, then emptied."""
    moved = count()
    waiting = [str(place)]
    try:
        while waiting:
            here = waiting.pop()
            with os.scandir(here) as found:
                entries = list(found)
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)
                    continue
                os.chmod(entry.path, 0o700)
                up = f"{place}/moved-{next(moved)}"
                os.rename(entry.path, up)
                waiting.append(up)
            if here != str(place):
                os.rmdir(here)
        os.rmdir(place)
    except OSError as error:
        raise SandboxError(f"what a program left in {place} cannot be removed: {error}; remove it by hand") from error


def _kill(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None and not pipe.closed:
            try:
                pipe.close()
            except BrokenPipeError:  # unsent input
                continue


def _ending(status: int, stderr: bytes) -> str:
    """How a program that did not reach its end has ended."""
    if status < 0:
        name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
        return f"killed by {name}"
    last = stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
    if status == NO_WALLS:
        return "its walls fell"
    if status == 0:
        return "left before its last line"
    return f"{last[:200]}" if last else f"exit status {status}"
