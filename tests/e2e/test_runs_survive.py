"""As somebody who trains, I can lose my window, or have two, and my run is finished and stored exactly once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from studio.jobs.prepare import create_run
from studio.jobs.service import Jobs
from studio.jobs.values import RunOrder
from studio.store import runs
from studio.store.rows import Selection
from studio.store.runs import StoredState
from studio.workspace import Workspace
from tests.unit.jobs.making import ROOT, House, interpreter_of_tiny_worker, stories, until
from trainer.contract.records import RunState
from trainer.contract.run_folder import RunFolder


@contextmanager
def a_window(workspace: Path, interpreter: str) -> Iterator[subprocess.Popen[bytes]]:
    """The jobs of a window in another process; killed at the end, if it still lives."""
    command = [sys.executable, "-m", "tests.unit.jobs.window", str(workspace), interpreter]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"open\n"
        try:
            yield child
        finally:
            child.kill()


def state_of(workspace: Workspace, run_id: int) -> StoredState:
    with workspace.database.read() as c:
        return runs.get(c, run_id).state


def a_score_run(workspace: Workspace) -> int:
    (workspace.models / "config.json").write_text("{}")
    uid = create_run(workspace, RunOrder("score", {"model": str(workspace.models)}, Selection()))
    with workspace.database.read() as c:
        return runs.by_uid(c, uid).id


def is_stopped(folder: RunFolder) -> bool:
    process = folder.read_process()
    return bool(process and process.pid) and psutil.Process(process.pid).status() == psutil.STATUS_STOPPED


def stored(workspace: Workspace) -> tuple[int, int]:
    with workspace.database.read() as c:
        row = c.exec_driver_sql("SELECT count(*), count(DISTINCT trace_id) FROM score").one()
    return row[0], row[1]


def test_the_run_outlives_its_window_and_is_ingested_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPLENS_TEST_WORKER", json.dumps({"seconds": 0.05, "stop": 5}))
    interpreter = interpreter_of_tiny_worker(tmp_path)
    workspace = stories(tmp_path)
    run_id = a_score_run(workspace)
    with workspace.database.read() as c:
        folder = RunFolder(workspace.path / runs.get(c, run_id).folder)
    with a_window(workspace.path, interpreter) as window:
        until(lambda: is_stopped(folder), what="the worker's halt after some records")
        os.kill(window.pid, signal.SIGKILL)
        window.wait()
    worker = folder.read_process()
    assert worker is not None
    os.kill(worker.pid, signal.SIGCONT)
    until(lambda: b'"ended"' in folder.events.read_bytes(), what="the end of the run, without any window")
    assert state_of(workspace, run_id) is StoredState.STARTED, "nobody was there to write it down"
    house = House(workspace, Jobs(workspace, interpreter=interpreter))
    house.jobs.start()
    try:
        view = house.wait_ingested(run_id)
        assert (view.state, view.records, view.attempts) == (RunState.FINISHED, 30, 1)
        assert house.jobs.curves(run_id)["train/loss"].steps.tolist() == list(range(1, 31))
    finally:
        house.close()
    with Workspace.open(workspace.path) as again:
        assert stored(again) == (30, 30)


def test_two_windows_run_and_ingest_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPLENS_TEST_WORKER", json.dumps({"seconds": 0.02}))
    interpreter = interpreter_of_tiny_worker(tmp_path)
    workspace = stories(tmp_path)
    with a_window(workspace.path, interpreter), a_window(workspace.path, interpreter):
        made = [a_score_run(workspace) for _ in range(2)]
        house = House(workspace, Jobs(workspace, interpreter=interpreter))
        house.jobs.start()
        try:
            views = [house.wait_ingested(run_id) for run_id in made]
            assert [view.attempts for view in views] == [1, 1]
            assert [view.state for view in views] == [RunState.FINISHED] * 2
            starts = [house.folder(run_id).events.read_bytes().count(b'"started"') for run_id in made]
            assert starts == [1, 1]
            assert stored(workspace) == (30, 30)
            assert views[1].started_at is not None
            assert views[0].ended_at is not None
            assert views[1].started_at >= views[0].ended_at, "one at a time on the device"
        finally:
            house.close()


def test_headless_from_rows_to_scores(tmp_path: Path) -> None:
    """`steplens run prm --wait`, then `run score --wait`, with the real trainer."""
    pytest.importorskip("torch")
    with stories(tmp_path, count=120) as workspace:
        path = workspace.path

    def steplens(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "studio", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )

    small = ("--set", "max_steps=4", "--set", "eval_every=4", "--set", "threads=1")
    done = steplens("run", "prm", "--workspace", str(path), "--name", "small", *small, "--wait")
    assert done.returncode == 0, done.stderr
    done = steplens("run", "score", "--workspace", str(path), "--set", "model=small", "--set", "limit=50", "--wait")
    assert done.returncode == 0, done.stderr
    listed = json.loads(steplens("runs", "--workspace", str(path), "--json").stdout)
    assert [(run["recipe"], run["state"], run["records"]) for run in listed] == [
        ("score", "finished", 50),
        ("prm", "finished", 0),
    ]
    wrong = steplens("run", "prm", "--workspace", str(path), "--set", "epochs=-1")
    assert wrong.returncode == 1
    assert "outside" in wrong.stderr
    wrong = steplens("run", "prm", "--workspace", str(path), "--set", "resolution=maybe")
    assert wrong.returncode == 1
    assert "resolution: drop, soft" in wrong.stderr
    with Workspace.open(path) as workspace:
        assert stored(workspace) == (50, 50)
