"""The verbs find and diff say what the store says, with exit codes a script can use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import update

from studio.cli import main
from studio.store import batches, bookmarks, find_pattern, projects, saved_filters, traces
from studio.store import schema as s
from studio.store.trace_filter import OPS, Condition, Field, Filter, Op, kind_of, parsed
from studio.workspace import Workspace

STEPS = (
    ["Let x = 2.", "So 5x = 6x - 7.", "Done: 7."],
    ["Let x = 2.", "So 5x = 6x - 14.", "Wait.", "Done: 14."],
    ["Let x = 2.", "So 5x = 6x - 7.", "Done: 7."],
)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Three traces of one problem in a project; two models tried twelve others."""
    folder = tmp_path / "workspace"
    with Workspace.open(folder, create=True) as opened, opened.database.write() as c:
        project = projects.create(c, "Here").id
        batch = batches.begin(c, "sample", project)
        for steps in STEPS:
            traces.add(c, traces.from_steps("What is x?", steps), batch_id=batch, project_id=project)
        for k in range(12):
            for model in ("small", "large"):
                new = traces.from_steps(f"Problem {k}", [f"{model} says {k}"])
                id = traces.add(c, new, batch_id=batch, project_id=None).trace_id
                right = k % 3 == 0 if model == "small" else k % 3 != 1
                c.execute(update(s.trace).where(s.trace.c.id == id).values(model=model, outcome=int(right)))
        batches.publish(c, batch, {})
    return folder


def call(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    code = main([str(word) for word in words])
    return code, capsys.readouterr().out


def test_find_prints_traces_and_spans(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = call(capsys, "find", "--workspace", workspace, "--json", "6x 14")
    document = json.loads(out)
    assert code == 0
    assert [hit["trace"] for hit in document["traces"]] == [2]
    text = traces.from_steps("", STEPS[1]).text
    assert [text[x["start"] : x["end"]] for x in document["traces"][0]["spans"]] == ["6x", "14", "14"]
    code, out = call(capsys, "find", "--workspace", workspace, "--regex", r"Done: \d\b", "--project", "Here")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["1", "3"]
    assert "[Done: 7]" in out
    assert call(capsys, "find", "--workspace", workspace, "absent")[0] == 1
    assert (
        call(capsys, "find", "--workspace", workspace, "says", "--model", "small", "--outcome", "right", "--json")[
            1
        ].count('"trace":')
        == 4
    )


def test_find_says_what_is_wrong(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["find", "--workspace", str(workspace), "--regex", "("]) == 2
    assert "Not a regular expression" in capsys.readouterr().err
    assert main(["find", "--workspace", str(workspace), "x", "--project", "Nowhere"]) == 1
    assert "there is no project 'Nowhere'" in capsys.readouterr().err


def test_find_goes_on_behind_a_text_that_takes_too_long(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find_pattern, "LONGEST_TEXT_S", 0.05)
    with Workspace.open(workspace) as opened, opened.database.write() as c:
        batch = batches.begin(c, "sample", None)
        for step in ("a" * 60 + "!", "aab"):
            traces.add(c, traces.from_steps("p", [step]), batch_id=batch, project_id=None)
        batches.publish(c, batch, {})
    ask = ["find", "--workspace", str(workspace), "--regex", "(a|aa)+$|(a+)+b"]
    assert main(ask) == 3
    said = capsys.readouterr()
    assert [line.split()[0] for line in said.out.splitlines()] == ["29"]
    assert "takes too long in 1 trace, left out: 28. Repetitions within repetitions" in said.err
    assert main([*ask, "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["left_out"] == [28]


def test_diff_aligns_two_traces(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = call(capsys, "diff", "--workspace", workspace, 1, 2, "--json")
    document = json.loads(out)
    assert code == 1
    assert document["diverges"] == 1
    assert document["same_problem"] is True
    assert [(p["left"], p["right"]) for p in document["pairs"]] == [(0, 0), (1, 1), (None, 2), (2, 3)]
    changed = [e for e in document["pairs"][1]["edits"] if not e["same"]]
    assert [(STEPS[0][1][e["left"]["start"] : e["left"]["end"]], STEPS[1][1][e["right"]["start"] : e["right"]["end"]])
            for e in changed] == [("7", "14")]  # fmt: skip
    code, out = call(capsys, "diff", "--workspace", workspace, 1, 2)
    assert "Wait." in out
    assert code == 1
    assert call(capsys, "diff", "--workspace", workspace, 1, 3)[0] == 0
    assert main(["diff", "--workspace", str(workspace), "1", "999"]) == 1
    assert main(["diff", "--workspace", str(workspace), "1", "x"]) == 1


def test_diff_of_models_is_paired_by_problem(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = call(capsys, "diff", "--workspace", workspace, "--models", "small", "large", "--json")
    document = json.loads(out)
    assert code == 1
    assert document["problems"] == 12
    assert document["left_mean"] == pytest.approx(4 / 12)
    assert document["right_mean"] == pytest.approx(8 / 12)
    assert document["paired"]["right_only"] == 4
    assert document["paired"]["left_only"] == 0
    assert document["paired"]["p"] == pytest.approx(2 * 0.5**4)
    assert len(document["changed"]) == 4
    assert "McNemar" in call(capsys, "diff", "--workspace", workspace, "--models", "small", "large")[1]
    assert main(["diff", "--workspace", str(workspace), "--models", "small", "none"]) == 1
    assert "no problem in common" in capsys.readouterr().err


def test_filters_of_the_window_list_and_narrow(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = ("find", "--workspace", workspace)
    code, out = call(capsys, *at, "--filter", "model is small", "--filter", "outcome is right", "--json")
    document = json.loads(out)
    assert (code, document["count"]) == (0, 4)
    assert {(row["model"], row["outcome"]) for row in document["traces"]} == {("small", 1)}
    code, out = call(capsys, *at, "--filter", "model is small", "--filter", "steps from 4", "--any", "--limit", "20")
    assert len(out.splitlines()) == 13
    code, out = call(capsys, *at, "Done", "--filter", "steps is 4", "--json")
    assert [hit["trace"] for hit in json.loads(out)["traces"]] == [2]
    assert call(capsys, *at, "--filter", "steps from 9")[0] == 1
    kept = Filter((Condition(Field.MODEL, Op.IS, "large"), Condition(Field.OUTCOME, Op.IS, "wrong")))
    with Workspace.open(workspace) as opened:
        opened.database.run(lambda c: saved_filters.save_filter(c, "bad large", kept))
    code, out = call(capsys, *at, "--saved", "bad large", "--json")
    assert json.loads(out)["count"] == sum(k % 3 == 1 for k in range(12))
    for wrong, said in (("colour is red", "begin with a field"), ("model near x", "comes one of"), ("", "say what")):
        asked = (*at, "--filter", wrong) if wrong else at
        assert main([str(word) for word in asked]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("field", Field)
def test_a_condition_is_read_as_it_prints_itself(field: Field) -> None:
    value = {Field.RATED: "not rated", Field.OUTCOME: "wrong"}.get(field, "7 of 9")
    for op in OPS[kind_of(field)]:
        bare = op in (Op.KNOWN, Op.UNKNOWN)
        made = Condition(field, op, "" if bare else value, "a.b" if field is Field.METADATA else "")
        assert parsed(str(made)) == made


def test_bookmarks_are_listed_and_carried(workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = ("bookmarks", "--workspace", workspace)
    assert call(capsys, *at)[0] == 1
    with Workspace.open(workspace) as opened, opened.database.write() as c:
        person = projects.ensure_annotator(c, "Ada").id
        first = bookmarks.add(c, 1, 0, 3, person, comment="why two?", tags=("odd",)).bookmark
        second = bookmarks.add(c, 2, 4, 9, person).bookmark
    code, out = call(capsys, *at, "--tag", "odd")
    assert (code, out) == (0, "       1         0  “Let”  why two? #odd\n")
    code, out = call(capsys, *at, "--json")
    assert [mark["uid"] for mark in json.loads(out)["bookmarks"]] == [second.uid, first.uid]
    path = tmp_path / "marks.json"
    assert call(capsys, *at, "--trace", "1", "--export", path)[0] == 0
    code, out = call(capsys, *at, "--import", path, "--json")
    assert (code, json.loads(out)) == (0, {"new": 0, "known": 1, "left_out": []})
