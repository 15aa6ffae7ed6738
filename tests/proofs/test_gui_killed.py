"""Proof: the window is killed at random moments of a run; the run finishes and what it made is stored exactly once.

Short: 2 runs, each with one killed window. `STEPLENS_PROOF=full`: 12 runs, each with up to four killed windows, one of
which dies at a moment drawn from the launch to the ingest.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from studio.jobs.prepare import create_run
from studio.jobs.values import RunOrder
from studio.settings import Settings
from studio.store import runs
from studio.store.rows import Selection
from studio.store.runs import StoredRun, StoredState
from studio.workspace import Workspace
from tests.unit.jobs.making import ROOT, interpreter_of_tiny_worker, stories, until
from trainer.contract.run_folder import RunFolder, complete_lines

FULL = os.environ.get("STEPLENS_PROOF") == "full"
RUNS = 12 if FULL else 2
ROWS = 30


def open_window(workspace: Path) -> subprocess.Popen[bytes]:
    """The real window, offscreen."""
    return subprocess.Popen(
        [sys.executable, "-m", "studio", "--workspace", str(workspace)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill(window: subprocess.Popen[bytes]) -> None:
    os.kill(window.pid, signal.SIGKILL)
    window.wait()


def stored_run(workspace: Workspace, uid: str) -> StoredRun:
    with workspace.database.read() as c:
        return runs.by_uid(c, uid)


def scores_of(workspace: Workspace, uid: str) -> list[str]:
    """The record ids in the store that this run's records have."""
    records = complete_lines(RunFolder(workspace.runs / uid).records)[0]
    mine = {json.loads(line)["id"] for line in records}
    with workspace.database.read() as c:
        return [row[0] for row in c.exec_driver_sql("SELECT record FROM score") if row[0] in mine]


def test_killed_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(20)
    monkeypatch.setenv("STEPLENS_TEST_WORKER", json.dumps({"seconds": 0.05, "scorer": "by run"}))
    Settings(interpreter=interpreter_of_tiny_worker(tmp_path)).save()
    with stories(tmp_path, count=ROWS) as workspace:
        (workspace.models / "config.json").write_text("{}")
        for number in range(RUNS):
            uid = create_run(workspace, RunOrder("score", {"model": str(workspace.models)}, Selection()))
            folder = RunFolder(workspace.runs / uid)
            survive_kills(workspace, uid, folder, draw, kills=1 + (draw.randrange(4) if FULL else 0))
            run = stored_run(workspace, uid)
            assert (run.state, run.attempts, run.ingested) == (StoredState.FINISHED, 1, ROWS), f"run {number}: {run}"
            found = scores_of(workspace, uid)
            assert len(found) == len(set(found)) == ROWS
            with workspace.database.read() as c:
                published = "SELECT count(*) FROM batch WHERE run_id = ? AND state = 'published'"
                assert c.exec_driver_sql(published, (run.id,)).scalar_one() == 1
            assert folder.events.read_bytes().count(b'"started"') == 1


def survive_kills(workspace: Workspace, uid: str, folder: RunFolder, draw: random.Random, *, kills: int) -> None:
    """Kill windows while the worker counts, later at any moment; the last window may do its work."""
    window = open_window(workspace.path)
    try:
        until(lambda: folder.records.exists() and folder.records.stat().st_size > 0, "the first record")
        for _ in range(kills):
            kill(window)
            assert folder.read_process() is not None
            window = open_window(workspace.path)
            time.sleep(draw.uniform(0.0, 3.0))
        kill(window)
        until(lambda: b'"ended"' in folder.events.read_bytes(), "the end of the run without a window")
        window = open_window(workspace.path)
        until(lambda: stored_run(workspace, uid).ingested_attempt, "the ingest")
    finally:
        kill(window)
