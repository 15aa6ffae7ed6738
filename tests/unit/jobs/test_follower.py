"""What is told of a run never runs ahead of the table, nor back behind it, whoever reads the table meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.jobs.follower import Follower
from studio.jobs.prepare import create_run
from studio.jobs.states import Derived
from studio.jobs.track import Track
from studio.jobs.values import RunOrder
from studio.store import runs
from studio.store.runs import StoredRun, StoredState
from tests.unit.jobs.making import stories
from trainer.contract.records import RunState
from trainer.contract.run_folder import RunFolder


@pytest.fixture
def follower(tmp_path: Path) -> Iterator[Follower]:
    """Of a run that is started, and whose worker nobody knows: the next look finds it over."""
    workspace = stories(tmp_path, count=6)
    uid = create_run(workspace, RunOrder("prm", {"max_steps": 1}))
    with workspace.database.read() as c:
        run = runs.by_uid(c, uid).id
    workspace.database.run(lambda c: runs.claim(c, run))
    made = Follower(workspace)
    made.reload()
    yield made
    workspace.close()


def only(follower: Follower) -> StoredRun:
    (run,) = follower.stored()
    return run


def test_a_run_is_shown_as_over_once_the_table_says_so(follower: Follower, monkeypatch: pytest.MonkeyPatch) -> None:
    settle, shown = runs.settle, []

    def looked(c: Any, run_id: int, *given: Any, **named: Any) -> Any:
        shown.append((follower.view(run_id).state, follower.state(run_id).over))
        return settle(c, run_id, *given, **named)

    monkeypatch.setattr(runs, "settle", looked)
    run = only(follower)
    assert run.state is StoredState.STARTED
    follower.tick()
    assert shown == [(RunState.STARTING, False)]
    assert follower.view(run.id).state is RunState.CRASHED
    with follower.workspace.database.read() as c:
        assert runs.get(c, run.id).state is StoredState.CRASHED


def test_a_reading_of_the_table_from_before_the_end_does_not_undo_it(
    follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = runs.all_runs
    ticking = threading.Thread(target=follower.tick)

    def slow(c: Any) -> tuple[StoredRun, ...]:
        found = read(c)
        ticking.start()
        ticking.join(0.5)  # where nothing holds it back, it ends and keeps what is newer than `found`
        return found

    monkeypatch.setattr(runs, "all_runs", slow)
    follower.reload()
    ticking.join()
    assert follower.view(only(follower).id).state is RunState.CRASHED


def test_a_look_that_began_before_the_end_does_not_undo_it(follower: Follower) -> None:
    run = only(follower)
    follower.workspace.database.run(lambda c: runs.settle(c, run.id, run.attempts, StoredState.PAUSED))
    follower.reload()
    track = Track(RunFolder(follower.workspace.path / run.folder))
    follower._derive(run, track, Derived(RunState.RUNNING), frozenset())
    assert follower.view(run.id).state is RunState.PAUSED
    follower._derive(run, track, Derived(RunState.CRASHED, over=True), frozenset())
    assert follower.view(run.id).state is RunState.PAUSED
