"""The verb never-again: tests of steps are made, listed with what models had, retired and put back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studio import cli
from studio.exchange.sample import make_stories_project
from studio.exchange.suites import regression_rows
from studio.store import regressions, traces
from studio.workspace import Workspace
from tests.unit.store.test_evaluations import publish, record


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path / "workspace", create=True) as made:
        make_stories_project(made, count=3)
        with made.database.write() as c:
            c.exec_driver_sql("UPDATE problem SET reference_answer = ' ' WHERE id IN "
                              "(SELECT problem_id FROM trace WHERE id = 2)")  # fmt: skip
        yield made


def call(workspace: Workspace, *given: str) -> int:
    return cli.main(["never-again", *given, "--workspace", str(workspace.path)])


def told(workspace: Workspace, capsys: pytest.CaptureFixture[str], *given: str) -> Any:
    assert call(workspace, *given, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_a_step_becomes_a_test_that_evaluate_runs(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    with workspace.database.read() as c:
        trace = traces.load(c, 1)
    step = trace.segmentation.steps[1]
    made = told(workspace, capsys, "1", "--step", "2", "--note", "  slips", "--name", "second step")
    assert (made["prefix"], made["words"]) == (trace.text[: step.start], trace.text[step.start : step.end])
    assert (made["must"], made["name"], made["trace"]) == ("answer", "second step", 1)
    assert told(workspace, capsys, "2", "--step", "1")["must"] == "absent", "nothing says what is right"
    assert told(workspace, capsys, "1", "--step", "1", "--must", "absent")["must"] == "absent"
    with workspace.database.read() as c:
        rows = regression_rows(regressions.all_regressions(c))
    assert rows[0].id == f"regressions:{made['uid']}"


def test_tests_are_listed_with_what_models_had_retired_and_put_back(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(workspace) == 0
    assert "steplens never-again TRACE --step N" in capsys.readouterr().out
    made = told(workspace, capsys, "1", "--step", "1")
    row = f"regressions:{made['uid']}"
    grades = [record(row, place, grade, "new", suite="regressions", model="m") for place, grade in enumerate((1, 0))]
    publish(workspace.database, grades, "new")
    (kept,) = told(workspace, capsys)
    assert kept["results"] == [{"model": "m", "held": 1, "of": 2, "run": "new"}]
    assert told(workspace, capsys, "--retire", str(made["id"]))[0]["retired"] is True
    assert call(workspace) == 0
    assert capsys.readouterr().out.endswith("trace 1 (retired)\n    m: held 1 of 2\n")
    assert told(workspace, capsys, "--restore", str(made["id"]))[0]["retired"] is False


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (("1",), "name both, TRACE and --step N"),
        (("--step", "1"), "name both, TRACE and --step N"),
        (("1", "--step", "0"), "the trace has steps 1 to"),
        (("1", "--step", "99"), "the trace has steps 1 to"),
        (("99", "--step", "1"), "there is no trace 99"),
        (("2", "--step", "1", "--must", "answer"), "forbid the words"),
        (("--must", "answer"), "--must: of a new test"),
        (("1", "--step", "1", "--retire", "1"), "make the new one with a call of its own"),
        (("--retire", "7"), "there is no regression test 7"),
        (("--retire", "7", "--restore", "7"), "cannot be retired and restored at once"),
    ],
)
def test_what_cannot_be_done_is_said(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], given: tuple[str, ...], why: str
) -> None:
    assert call(workspace, *given) == 1
    assert why in capsys.readouterr().err
    with workspace.database.read() as c:
        assert regressions.all_regressions(c, retired=True) == ()
