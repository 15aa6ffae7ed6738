"""Regression tests of thoughts: what models had on them, and a run of them for every policy that is made."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.exchange.sample import make_stories_project
from studio.jobs import never_again, shipped
from studio.jobs.ingest import ingest
from studio.jobs.prepare import create_run
from studio.jobs.values import RunOrder
from studio.settings import Settings
from studio.store import models, regressions, runs
from studio.store.runs import StoredRun, StoredState
from studio.workspace import Workspace
from tests.unit.store.test_evaluations import publish, record
from trainer.contract.run_folder import RunFolder
from trainer.contract.specs.evaluate import Must


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path / "workspace", create=True) as made:
        make_stories_project(made, count=6)
        yield made


def add_test(workspace: Workspace) -> regressions.Regression:
    with workspace.database.write() as c:
        trace, text = c.exec_driver_sql("SELECT id, text FROM trace ORDER BY id LIMIT 1").one()
        return regressions.add_from_trace(c, trace, 5, len(text), must=Must.ABSENT)


def made_policy(workspace: Workspace) -> StoredRun:
    """An sft run that has ended with a model, and is in the store."""
    uid = create_run(workspace, RunOrder("sft", {"model": "tiny"}, name="taught"))
    with workspace.database.write() as c:
        run = runs.by_uid(c, uid)
        attempt = runs.claim(c, run.id)
        assert attempt is not None
        runs.settle(c, run.id, attempt, StoredState.FINISHED)
    source = workspace.path / shipped.ensure(workspace).policy.folder
    shutil.copytree(source, RunFolder(workspace.runs / uid).model)
    assert ingest(workspace, uid).model
    return run


def queued(workspace: Workspace) -> list[StoredRun]:
    with workspace.database.read() as c:
        return [run for run in runs.all_runs(c) if run.recipe == "evaluate"]


@pytest.mark.parametrize(("wanted", "tests"), [(True, True), (False, True), (True, False)])
def test_a_new_policy_is_run_on_the_tests_unless_that_is_unwanted(
    workspace: Workspace, wanted: bool, tests: bool
) -> None:
    if not wanted:
        Settings.load().update(never_again=False)
    made = add_test(workspace) if tests else None
    run = made_policy(workspace)
    with workspace.database.read() as c:
        assert run.id in [model.run_id for model in models.all_models(c, "sft")]
    if not (wanted and made is not None):
        assert not queued(workspace)
        return
    (evaluation,) = queued(workspace)
    folder = RunFolder(workspace.runs / evaluation.uid)
    assert (evaluation.name, evaluation.state) == ("Never again: taught", StoredState.QUEUED)
    assert [row.id for row in folder.read_input()] == [f"regressions:{made.uid}"]
    spec = folder.read_spec()
    assert [model.name for model in spec.models] == ["taught"]
    assert spec.parameters["n"] == never_again.SAMPLES


def test_what_stands_in_the_way_costs_no_model(
    workspace: Workspace, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    Settings.load().update(never_again=True)
    add_test(workspace)
    monkeypatch.setattr(never_again, "SAMPLES", 0)  # an order that nobody takes
    made_policy(workspace)
    assert not queued(workspace)
    assert "'taught' were not queued" in caplog.text


def test_the_newest_run_of_each_model_counts(workspace: Workspace) -> None:
    made = add_test(workspace)
    row = f"regressions:{made.uid}"
    with workspace.database.read() as c:
        assert regressions.results(c) == ()
    for name, grades in (("old", (False, False)), ("new", (True, None, False, True))):
        told = [record(row, place, grade, name, suite="regressions", model="m") for place, grade in enumerate(grades)]
        publish(workspace.database, told, name)
    publish(workspace.database, [record(row, 0, True, "other", suite="regressions", model="n")], "other")
    with workspace.database.read() as c:
        other, newest = regressions.results(c)
    assert (other.model, other.held, other.number) == ("n", 1, 1)
    assert (newest.uid, newest.model, newest.held, newest.number, newest.run) == (made.uid, "m", 2, 3, "new")
