"""Runs from order to end with real worker processes: states, queue, pause, cancel, crash, resume."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time

import numpy as np
import psutil
import pytest

from studio.errors import RunError
from studio.jobs.values import RunOrder, RunUpdate
from studio.store import models
from studio.store.rows import Selection
from tests.unit.jobs.making import House, until
from trainer.contract.records import RunState
from trainer.contract.run_folder import sha256_of_folder

FINISHED, CRASHED, PAUSED, RUNNING = RunState.FINISHED, RunState.CRASHED, RunState.PAUSED, RunState.RUNNING


def tell(monkeypatch: pytest.MonkeyPatch, **manner: float) -> None:
    monkeypatch.setenv("STEPLENS_TEST_WORKER", json.dumps(manner))


def test_a_run_finishes_with_its_curve_and_its_model(house: House) -> None:
    heard: list[RunUpdate] = []
    house.jobs.subscribe(heard.append)
    run = house.order(steps=12)
    house.wait(run, FINISHED)
    view = house.wait_ingested(run)
    loss = house.jobs.curves(run)["train/loss"]
    np.testing.assert_array_equal(loss.steps, range(1, 13))
    np.testing.assert_allclose(loss.values, [1 / step for step in range(1, 13)])
    assert (view.done, view.total, view.attempts) == (12, 12, 1)
    assert view.summary == {"steps": 12.0}
    with house.workspace.database.read() as c:
        (model,) = models.all_models(c)
    assert model.run_id == run
    assert model.checksum == sha256_of_folder(house.workspace.path / model.folder)
    assert view.model_folder == model.folder
    assert {update.run_id for update in heard} == {run}


def test_the_window_orders_through_a_child(house: House) -> None:
    phases: list[str] = []
    order = RunOrder("prm", {"max_steps": 3}, Selection(projects=("Arithmetic stories",)), "by child")
    view = house.jobs.create(order, lambda phase, _done, _total: phases.append(phase))
    assert view.rows == 30
    assert "counting rows" in phases
    assert house.wait(view.id, FINISHED).name == "by child"


def test_an_order_without_rows_is_refused_and_leaves_nothing(house: House) -> None:
    with pytest.raises(RunError, match="no row goes in"):
        house.jobs.create(RunOrder("prm", {}, Selection(text="zebra")))
    assert house.jobs.runs() == ()
    assert list(house.workspace.runs.iterdir()) == []


def test_one_run_at_a_time_on_a_device_and_in_order(house: House) -> None:
    house.jobs.stop()
    order = [house.order(steps=10, name=f"run {number}") for number in range(3)]
    elsewhere = house.order(steps=10, name="other", device="cuda:0")
    house.jobs.start()
    most = 0
    while any(not house.view(run).state.is_final for run in order):
        on_cpu = [v for v in house.jobs.runs() if v.device == "cpu" and v.state in (RunState.STARTING, RUNNING)]
        most = max(most, len(on_cpu))
        time.sleep(0.02)
    assert most == 1
    started = [house.view(run).started_at for run in order]
    assert started == sorted(started, key=str)
    assert all(house.view(b).started_at >= house.view(a).ended_at for a, b in itertools.pairwise(order))
    assert house.wait(elsewhere, FINISHED).started_at < house.view(order[1]).started_at


def test_pause_frees_the_device_and_resume_goes_on(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(monkeypatch, seconds=0.05)
    run = house.order(steps=2_000)
    until(lambda: house.view(run).done >= 8, what="eight steps")
    house.jobs.pause(run)
    until(lambda: house.view(run).asked == "pause" or house.view(run).state is PAUSED, what="the wish to be seen")
    assert 8 <= house.wait(run, PAUSED).done < 2_000
    process = house.folder(run).read_process()
    assert process is not None
    until(lambda: not psutil.pid_exists(process.pid), what="the end of the process")
    tell(monkeypatch, seconds=0)
    house.jobs.resume(run)
    view = house.wait(run, FINISHED)
    assert view.attempts == 2
    np.testing.assert_array_equal(house.jobs.curves(run)["train/loss"].steps, range(1, 2_001))


def test_cancel_stops_it_midway_and_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(monkeypatch, seconds=0.05)
    run = house.order(steps=10_000)
    house.wait(run, RUNNING)
    house.jobs.cancel(run)
    assert house.wait(run, RunState.CANCELLED).done < 10_000
    with pytest.raises(RunError, match="cancelled"):
        house.jobs.cancel(run)


def test_a_queued_run_is_paused_and_cancelled_without_a_worker(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(monkeypatch, seconds=0.05)
    first, second = house.order(steps=10_000), house.order(steps=5)
    house.wait(first, RUNNING)
    house.jobs.pause(second)
    assert house.view(second).state is PAUSED
    house.jobs.cancel(second)
    assert house.view(second).state is RunState.CANCELLED
    assert house.view(second).attempts == 0
    house.jobs.cancel(first)
    house.wait(first, RunState.CANCELLED)


def test_a_killed_worker_is_crashed_and_resumes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(monkeypatch, die=13)
    run = house.order(steps=30)
    view = house.wait(run, CRASHED)
    assert "without a last word" in view.message
    assert "attempt 1 of run" in house.jobs.log_tail(run)
    before = house.jobs.curves(run)["train/loss"]
    assert before.steps[-1] == 13
    house.jobs.resume(run)
    house.wait(run, FINISHED)
    after = house.jobs.curves(run)["train/loss"]
    np.testing.assert_array_equal(after.steps, range(1, 31))
    assert before.steps[-1] == 13, "a curve that was handed out does not change"


def test_a_failure_says_why(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(monkeypatch, fail=3)
    run = house.order(steps=30)
    assert house.wait(run, RunState.FAILED).message == "told to fail"


def test_resume_is_refused_while_the_worker_lives(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(monkeypatch, seconds=0.05)
    run = house.order(steps=10_000)
    house.wait(run, RUNNING)
    with pytest.raises(RunError, match="still runs"):
        house.jobs.resume(run)
    house.jobs.cancel(run)
    house.wait(run, RunState.CANCELLED)


def test_run_now_pauses_what_runs_and_it_goes_on_afterwards(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(monkeypatch, seconds=0.03)
    long, waiting, urgent = house.order(steps=2_000), house.order(steps=5), house.order(steps=5)
    until(lambda: house.view(long).done >= 6, what="six steps")
    tell(monkeypatch, seconds=0.001)  # the attempts that begin from now on
    house.jobs.run_now(urgent)
    house.wait(urgent, FINISHED)
    assert house.wait(long, FINISHED).attempts == 2
    house.wait(waiting, FINISHED)
    assert house.view(urgent).ended_at <= house.view(long).ended_at
    assert house.view(waiting).started_at >= house.view(long).ended_at


def test_a_stopped_worker_is_silent_not_crashed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.jobs.states.SILENT_SECONDS", 1.0)
    tell(monkeypatch, stop=4)
    run = house.order(steps=10)
    until(lambda: house.view(run).done >= 4, what="the stop")
    view = house.wait(run, RunState.SILENT)
    assert view.silent_seconds is not None
    assert view.silent_seconds > 1.0
    process = house.folder(run).read_process()
    assert process is not None
    os.kill(process.pid, signal.SIGCONT)
    house.wait(run, FINISHED)


def test_cancel_asked_again_kills_what_does_not_obey(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.jobs.service.INSIST_SECONDS", 0.5)
    tell(monkeypatch, stop=4)
    run = house.order(steps=10)
    until(lambda: house.view(run).done >= 4, what="the stop")
    house.jobs.cancel(run)
    time.sleep(0.6)
    house.jobs.cancel(run)
    assert house.wait(run, RunState.CANCELLED).message == "cancelled"


def test_an_interpreter_that_is_not_there(house: House, tmp_path: object) -> None:
    house.jobs.stop()
    house.jobs.interpreter = f"{tmp_path}/nowhere/python"
    house.jobs.start()
    run = house.order(steps=5)
    assert "could not be started" in house.wait(run, RunState.FAILED).message


def test_scores_come_into_the_store_once(house: House) -> None:
    run = house.order(recipe="score")
    view = house.wait_ingested(run)
    assert view.records == 30
    again = house.order(recipe="score")
    assert house.wait_ingested(again).records == 0
    with house.workspace.database.read() as c:
        counted = c.exec_driver_sql("SELECT count(*), count(DISTINCT trace_id) FROM score").one()
    assert tuple(counted) == (30, 30)
