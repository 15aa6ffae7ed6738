"""Workspaces with rated stories, and a window's jobs in a process of its own."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from studio.exchange.sample import make_stories_project
from studio.jobs.prepare import create_run
from studio.jobs.service import Jobs
from studio.jobs.values import RunOrder, RunView
from studio.store import runs
from studio.workspace import Workspace
from trainer.contract.records import RunState
from trainer.contract.run_folder import RunFolder

WORKER = Path(__file__).with_name("tiny_worker.py")
ROOT = Path(__file__).resolve().parents[3]


def interpreter_of_tiny_worker(folder: Path) -> str:
    """An "interpreter" that runs the tiny worker instead of `-m trainer`: the launcher starts it as any other."""
    script = folder / "tiny-python"
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" "{WORKER}" "$3"\n')
    script.chmod(0o755)
    return str(script)


def stories(folder: Path, count: int = 30) -> Workspace:
    """A workspace with rated stories; its readers should close it."""
    workspace = Workspace.open(folder / "workspace", create=True)
    make_stories_project(workspace, count=count)
    return workspace


def until(true: Callable[[], object], what: str = "it", seconds: float = 120.0) -> None:
    """Wait as long as a busy machine needs, or fail with what was waited for."""
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, f"{what} did not happen within {seconds} s"
        time.sleep(0.02)


@dataclass(slots=True)
class House:
    """A workspace with jobs that start tiny workers."""

    workspace: Workspace
    jobs: Jobs

    def order(self, steps: int = 20, *, recipe: str = "prm", name: str = "", device: str = "cpu") -> int:
        """Queue a run; returns its id."""
        model = self.workspace.models / "counter"
        model.mkdir(exist_ok=True)
        (model / "config.json").write_text("{}")
        parameters: dict[str, object] = {"max_steps": steps} if recipe == "prm" else {"model": str(model)}
        uid = create_run(self.workspace, RunOrder(recipe, parameters, name=name, device=device))
        with self.workspace.database.read() as c:
            return runs.by_uid(c, uid).id

    def view(self, run_id: int) -> RunView:
        """The run as the jobs see it, once they have heard of it."""
        until(lambda: any(view.id == run_id for view in self.jobs.runs()), what=f"run {run_id} in the list")
        return self.jobs.view(run_id)

    def wait(self, run_id: int, *states: RunState) -> RunView:
        """Wait for one of the states."""
        until(lambda: self.view(run_id).state in states, f"run {run_id} {'/'.join(states)}")
        return self.jobs.view(run_id)

    def wait_ingested(self, run_id: int) -> RunView:
        """Wait until what it made is in the store."""
        until(lambda: self.view(run_id).ingested, f"ingest of run {run_id}")
        return self.jobs.view(run_id)

    def folder(self, run_id: int) -> RunFolder:
        """Its run folder."""
        return RunFolder(self.workspace.path / self.view(run_id).folder)

    def close(self) -> None:
        """Stop the jobs, and kill the workers that a failed test left behind."""
        self.jobs.stop()
        for folder in self.workspace.runs.glob("*"):
            process = RunFolder(folder).read_process()
            if process is not None and process.pid > 0 and psutil.pid_exists(process.pid):
                found = psutil.Process(process.pid)
                if abs(found.create_time() - process.created) < 2.0 and found.status() != psutil.STATUS_ZOMBIE:
                    found.kill()
        self.workspace.close()
