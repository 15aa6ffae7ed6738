"""What a run is doing, derived from the table, its folder and the process table."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from studio.jobs import processes, templates
from studio.jobs import remote as elsewhere
from studio.jobs.remote import Phase, Remote
from studio.jobs.track import Track
from studio.store.runs import StoredRun, StoredState
from trainer.contract.records import RunState
from trainer.contract.run_folder import HEARTBEAT_SECONDS, Control, Process, RunFolder, host_name

START_SECONDS = 30.0
"""A launcher that has not named a process after this long was itself killed."""
SILENT_SECONDS = 4 * HEARTBEAT_SECONDS
LOST_SECONDS = 12 * HEARTBEAT_SECONDS


@dataclass(frozen=True, slots=True)
class Derived:
    """The state, why, and how long nothing was heard; `over` when a started attempt has ended, by word or death."""

    state: RunState
    message: str = ""
    silent_seconds: float | None = None
    over: bool = False
    asked: str = ""
    scheduler: str = ""  # what the scheduler of a run elsewhere said last
    elsewhere: str = ""  # the machine that a run elsewhere was handed over to

    def looks_like(self, other: Derived) -> bool:
        """Whether a person would see no difference, but for the seconds."""
        mine, others = (self.state, self.message, self.asked), (other.state, other.message, other.asked)
        return mine == others and self.scheduler == other.scheduler


@dataclass(frozen=True, slots=True)
class Sign:
    """What the folder showed: read `lives` before the events, so that a last word is never missed."""

    process: Process | None
    lives: bool
    beat: float | None
    asked: Control | None
    now: float
    remote: Remote | None = None


def look(track: Track) -> Sign:
    """Look at the folder and the process table now."""
    process = track.folder.read_process()
    lives = process is not None and processes.lives(process)
    remote = elsewhere.read(track.folder.path)
    return Sign(process, lives, track.folder.last_beat(), track.folder.asked(), time.time(), remote)


def derive(run: StoredRun, track: Track, sign: Sign) -> Derived:
    """The state of a run. `track` has read to the end if its `at_end` says so."""
    if run.state is not StoredState.STARTED:
        host = "" if sign.remote is None else sign.remote.host
        return Derived(RunState(run.state.value), run.message, elsewhere=host)
    asked = "" if sign.asked is None else sign.asked.value
    if sign.remote is not None:
        return replace(
            _of_remote(track, sign, sign.remote), asked=asked, scheduler=sign.remote.state, elsewhere=sign.remote.host
        )
    process = sign.process
    if process is None:
        return Derived(RunState.CRASHED, f"{track.folder.process} is gone, so nobody knows its worker", over=True)
    if track.ended is not None and track.ended.attempt >= process.attempt:
        outcome, message = track.ended.outcome.value, track.ended.message
        return Derived(RunState(outcome), "" if message == outcome else message, over=True)
    if process.pid == 0:
        if sign.now - process.created < START_SECONDS:
            return Derived(RunState.STARTING, asked=asked)
        return Derived(RunState.CRASHED, "its worker was never started; resume it", over=True)
    quiet = max(0.0, sign.now - max(sign.beat or 0.0, track.last_at, process.created))
    if processes.is_here(process) and not sign.lives:
        return _dead(track, process, sign)
    if not processes.is_here(process):
        return _elsewhere(process, quiet, asked)
    if quiet > SILENT_SECONDS:
        return Derived(RunState.SILENT, f"process {process.pid} lives but says nothing", quiet, asked=asked)
    begun = track.begun and track.attempt >= process.attempt  # not an attempt before, after a resume
    return Derived(RunState.RUNNING if begun else RunState.STARTING, "", quiet, asked=asked)


def _dead(track: Track, process: Process, sign: Sign) -> Derived:
    if not track.at_end:  # its last word may be among what is not read yet
        return Derived(RunState.RUNNING)
    if sign.asked is Control.CANCEL:
        return Derived(RunState.CANCELLED, "cancelled", over=True)
    return Derived(
        RunState.CRASHED, f"process {process.pid} is gone without a last word; see its log, or resume it", over=True
    )


def _elsewhere(process: Process, quiet: float, asked: str) -> Derived:
    """Another host, or this one before it was started anew: only the heartbeat tells."""
    if process.host == host_name() and quiet > SILENT_SECONDS:
        return Derived(RunState.CRASHED, "the machine was started anew meanwhile; resume it", over=True)
    if quiet > LOST_SECONDS:
        return Derived(RunState.LOST, f"no news from {process.host}", quiet, asked=asked)
    return Derived(RunState.RUNNING, f"on {process.host}", quiet, asked=asked)


def _of_remote(track: Track, sign: Sign, remote: Remote) -> Derived:
    """Handed over to another machine: an old heartbeat is lost contact; that it is over, only its scheduler can say."""
    begun = track.begun and track.attempt >= remote.attempt
    ended = track.ended is not None and track.ended.attempt >= remote.attempt
    if remote.phase is Phase.SENDING:
        if processes.surely_dead(remote.sender):
            return Derived(RunState.CRASHED, "handing it over was cut off; resume it", over=True)
        return Derived(RunState.STARTING, remote.doing or f"being handed over to {remote.host}")
    if remote.phase is Phase.FETCHED:
        if not track.at_end:  # its last word may be among what is not read yet
            return Derived(RunState.RUNNING, f"fetched from {remote.host}")
        if track.ended is not None and ended:
            outcome, message = track.ended.outcome.value, track.ended.message
            return Derived(RunState(outcome), "" if message == outcome else message, over=True)
        return _gone(sign, remote, begun)
    quiet = max(0.0, sign.now - remote.heard_at)
    word = f"scheduler: {remote.state}" if remote.state else "its scheduler was not asked yet"
    if quiet > LOST_SECONDS and not (templates.is_alive(remote.state) and not begun and not remote.problem):
        why = remote.problem or word
        return Derived(RunState.LOST, f"job {remote.job} on {remote.host}; {why}", quiet)
    if ended or begun:
        return Derived(RunState.RUNNING, f"job {remote.job} on {remote.host}", quiet)
    return Derived(RunState.STARTING, f"job {remote.job} on {remote.host}; {word}", quiet)


def _gone(sign: Sign, remote: Remote, begun: bool) -> Derived:
    if sign.asked is Control.CANCEL:
        return Derived(RunState.CANCELLED, "cancelled", over=True)
    if sign.asked is Control.PAUSE and not begun:
        return Derived(RunState.PAUSED, "before it had begun", over=True)
    text = f"job {remote.job} on {remote.host} is gone without a last word (scheduler: {remote.state})"
    return Derived(RunState.CRASHED, f"{text}; see its log, or resume it", over=True)


def why_not_write(folder: RunFolder) -> str:
    """Why another writer may live in this run folder, here or elsewhere; empty when none can."""
    remote = elsewhere.read(folder.path)
    return may_write(folder.read_process(), folder.last_beat()) if remote is None else elsewhere.may_write(remote)


def may_write(process: Process | None, beat: float | None) -> str:
    """Why another writer may live in this folder; empty when none can."""
    if process is None or process.pid == 0:
        return ""
    if processes.lives(process):
        return f"its worker, process {process.pid}, still runs; pause or cancel it first"
    if processes.is_here(process) or process.host == host_name():
        return ""
    heard = "never" if beat is None else f"{time.time() - beat:.0f} s ago"
    return (
        f"its worker on {process.host} may still write (last heard of {heard}); "
        "make sure that it has ended, delete process.json in the run folder, then resume"
    )
