"""What a run is doing, derived from the table, its folder and the process table."""

from __future__ import annotations

import time
from dataclasses import dataclass

from studio.jobs import processes
from studio.jobs.track import Track
from studio.store.runs import StoredRun, StoredState
from trainer.contract.records import RunState
from trainer.contract.run_folder import HEARTBEAT_SECONDS, Control, Process, host_name

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

    def looks_like(self, other: Derived) -> bool:
        """Whether a person would see no difference, but for the seconds."""
        return (self.state, self.message, self.asked) == (other.state, other.message, other.asked)


@dataclass(frozen=True, slots=True)
class Sign:
    """What the folder showed: read `lives` before the events, so that a last word is never missed."""

    process: Process | None
    lives: bool
    beat: float | None
    asked: Control | None
    now: float


def look(track: Track) -> Sign:
    """Look at the folder and the process table now."""
    process = track.folder.read_process()
    lives = process is not None and processes.lives(process)
    return Sign(process, lives, track.folder.last_beat(), track.folder.asked(), time.time())


def derive(run: StoredRun, track: Track, sign: Sign) -> Derived:
    """The state of a run. `track` has read to the end if its `at_end` says so."""
    if run.state is not StoredState.STARTED:
        return Derived(RunState(run.state.value), run.message)
    asked = "" if sign.asked is None else sign.asked.value
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
