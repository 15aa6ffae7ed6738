"""The frame of every run: one attempt on one run folder, its events, heartbeat and control. Free of torch."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import psutil

from trainer.contract import events, launch
from trainer.contract.events import Level, Outcome
from trainer.contract.records import Record, Split
from trainer.contract.run_folder import (
    HEARTBEAT_SECONDS,
    Control,
    Process,
    RunFolder,
    RunFolderError,
    boot_id,
    checksum_of,
    cut_torn_line,
    drop_streamed,
    host_name,
    last_attempt,
    last_event,
)
from trainer.contract.spec import RunSpec
from trainer.runtime.peers import Peers

POLL_SECONDS = 0.5  # how often the heartbeat thread looks at `control`
GRACE_SECONDS = 4.0  # a cancel that the recipe has not noticed by then ends the process from the heartbeat thread
CANCELLED_TOGETHER = 3  # so that the launcher of several processes ends the others too
FRESH_SECONDS = 6 * HEARTBEAT_SECONDS  # a heartbeat younger than this may be of a living writer on another host


class BusyError(RunFolderError):
    """Another worker writes this run folder."""


class RunFailed(Exception):
    """The run cannot go on; the message says why and what to do. Shown without a traceback."""


class Stopped(Exception):
    """The studio, or a signal, asked the run to stop."""

    def __init__(self, control: Control) -> None:
        super().__init__(control.value)
        self.outcome = Outcome.PAUSED if control is Control.PAUSE else Outcome.CANCELLED


class Worker:
    """One attempt: what a recipe needs of its surroundings.

    `step` is the optimiser step (or row) that events are stamped with; the recipe sets it.
    """

    def __init__(self, folder: RunFolder, spec: RunSpec) -> None:
        self.folder = folder
        self.spec = spec
        self.step = 0
        self.processes = int(os.environ.get("WORLD_SIZE", "1"))
        self.cut_bytes = cut_torn_line(folder.events) + cut_torn_line(folder.records)
        self.attempt = last_attempt(folder.events) + 1
        if spec.parameters.get("resident"):
            drop_streamed(folder.events)
        self._sequence = 0
        self._lock = threading.Lock()
        self._events = folder.events.open("ab", buffering=0)
        self._records = folder.records.open("ab", buffering=0)
        self._signalled = threading.Event()
        self._ended = threading.Event()
        self._process = psutil.Process()
        self._last_progress = 0.0
        self._peers: Peers | None = None

    # what the run says

    def say(self, kind: type[events.AnyEvent], **values: Any) -> None:  # noqa: ANN401 - the event's own fields
        """Append one event; it is in the file when this returns."""
        with self._lock:
            if self._ended.is_set():
                return
            self._sequence += 1
            values |= {"attempt": self.attempt, "sequence": self._sequence, "step": self.step, "at": time.time()}
            self._events.write(events.encoder.encode(kind(**values)) + b"\n")
            if kind is events.Ended:
                self._ended.set()

    def metrics(self, split: Split | str, values: Mapping[str, float]) -> None:
        """Figures of this step; what is not finite is left out, as JSON has no word for it."""
        finite = {name: float(value) for name, value in values.items() if value - value == 0}
        if finite:
            self.say(events.Metrics, split=str(split), values=finite)

    def notice(self, level: Level, code: str, message: str, **counts: int) -> None:
        """Something a person should know, also in the log."""
        self.log(f"{level.value}: {message}")
        self.say(events.Notice, level=level, code=code, message=message, counts=counts)

    def progress(
        self, phase: str, done: int, total: int, *, unit: str = "steps", eta: float | None = None, force: bool = False
    ) -> None:
        """How far the phase is, at most twice a second, with the process's memory and load; also looks at control."""
        now = time.monotonic()
        if force or done >= total or now - self._last_progress >= 0.5:
            self._last_progress = now
            self.say(events.Progress, phase=phase, done=done, total=total, unit=unit, eta=eta)
        self.check()

    def system(self) -> None:
        """This process's memory and processor use as metrics."""
        rss = self._process.memory_info().rss / 2**20
        self.metrics("system", {"rss_mb": rss, "cpu_percent": self._process.cpu_percent()})

    def record(self, record: Record) -> None:
        """Append what the run made; it is in the file when this returns."""
        self._records.write(msgspec.json.encode(record) + b"\n")

    def log(self, text: str) -> None:
        """A line for worker.log."""
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
        sys.stderr.flush()

    def flush(self) -> None:
        """Events and records to the disk, before a checkpoint that counts on them."""
        os.fsync(self._events.fileno())
        os.fsync(self._records.fileno())

    def resume(self, from_step: int) -> None:
        """Go on from a checkpoint (-1 = from the start): what older attempts said beyond it no longer counts."""
        self.step = max(0, from_step)
        if self.attempt > 1:
            self.log(f"resumed from step {self.step}")
            self.say(events.Resumed, from_step=from_step)

    # what the run is asked

    def asked(self) -> Control | None:
        """What the studio, or a signal, asked of this run."""
        return Control.PAUSE if self._signalled.is_set() else self.folder.asked()

    def check(self) -> None:
        """Raise Stopped when somebody asked for it. Cheap: called every micro-batch.

        One of several processes must not stop alone, in the middle of a step: there the loop asks, between steps.
        """
        if self.processes == 1 and (asked := self.asked()) is not None:
            raise Stopped(asked)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signalled.set()

    # life

    def watch(self, peers: Peers) -> None:
        """From now on, end with a word that says so when another process of this attempt dies."""
        self._peers = peers

    def lost(self) -> str:
        """Which other process has died, as a sentence; empty while all live. Waits a moment for a death to be seen."""
        deadline = time.monotonic() + POLL_SECONDS
        while self._peers is not None and time.monotonic() < deadline:
            rank = self._peers.first_dead()
            if rank is not None:
                name = self._peers.name(rank)
                return f"{name} has died, so all end; worker.log may say why. Resume goes on from the last checkpoint"
            time.sleep(POLL_SECONDS / 10)
        return ""

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Name this process, beat every 5 s, and take SIGTERM and SIGINT for a pause."""
        me = Process(
            host=host_name(), boot=boot_id(), pid=os.getpid(), created=self._process.create_time(), attempt=self.attempt
        )
        self.folder.write_process(me)
        self.folder.beat()
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        done = threading.Event()
        thread = threading.Thread(target=self._beat, args=(done,), name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _beat(self, done: threading.Event) -> None:
        beaten = time.monotonic()
        asked_since: float | None = None
        alone_since: float | None = None
        while not done.wait(POLL_SECONDS):
            now = time.monotonic()
            if now - beaten >= HEARTBEAT_SECONDS:
                self.folder.beat()
                beaten = now
            if self._peers is not None and self._peers.first_dead() is not None:
                alone_since = alone_since or now
                if now - alone_since >= GRACE_SECONDS and not self._ended.is_set():
                    # The others wait in a sum that will never come; whoever noticed it itself has ended by now.
                    self.say(events.Ended, outcome=Outcome.FAILED, message=self.lost())
                    os._exit(1)
            if self.folder.asked() is not Control.CANCEL:
                asked_since = None
                continue
            asked_since = asked_since or now
            if now - asked_since >= GRACE_SECONDS and not self._ended.is_set():
                # A long native call (loading, fitting) cannot look; nothing of a cancelled run is kept, so just end.
                self.say(events.Ended, outcome=Outcome.CANCELLED, message="cancelled")
                os._exit(0 if self.processes == 1 else CANCELLED_TOGETHER)

    def close(self) -> None:
        """Close the files."""
        self._events.close()
        self._records.close()


class Follower(Worker):
    """Another process of the same attempt (`accelerate launch`, `torchrun`): it computes, and writes nothing."""

    def __init__(self, folder: RunFolder, spec: RunSpec) -> None:
        self.folder, self.spec, self.step, self.attempt = folder, spec, 0, 0
        self.processes = int(os.environ["WORLD_SIZE"])
        self._peers = None

    def watch(self, peers: Peers) -> None:
        """End when the first process is gone: nothing that is made from then on is written.

        From another machine that cannot be seen; there the next sum over the processes fails.
        """
        self._peers = peers
        threading.Thread(target=self._leave_with_first, args=(peers,), name="first process", daemon=True).start()

    def _leave_with_first(self, peers: Peers) -> None:
        if not peers.has(0):
            return
        peers.wait_for(0)
        os._exit(0 if self._said_ended() else 1)

    def _said_ended(self) -> bool:
        return isinstance(last_event(self.folder.events), events.Ended)

    def leave_after_first(self) -> None:
        """Stay until the first process is gone, so that it can tell a death from an end."""
        if self._peers is not None:
            self._peers.wait_for(0)

    def say(self, kind: type[events.AnyEvent], **values: Any) -> None:  # noqa: ANN401 - as in Worker
        """The first process says it."""

    def notice(self, level: Level, code: str, message: str, **counts: int) -> None:
        """The first process tells it."""

    def progress(
        self, phase: str, done: int, total: int, *, unit: str = "steps", eta: float | None = None, force: bool = False
    ) -> None:
        """The first process shows it."""

    def system(self) -> None:
        """The first process's figures stand for all."""

    def record(self, record: Record) -> None:
        """The first process writes it."""

    def log(self, text: str) -> None:
        """The first process's log stands for all."""

    def flush(self) -> None:
        """Nothing was written."""

    def asked(self) -> Control | None:
        """The first process is asked."""
        return None

    def resume(self, from_step: int) -> None:
        """Go on from a checkpoint, as the first process says."""
        self.step = max(0, from_step)


@contextmanager
def sole_writer(folder: RunFolder) -> Iterator[None]:
    """Hold the folder's lock; a second worker is refused. Raises BusyError."""
    process, beat = folder.read_process(), folder.last_beat()
    if process is not None and process.host != host_name() and beat and time.time() - beat < FRESH_SECONDS:
        raise BusyError(
            f"{folder.path}: a worker on {process.host} wrote {time.time() - beat:.0f} s ago; stop it first"
        )
    with (folder.path / ".lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = f"process {process.pid}" if process else "another process"
            raise BusyError(f"{folder.path}: {who} writes this run; wait for it or cancel it") from None
        yield


def verify(folder: RunFolder, spec: RunSpec) -> None:
    """Compare the rows and every model with the checksums of the spec. Raises RunFolderError."""
    folder.verify_input(spec)
    for model in spec.models:
        path = folder.path / model.path
        if not path.exists():
            raise RunFolderError(f"{path} is missing; copy the model {model.name or model.role} there, or run it again")
        found = checksum_of(path)
        if model.checksum and found != model.checksum:
            raise RunFolderError(
                f"{path}: checksum {found[:12]} is not {model.checksum[:12]} of spec.json; the model has changed"
            )


def refuse_several(worker: Worker) -> None:
    """A recipe that would do the same work in every process is not started in several. Raises RunFailed."""
    several = launch.Launch(processes=worker.processes)
    for problem in launch.objections(worker.spec.recipe, several):
        raise RunFailed(problem)


def run_attempt(path: Path, recipe_of: Callable[[str], Callable[[Worker], dict[str, float]]]) -> int:
    """One attempt on a run folder, from claim to `ended`; returns the exit code.

    0 finished, paused or cancelled; 1 failed; 2 nothing was begun (no run folder, or another worker writes it).
    """
    folder = RunFolder(path)
    try:
        spec = folder.read_spec()
        if int(os.environ.get("RANK", "0")) > 0:
            return _follow(Follower(folder, spec), recipe_of)
        with sole_writer(folder):
            worker = Worker(folder, spec)
            with worker.alive():
                code = _attempt(worker, recipe_of)
            worker.close()
            return code
    except RunFolderError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _follow(worker: Follower, recipe_of: Callable[[str], Callable[[Worker], dict[str, float]]]) -> int:
    """The recipe in a process that writes nothing; it ends as the first process does."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the launcher signals all; the first process decides what it means
    try:
        refuse_several(worker)
        recipe_of(worker.spec.recipe)(worker)
    except Stopped:
        pass
    except BaseException:
        sys.stderr.write(f"process {int(os.environ['RANK']) + 1}: {traceback.format_exc()}")
        return 1
    worker.leave_after_first()
    return 0


def _attempt(worker: Worker, recipe_of: Callable[[str], Callable[[Worker], dict[str, float]]]) -> int:
    """Run the recipe; whatever happens, the last event is `ended`."""
    try:
        worker.log(f"attempt {worker.attempt} of run {worker.spec.run}: {worker.spec.recipe}")
        verify(worker.folder, worker.spec)
        refuse_several(worker)
        worker.check()
        summary = recipe_of(worker.spec.recipe)(worker)
        finite = {name: value for name, value in summary.items() if value - value == 0}
        worker.say(events.Ended, outcome=Outcome.FINISHED, message="finished", summary=finite)
    except Stopped as stop:
        worker.log(f"{stop.outcome.value} at step {worker.step}")
        worker.say(events.Ended, outcome=stop.outcome, message=f"{stop.outcome.value} at step {worker.step}")
    except BaseException as error:
        text = traceback.format_exc()
        worker.log(text)
        known = isinstance(error, RunFailed | RunFolderError)
        shown = str(error) if known else worker.lost() or _said(error)
        worker.say(events.Ended, outcome=Outcome.FAILED, message=shown, traceback=text)
        return 1
    return 0


def _said(error: BaseException) -> str:
    """What went wrong, with what to do where that is known."""
    said = f"{type(error).__name__}: {error}"
    is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return f"{said}: the disk is full; make room and resume, nothing is lost" if is_full else said
