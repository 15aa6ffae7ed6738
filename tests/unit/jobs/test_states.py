"""Run states derived from the table, the folder and the process table."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from studio.jobs import processes
from studio.jobs.states import Sign, derive, may_write
from studio.jobs.track import Track
from studio.store.runs import StoredRun, StoredState
from trainer.contract import events
from trainer.contract.records import RunState
from trainer.contract.run_folder import Control, Process, RunFolder, boot_id, host_name

NOW = 1_000_000.0


def a_run(state: StoredState = StoredState.STARTED) -> StoredRun:
    return StoredRun(
        id=1,
        uid="u",
        name="n",
        recipe="prm",
        state=state,
        device="cpu",
        place=1.0,
        host=host_name(),
        folder="runs/u",
        rows=1,
        attempts=1,
        message="",
        summary={},
        ingest_offset=0,
        ingested=0,
        ingested_attempt=0,
        requeue=0,
        stale=0,
        created_at="",
        started_at=None,
        ended_at=None,
        model_folder=None,
    )


def a_track(tmp_path: Path, *, begun: bool = True, at_end: bool = True) -> Track:
    track = Track(RunFolder(tmp_path))
    track.begun, track.at_end, track.attempt = begun, at_end, 1
    return track


HERE = Process(host=host_name(), boot=boot_id(), pid=4711, created=NOW - 100, attempt=1)


def away(**changes: object) -> Process:
    values = {"host": "elsewhere", "boot": "b", "pid": 1, "created": NOW - 1000, "attempt": 1} | changes
    return Process(**values)  # type: ignore[arg-type]


def sign(
    process: Process | None = HERE, *, lives: bool = True, quiet: float = 1.0, asked: Control | None = None
) -> Sign:
    return Sign(process, lives, NOW - quiet, asked, NOW)


@pytest.mark.parametrize(
    ("look", "begun", "state"),
    [
        (sign(), True, RunState.RUNNING),
        (sign(), False, RunState.STARTING),
        (sign(quiet=50), True, RunState.SILENT),
        (sign(lives=False), True, RunState.CRASHED),
        (sign(lives=False, asked=Control.CANCEL), True, RunState.CANCELLED),
        (sign(away(), lives=False, quiet=5), True, RunState.RUNNING),
        (sign(away(), lives=False, quiet=500), True, RunState.LOST),
        (sign(away(host=host_name()), lives=False, quiet=500), True, RunState.CRASHED),
        (sign(away(host=host_name(), boot=boot_id(), pid=0, created=NOW - 5), lives=False), True, RunState.STARTING),
        (sign(away(host=host_name(), boot=boot_id(), pid=0, created=NOW - 99), lives=False), True, RunState.CRASHED),
        (sign(None), True, RunState.CRASHED),
    ],
)
def test_a_started_run(tmp_path: Path, look: Sign, begun: bool, state: RunState) -> None:
    assert derive(a_run(), a_track(tmp_path, begun=begun), look).state is state


def test_a_dead_worker_whose_words_are_not_all_read_is_not_crashed_yet(tmp_path: Path) -> None:
    assert derive(a_run(), a_track(tmp_path, at_end=False), sign(lives=False)).state is RunState.RUNNING


def test_the_last_word_counts_only_of_the_newest_attempt(tmp_path: Path) -> None:
    track = a_track(tmp_path)
    track.ended = events.Ended(attempt=1, sequence=9, step=3, at=NOW, outcome=events.Outcome.PAUSED)
    assert derive(a_run(), track, sign(lives=False)).state is RunState.PAUSED
    second = Process(host=host_name(), boot=boot_id(), pid=4711, created=NOW, attempt=2)
    assert derive(a_run(), track, sign(second)).state is RunState.STARTING, "nor does its model count as loaded"


@pytest.mark.parametrize("state", [s for s in StoredState if s not in (StoredState.STARTED, StoredState.PREPARING)])
def test_the_table_has_the_word_on_what_is_not_started(tmp_path: Path, state: StoredState) -> None:
    derived = derive(a_run(state), a_track(tmp_path), sign())
    assert derived.state.value == state.value
    assert not derived.over


def test_who_may_write() -> None:
    me = psutil.Process()
    mine = Process(host=host_name(), boot=boot_id(), pid=me.pid, created=me.create_time(), attempt=1)
    assert "still runs" in may_write(mine, None)
    reused = Process(host=host_name(), boot=boot_id(), pid=me.pid, created=me.create_time() - 60, attempt=1)
    assert may_write(reused, None) == ""
    assert "elsewhere" in may_write(away(), time.time() - 999)
    assert may_write(away(host=host_name()), None) == ""
    assert may_write(None, None) == ""


def test_a_zombie_does_not_live() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    found = psutil.Process(child.pid)
    process = Process(host=host_name(), boot=boot_id(), pid=child.pid, created=found.create_time(), attempt=1)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert found.status() == psutil.STATUS_ZOMBIE
    assert not processes.lives(process)
    child.wait()
    assert not processes.lives(process)
    assert not processes.kill(process)
    assert processes.surely_dead(f"{host_name()}:{boot_id()}:{child.pid}:1.0")
    assert not processes.surely_dead("another-host:boot:1:1.0")
    assert not processes.surely_dead(processes.identity())
