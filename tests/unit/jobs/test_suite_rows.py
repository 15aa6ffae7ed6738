"""Orders of the recipe evaluate: rows from a suite's files, from the workspace, and what must still be chosen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.cli import main
from studio.errors import ImportFormatError, NotFoundError, RunError
from studio.exchange import results
from studio.exchange.sample import make_stories_project
from studio.jobs import suite_contamination, suite_rows
from studio.jobs.prepare import checked, create_run
from studio.jobs.values import RunOrder
from studio.store import batches, evaluations, regressions, runs
from studio.store.evaluation_records import store_records
from studio.workspace import Workspace
from tests.unit.store.test_evaluations import record
from trainer.contract.run_folder import RunFolder
from trainer.contract.specs.evaluate import Must


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path / "workspace", create=True) as made:
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Problems of one's own."""
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps({"problem": f"What is {n}+1?", "answer": str(n + 1)}) + "\n" for n in range(30)))
    return path


def order(*files: Path, **parameters: object) -> RunOrder:
    return RunOrder("evaluate", {"model": "somebody/else", **parameters}, rows=tuple(map(str, files)))


def test_the_rows_of_a_file_become_a_run(workspace: Workspace, file: Path) -> None:
    uid = create_run(workspace, order(file, suite="own", most_problems=10))
    folder = RunFolder(workspace.runs / uid)
    rows = list(folder.read_input())
    assert len(rows) == folder.read_spec().input_rows == 10
    assert all(row.id.startswith("own:") and row.origin == "mine.jsonl" for row in rows)
    assert folder.read_spec().parameters["suite_name"] == "mine"


def test_regression_tests_come_from_the_workspace(workspace: Workspace) -> None:
    make_stories_project(workspace, count=3)
    with workspace.database.write() as c:
        trace, text = c.exec_driver_sql("SELECT id, text FROM trace ORDER BY id LIMIT 1").one()
        kept = regressions.add_from_trace(c, trace, 5, len(text), must=Must.ABSENT)
        gone = regressions.add_from_trace(c, trace, 3, len(text), must=Must.ABSENT)
        regressions.retire(c, gone.id)
    uid = create_run(workspace, order(suite="regressions"))
    (row,) = RunFolder(workspace.runs / uid).read_input()
    assert (row.id, row.trace) == (f"regressions:{kept.uid}", kept.trace_uid)
    assert row.extra == {"prefix": text[:5], "span": text[5:], "must": "absent"}


def test_problems_of_the_workspace_are_those_that_are_selected(workspace: Workspace) -> None:
    make_stories_project(workspace, count=6)
    with workspace.database.read() as c:
        every = list(suite_rows.stream(c, checked(order(suite="own"))))
        some = list(suite_rows.stream(c, checked(order(suite="own", most_problems=2))))
    assert len({row.problem for row in every}) == len(every) > 2
    assert len(some) == 2


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"suite": "gsm8k"}, "--rows FILE"),
        ({"suite": "own", "model": ""}, "choose the policy that is measured"),
        ({"suite": "own", "strategy": "weighted"}, "chooses among the samples"),
        ({"suite": "own", "strategy": "majority", "n": 4}, "would choose among 4 copies; set temperature above 0"),
        ({"suite": "own", "compute": "low"}, "4 would be written for nothing; .* compute to by hand and n to 1"),
        ({"suite": "own", "strategy": "majority", "temperature": 1.0}, "has one sample to choose from; set n to 2"),
        ({"suite": "processbench", "model": ""}, "choose the PRM that is measured"),
        ({"suite": "regressions"}, r"no row goes in \(no regression test is kept; make one"),
    ],
)
def test_what_is_missing_is_said(
    workspace: Workspace, file: Path, tmp_path: Path, parameters: dict[str, object], said: str
) -> None:
    bench = tmp_path / "bench.jsonl"
    bench.write_text(json.dumps({"id": "a-0", "problem": "p", "steps": ["s"], "label": -1}))
    files = {"own": [file], "processbench": [bench]}.get(str(parameters["suite"]), [])
    with pytest.raises(RunError, match=said):
        create_run(workspace, order(*files, **parameters))
    with workspace.database.read() as c:
        assert runs.all_runs(c) == ()


def test_files_are_for_evaluations_alone(workspace: Workspace, file: Path) -> None:
    make_stories_project(workspace, count=3)
    with pytest.raises(RunError, match="rows from a file are for evaluate"):
        create_run(workspace, RunOrder("generate", {"model": "somebody/else"}, rows=(str(file),)))
    with pytest.raises(RunError, match="leave the file of rows out"):
        create_run(workspace, order(file, suite="regressions"))
    file.write_text("{}\n")
    with pytest.raises(ImportFormatError, match=r"mine\.jsonl:1: no text in problem"):
        create_run(workspace, order(file, suite="own"))


def evaluated(workspace: Workspace) -> None:
    made = [
        record(f"p{i}", 0, i < 3, problem=f"What is {i}+1 with many words that all are the same?") for i in range(4)
    ]
    made += [record(f"p{i}", 0, True, model="a|b", compute="high", budget=None) for i in range(2)]
    with workspace.database.write() as c:
        batch = batches.begin(c, "ingest", format="evaluate")
        store_records(c, batch, made)
        batches.publish(c, batch, {})


def test_the_table_is_written_as_markdown_csv_and_json(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(workspace.path)
    assert main(["evaluate", "--workspace", folder]) == 0
    assert "nothing has been evaluated" in capsys.readouterr().out
    evaluated(workspace)
    assert main(["evaluate", "--workspace", folder]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "| model | GSM8K, low compute | GSM8K, high compute |"
    assert {line.split(" | ")[0]: line.split(" | ")[1:] for line in shown[2:4]} == {
        "| tiny · aa": ["75.0 [25.0, 100.0]", "– |"],
        "| a\\|b · aa": ["–", "100.0 [100.0, 100.0] |"],
    }
    assert main(["evaluate", "--workspace", folder, "--format", "csv", "--out", str(tmp_path / "t.csv")]) == 0
    lines = (tmp_path / "t.csv").read_text().splitlines()
    values = {line.split(",")[1]: dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]}
    assert (values["tiny"]["value"], values["tiny"]["problems"], values["tiny"]["budget"]) == ("0.75", "4", "64")
    assert values["a|b"]["budget"] == ""
    assert main(["evaluate", "--workspace", folder, "--json", "--model", "tiny"]) == 0
    (cell,) = json.loads(capsys.readouterr().out)
    assert (cell["suite"], cell["value"]["value"], cell["samples"]) == ("gsm8k", 0.75, 4)


def test_of_several_budgets_the_largest_is_shown(workspace: Workspace) -> None:
    with workspace.database.write() as c:
        batch = batches.begin(c, "ingest", format="evaluate")
        store_records(c, batch, [record("p0", 0, budget > 50, budget=budget) for budget in (16, 256, 64)])
        batches.publish(c, batch, {})
        cells = evaluations.cells(c)
    shown = results.table(cells)
    assert [cell.key.budget for row in shown.cells for cell in row if cell] == [256]


def test_training_rows_that_stand_in_a_suite_are_found(workspace: Workspace, file: Path) -> None:
    evaluated(workspace)
    file.write_text(
        json.dumps({"problem": "what is  2+1 with many words that ALL are the same?", "answer": "3"})
        + "\n"
        + json.dumps({"problem": "Quite another one", "answer": "3"})
    )
    uid = create_run(workspace, order(file, suite="own"))
    folder = RunFolder(workspace.runs / uid)
    folder.input.write_bytes(folder.input.read_bytes().replace(b'"split":"test"', b'"split":"train"'))
    with workspace.database.read() as c:
        run = runs.by_uid(c, uid)
    found = suite_contamination.against_suite(workspace, "gsm8k", run)
    assert (found.problems, found.benchmark, found.equal) == (2, 4, 1)
    assert found.pairs[0].benchmark.startswith("What is 2+1")
    assert suite_contamination.trained_by(workspace, "aa") is None
    with pytest.raises(NotFoundError, match="no problem of math500"):
        suite_contamination.against_suite(workspace, "math500", run)
