"""Helper processes for heavy CPU work of the app: most urgent first, cancellable, gone with their parent.

A helper is a fresh interpreter (nothing is forked), spoken to over its standard streams. It ends when its input closes,
and on Linux the kernel ends it with its parent even if that was killed at once. `HelperPool()` starts the first helper
immediately, so that it loads its libraries while the app loads Qt; `at_once=False` leaves that to the first job or to
`warm_up`. A helper takes no job before it has loaded its libraries: another one may be quicker.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import pickle
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO

from studio.errors import SteplensError

log = logging.getLogger(__name__)
Done = Callable[[object], None]
HEADER = struct.Struct("<Q")
PATIENCE_S = 20.0
GROW_AFTER_S = 0.4


class HelperError(SteplensError):
    """A helper process ended, or took too long, while it worked."""


@dataclass(order=True, slots=True)
class _Job:
    rank: int
    number: int
    target: str = field(compare=False)
    argument: object = field(compare=False)
    done: Done = field(compare=False)
    asked: float = field(compare=False)
    cancelled: bool = field(default=False, compare=False)


class HelperPool:
    """Up to `workers` helper processes; the second is started when work has waited for a while.

    `preload` names what a helper imports ("package.module") or calls ("package.module:function") before its first job.
    """

    def __init__(
        self,
        workers: int = 0,
        *,
        preload: tuple[str, ...] = (),
        patience: float = PATIENCE_S,
        at_once: bool = True,
    ) -> None:
        self._most = workers or min(2, os.cpu_count() or 1)
        self._preload = preload
        self._patience = patience
        self._heap: list[_Job] = []
        self._numbers = itertools.count()
        self._wake = threading.Condition()
        self._idle = 0
        self._closed = False
        self._desks: list[_Desk] = []
        if at_once:
            self.warm_up()

    def submit(self, target: str, argument: object, done: Done, *, urgent: bool = True) -> Callable[[], None]:
        """Call `target` ("package.module:function") with a picklable argument in a helper; returns the way to cancel.

        `done` gets the result, or the exception, in a thread of the pool; after cancelling it is not called.
        """
        with self._wake:
            if self._closed:
                raise HelperError("the helper processes have been closed")
            job = _Job(0 if urgent else 1, next(self._numbers), target, argument, done, time.monotonic())
            heapq.heappush(self._heap, job)
            if not self._desks:
                self._add_desk()
            self._grow()
            self._wake.notify()

        def cancel() -> None:
            job.cancelled = True

        return cancel

    def warm_up(self) -> None:
        """Start the first helper if none has been started."""
        with self._wake:
            if not self._desks and not self._closed:
                self._add_desk()

    def close(self) -> None:
        """Drop what waits and end the helpers."""
        with self._wake:
            self._closed = True
            self._heap.clear()
            self._wake.notify_all()
        for desk in self._desks:
            desk.end()

    def _grow(self) -> None:
        """Start another helper when work has waited for a while; a short wave is over before it would be ready."""
        if self._idle or not self._heap or len(self._desks) >= self._most:
            return
        if time.monotonic() - min(job.asked for job in self._heap) > GROW_AFTER_S:
            self._add_desk()

    def _add_desk(self) -> None:
        self._desks.append(_Desk(self, f"helper-{len(self._desks)}"))

    def next_job(self) -> _Job | None:
        """The most urgent job; waits for one. None: the pool is closed. Called by the desks."""
        with self._wake:
            while True:
                while self._heap:
                    self._grow()
                    job = heapq.heappop(self._heap)
                    if not job.cancelled:
                        return job
                if self._closed:
                    return None
                self._idle += 1
                self._wake.wait()
                self._idle -= 1

    @property
    def is_closed(self) -> bool:
        """Whether the helpers are being ended."""
        return self._closed

    @property
    def preload(self) -> tuple[str, ...]:
        """What a helper imports, or calls, first."""
        return self._preload

    @property
    def patience(self) -> float:
        """Seconds after which a job's helper is killed."""
        return self._patience


class _Desk:
    """One helper process and the thread that hands it its jobs; a helper that died is replaced."""

    def __init__(self, pool: HelperPool, name: str) -> None:
        self._pool = pool
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """End the helper and wait for it."""
        if (process := self._process) is not None:
            process.kill()
        self._thread.join(5)

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "studio.helpers.worker", str(os.getpid()), *self._pool.preload]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def _serve(self) -> None:
        self._process = self._start()  # here: the kernel ends a helper with the thread that started it
        self._wait_until_loaded()
        while (job := self._pool.next_job()) is not None:
            try:
                result = self._ask(job)
            except (OSError, EOFError) as error:
                result = HelperError(f"a helper process ended during {job.target}: {error or 'no answer'}")
                self._tidy()
                self._process = self._start()
                self._wait_until_loaded()
            if not job.cancelled:
                try:
                    job.done(result)
                except Exception:
                    log.exception("the receiver of %s failed", job.target)
        self._tidy()

    def _wait_until_loaded(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            take(self._process.stdout)
        except (OSError, EOFError):
            if not self._pool.is_closed:
                log.warning("a helper process ended while it loaded its libraries")  # its first job will say so, too

    def _ask(self, job: _Job) -> object:
        assert self._process is not None
        ends, begins = self._process.stdin, self._process.stdout
        assert ends is not None
        assert begins is not None
        guard = threading.Timer(self._pool.patience, self._process.kill)
        guard.daemon = True
        guard.start()
        try:
            put(ends, (job.target, job.argument))
            return take(begins)
        finally:
            guard.cancel()

    def _tidy(self) -> None:
        assert self._process is not None
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:  # its reader is gone: what was buffered cannot be delivered
                    log.debug("a helper's pipe was closed already")
        self._process.wait()


def put(stream: IO[bytes], value: object) -> None:
    """Write one value."""
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    stream.write(HEADER.pack(len(data)) + data)
    stream.flush()


def take(stream: IO[bytes]) -> object:
    """Read one value; EOFError when the other side is gone."""
    head = stream.read(HEADER.size)
    if len(head) < HEADER.size:
        raise EOFError
    data = stream.read(HEADER.unpack(head)[0])
    return pickle.loads(data)
