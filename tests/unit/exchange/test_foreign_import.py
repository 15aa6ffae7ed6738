"""Foreign files through a workspace: the same twice, files that grow, move or change, Cancel, projects, looking in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from studio.cli import main
from studio.errors import CancelledError, ConflictError, ImportFormatError, NotFoundError
from studio.exchange import annotation_file, foreign_export, opening
from studio.exchange.files import Piece, look
from studio.exchange.foreign import StepsBy
from studio.exchange.foreign_export import Standing
from studio.exchange.foreign_import import ForeignImporter
from studio.exchange.report import ImportReport
from studio.exchange.transfer import export_original, import_files
from studio.filling import read_in_helpers
from studio.store import bookmarks, find, projects, segmentations, traces
from studio.store import schema as s
from studio.store.schema_inspect import source_record
from studio.ui.inspect.evidence import _trace
from studio.ui.inspect.opened import read_trace
from studio.workspace import Workspace
from tests.unit.exchange.archives import archive, log, sample
from tests.unit.exchange.test_transfer import sizes
from trainer.reasoning.ideas import VERSION
from trainer.reasoning.segment import Span

FORMATS = Path(__file__).parents[2] / "fixtures" / "formats"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path / "workspace", create=True) as opened:
        yield opened


def rows(path: Path, numbers: range) -> Path:
    said = ({"id": at, "prompt": f"{at} + 1?", "response": f"<think>Add.</think>It is {at + 1}."} for at in numbers)
    path.write_text("".join(json.dumps(each) + "\n" for each in said))
    return path


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def steps(workspace: Workspace) -> dict[str, tuple[tuple[int, int, int], ...]]:
    with workspace.database.read() as c:
        ids = c.scalars(select(s.trace.c.id)).all()
        return {t.uid: tuple((x.id, x.start, x.end) for x in t.segmentation.steps) for t in traces.load_many(c, ids)}


def test_the_same_file_adds_nothing_and_a_longer_one_what_is_new(workspace: Workspace, tmp_path: Path) -> None:
    path = rows(tmp_path / "a.jsonl", range(3))
    assert import_files(workspace, [path]).imported == 3
    before, first = sizes(workspace), steps(workspace)
    again = import_files(workspace, [path])
    assert (again.imported, again.known) == (0, 3)
    assert sizes(workspace) == before
    rows(path, range(5))
    grown = import_files(workspace, [path])
    assert (grown.imported, grown.known) == (2, 3)
    assert {uid: now for uid, now in steps(workspace).items() if uid in first} == first
    with workspace.database.read() as c:
        newest = foreign_export.by_name(c, "a.jsonl")
        assert b"".join(foreign_export.rebuilt(c, newest)).count(b"\n") == 5


def test_bookmarks_stay_over_another_import_and_come_into_another_workspace(tmp_path: Path) -> None:
    path = rows(tmp_path / "a.jsonl", range(2))
    with Workspace.open(tmp_path / "one", create=True) as one, Workspace.open(tmp_path / "two", create=True) as two:
        import_files(one, [path])
        with one.database.read() as c:
            trace = c.scalar(select(s.trace.c.id).order_by(s.trace.c.id.desc()))
        ada = one.database.run(lambda c: projects.ensure_annotator(c, "Ada"))
        done = one.database.run(lambda c: bookmarks.add(c, trace, 1, 4, ada.id, comment="look", tags=("odd",)))
        rows(path, range(4))
        import_files(one, [path])
        import_files(two, [path])
        with one.database.read() as c:
            (kept,) = bookmarks.every(c)
            assert kept == done.bookmark
            annotation_file.write(c, tmp_path / "marks.json")
        taken = two.database.run(lambda c: annotation_file.read(c, tmp_path / "marks.json"))
        assert (taken.new, taken.left_out) == (1, ())
        with two.database.read() as c:
            (came,) = bookmarks.every(c)
            text = traces.load(c, came.trace_id).text
        assert (came.trace_uid, came.comment, came.tags) == (kept.trace_uid, "look", ("odd",))
        assert came.span_in(text) == Span(1, 4)


def test_equal_lines_of_a_file_all_survive(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "p", "response": "r"}\n' * 3)
    assert import_files(workspace, [path]).imported == 3
    assert import_files(workspace, [path]).known == 3


def test_steps_of_another_workspace_are_the_same(tmp_path: Path) -> None:
    path = log(tmp_path / "a.eval", {"samples/1_epoch_1.json": sample(1, "<think>One.\n\nTwo.</think>Three.")})
    found = []
    for name in ("one", "two"):
        with Workspace.open(tmp_path / name, create=True) as workspace:
            import_files(workspace, [path])
            found.append(steps(workspace))
    assert found[0] == found[1]
    assert [len(each) for each in found[0].values()] == [3]


def said_steps(workspace: Workspace) -> dict[str, tuple[str, list[str]]]:
    """How each trace was cut, and its steps, by its problem."""
    with workspace.database.read() as c:
        found = traces.load_many(c, c.scalars(select(s.trace.c.id)).all())
    return {
        t.problem.prompt: (t.segmentation.method, [t.text[x.start : x.end] for x in t.segmentation.steps])
        for t in found
    }


def test_traces_are_cut_as_asked_and_stay_so(workspace: Workspace, tmp_path: Path) -> None:
    path, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    prose = "<think>Add one. Then two.\nNone is left.</think>It is 3. Surely."
    given = ["First. Second.", "Third,\nof two lines."]
    path.write_text(
        f"{json.dumps({'prompt': 'p', 'response': prose})}\n{json.dumps({'prompt': 'q', 'steps': given})}\n"
    )
    report = import_files(workspace, [path])
    assert report.cut == {"cut by idea": 1, "came with the trace": 1}
    ideas = ["Add one.", "Then two.", "None is left.", "It is 3.", "Surely."]
    assert said_steps(workspace) == {"p": (VERSION, ideas), "q": ("given", given)}
    with workspace.database.read() as c:
        trace = c.scalar(select(s.trace.c.id).join(s.problem).where(s.problem.c.prompt == "p")) or 0
    ada = workspace.database.run(lambda c: projects.ensure_annotator(c, "Ada"))
    workspace.database.run(lambda c: segmentations.join(c, trace, 0, ada.id))
    edited = steps(workspace)
    assert import_files(workspace, [path], steps=StepsBy.LINES).known == 2
    assert steps(workspace) == edited, "another choice moves nothing that is here, nor an edit"
    assert said_steps(workspace)["p"] == ("edited", ["Add one. Then two.", *ideas[2:]])
    other.write_text(json.dumps({"prompt": "r", "response": prose}) + "\n")
    assert import_files(workspace, [other], steps=StepsBy.LINES).cut == {"cut by lines": 1}
    assert said_steps(workspace)["r"] == ("lines", ["Add one. Then two.", "None is left.", "It is 3. Surely."])


def test_a_moved_or_changed_file_says_so(workspace: Workspace, tmp_path: Path) -> None:
    path = rows(tmp_path / "a.jsonl", range(2))
    import_files(workspace, [path])
    original = path.read_bytes()
    with workspace.database.read() as c:
        known = foreign_export.by_name(c, "a.jsonl")
    assert known.standing(thorough=True) is Standing.IN_PLACE
    assert export_original(workspace, "a.jsonl", tmp_path / "out").same_bytes
    assert (tmp_path / "out").read_bytes() == original
    path.write_bytes(original.replace(b"Add", b"add"))
    assert known.standing() is Standing.CHANGED
    path.write_bytes(original)  # a new time, the same bytes
    assert known.standing() is Standing.IN_PLACE
    assert known.standing(most=len(original)) is Standing.IN_PLACE
    assert known.standing(most=len(original) - 1) is Standing.TOUCHED
    path.rename(tmp_path / "elsewhere.jsonl")
    assert known.standing() is Standing.MOVED
    report = export_original(workspace, "a.jsonl", tmp_path / "out")
    assert not report.same_bytes
    assert "moved or deleted" in " ".join(report.sentences())
    assert lines_of(tmp_path / "out") == [json.loads(x) for x in original.splitlines()]
    with pytest.raises(NotFoundError, match=r"b\.jsonl.*there are: a\.jsonl"):
        export_original(workspace, "b.jsonl", tmp_path / "out")


def test_the_evidence_of_a_trace_names_its_file_and_how_it_stands(workspace: Workspace, tmp_path: Path) -> None:
    path = rows(tmp_path / "a.jsonl", range(2))
    import_files(workspace, [path])

    def said() -> tuple[str, bool]:
        with workspace.database.read() as c:
            (line,) = (line for line in _trace(read_trace(c, 1, 0)) if line.name == "source file")
        assert str(path) in line.tip
        return line.value, line.warns

    assert said() == ("in its place", False)
    path.write_bytes(path.read_bytes() + b"{}\n")
    assert said() == ("changed since", True)
    path.unlink()
    assert said() == ("moved or deleted", True)


def test_cancel_leaves_nothing(workspace: Workspace, tmp_path: Path) -> None:
    path = rows(tmp_path / "a.jsonl", range(4_000))
    before = sizes(workspace)
    told: list[int] = []

    def asked() -> bool:
        with workspace.database.read() as c:
            return bool(c.scalar(select(func.count()).select_from(s.trace)))

    with pytest.raises(CancelledError):
        import_files(workspace, [path], stop=asked, progress=lambda _p, done, _t, _x: told.append(done))
    assert sizes(workspace) == before
    with workspace.database.read() as c:
        assert not find.search(c, "Add")


def test_traces_come_into_a_project_only_when_one_is_named(workspace: Workspace, tmp_path: Path) -> None:
    path = rows(tmp_path / "a.jsonl", range(3))
    import_files(workspace, [path])
    with workspace.database.read() as c:
        assert projects.all_projects(c) == ()
        assert len(find.search(c, '"is 2"')) == 1
    report = import_files(workspace, [path], "Sums")
    assert (report.imported, report.known) == (0, 3)
    with workspace.database.read() as c:
        project = projects.by_name(c, "Sums")
        assert project is not None
        assert project.traces == 3


def test_a_dry_run_counts_and_writes_nothing(workspace: Workspace, tmp_path: Path) -> None:
    before = sizes(workspace)
    report = import_files(workspace, [rows(tmp_path / "a.jsonl", range(3))], dry_run=True)
    assert (report.imported, report.traces, report.steps) == (3, 3, 6)
    assert sizes(workspace) == before


def test_helpers_read_what_this_process_would_read(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from studio import filling

    monkeypatch.setattr(filling, "PIECES_ALONE", 1)
    members = {
        f"samples/{at}_epoch_1.json": sample(at, f"<think>{at}\n\n" + "x " * 90_000 + "</think>4") for at in range(8)
    }
    pieces: list[Piece] = []

    def noted(given: Iterator[Piece]) -> Iterator[Piece]:
        for piece in given:
            pieces.append(piece)
            yield piece

    monkeypatch.setattr("studio.exchange.files.PIECE_BYTES", 400)
    report = import_files(
        workspace, [log(tmp_path / "a.eval", members)], spread=lambda given: read_in_helpers(noted(given))
    )
    assert len(pieces) > 3
    assert (report.imported, report.steps, report.broken) == (8, 24, 0)


# -- looking in -------------------------------------------------------------------------------------------------------


def test_a_folder_is_listed_by_headers(tmp_path: Path) -> None:
    for at in range(3):
        log(tmp_path / f"{at}.eval", {f"samples/{n}_epoch_1.json": sample(n, "4") for n in range(at + 1)})
    (tmp_path / "broken.eval").write_bytes(b"PK\x03\x04")
    (tmp_path / "notes.txt").write_text("no traces")
    rows(tmp_path / "rows.jsonl", range(2))
    found = list(opening.folder(tmp_path))
    assert [each.path.name for each in found] == ["0.eval", "1.eval", "2.eval", "broken.eval", "rows.jsonl"]
    assert [each.traces for each in found[:3]] == [1, 2, 3]
    assert (found[0].model, found[0].task, found[0].status) == ("a/b", "sums", "success")
    assert "without header.json" in found[3].problem


def test_any_trace_opens_from_the_file(tmp_path: Path) -> None:
    path = log(
        tmp_path / "a.eval",
        {f"samples/{at}_epoch_2.json": {**sample(at, f"reply {at}"), "epoch": 2} for at in range(5)},
    )
    opened = opening.open_file(path)
    assert [(row.sample, row.epoch) for row in opened.rows] == [(str(at), 2) for at in range(5)]
    assert opened.traces(3)[0].text == "Problem 3\n\nreply 3"
    lines = opening.open_file(rows(tmp_path / "b.jsonl", range(300)))
    assert len(lines.rows) == 300
    assert lines.traces(299)[0].text.endswith("It is 300.")
    rows(tmp_path / "b.jsonl", range(2))
    with pytest.raises(ImportFormatError):
        lines.traces(299)


def test_a_log_in_progress_is_listed_by_its_journal(tmp_path: Path) -> None:
    summary = [{"id": 1, "epoch": 1, "input": "Problem 1", "scores": {"match": {"value": "I"}}}]
    members = {"_journal/start.json": {"version": 2, "eval": {"task": "t"}}, "_journal/summaries/1.json": summary}
    (tmp_path / "a.eval").write_bytes(archive({**members, "samples/1_epoch_1.json": sample(1, "5")}, directory=False))
    opened = opening.open_file(tmp_path / "a.eval")
    assert [(row.title, row.outcome, row.scores) for row in opened.rows] == [("Problem 1", 0, "match I")]


def test_the_verb_open(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows(tmp_path / "rows.jsonl", range(2))
    assert main(["open", str(tmp_path)]) == 0
    assert "rows.jsonl  mapped" in capfd.readouterr().out
    assert main(["open", str(tmp_path / "rows.jsonl"), "--json"]) == 0
    said = json.loads(capfd.readouterr().out)
    assert said["fields"] == "problem=prompt answer=response sample=id"
    assert [each["title"] for each in said["traces"]] == ["0 + 1?", "1 + 1?"]
    assert main(["open", str(tmp_path / "rows.jsonl"), "--trace", "2"]) == 0
    assert (
        capfd.readouterr().out
        == "--- user: other\n1 + 1?\n--- assistant: thinking\nAdd.\n--- assistant: answer\nIt is 2.\n"
    )
    assert main(["open", str(tmp_path / "rows.jsonl"), "--trace", "3"]) == 1
    assert main(["open", str(tmp_path / "none.eval")]) == 1


def test_the_verbs_import_and_export(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, out = rows(tmp_path / "rows.jsonl", range(2)), tmp_path / "out.jsonl"
    where = ["--workspace", str(tmp_path / "w")]
    assert main(["import", str(path), "--copy", *where]) == 0
    path.unlink()
    assert main(["export", str(out), "--format", "original", "--log", "rows", *where]) == 0
    assert "the same bytes" in capfd.readouterr().out
    assert out.read_bytes() == rows(path, range(2)).read_bytes()
    assert main(["export", str(out), "--format", "original", "--log", "rows", "--from-tables", *where]) == 0
    assert lines_of(out) == lines_of(path)


# -- real files -------------------------------------------------------------------------------------------------------


@pytest.mark.needs_data
def test_all_real_files_come_in_and_back(workspace: Workspace, data_dir: Path) -> None:
    report = import_files(workspace, [data_dir / "traces", data_dir / "safety"])
    assert (report.imported, report.broken) == (1_271, 3)
    assert all("says nothing" in str(error) for error in report.errors)
    with workspace.database.read() as c:
        for known in foreign_export.logs(c):
            original = known.path.read_bytes()
            assert b"".join(foreign_export.raw(c, known) or ()) == original
            if known.kind == "document":
                again = b"".join(foreign_export.rebuilt(c, known))
                assert json.dumps(json.loads(again)) == json.dumps(json.loads(original))
            elif known.kind == "lines":
                again = b"".join(foreign_export.rebuilt(c, known))
                kept = c.scalars(
                    select(source_record.c.ordinal).where(source_record.c.batch_id == known.batch_id)
                ).all()
                lines = original.splitlines()
                assert [json.loads(x) for x in again.splitlines()] == [json.loads(lines[at - 1]) for at in sorted(kept)]


@pytest.mark.needs_data
def test_harmony_is_split_as_its_source_splits_it(data_dir: Path) -> None:
    path = data_dir / "traces" / "harmony_channels.jsonl"
    said = lines_of(path)
    opened = opening.open_file(path)
    for at, record in enumerate(said):
        trace = opened.traces(at)[0]
        found = {
            kind: "".join(trace.text[b.start : b.end] for _, b in trace.kinds() if b.kind == kind)
            for kind in ("thinking", "answer")
        }
        assert found["thinking"].strip() == (record["thinking"] or "").strip()
        assert found["answer"].strip() == (record["output"] or "").strip()


def test_traces_that_another_import_may_take_back_are_not_counted_as_here(workspace: Workspace, tmp_path: Path) -> None:
    """Both would say that all is in, and when the first is cancelled nothing is."""
    path = rows(tmp_path / "a.jsonl", range(3))
    outcomes: list[str] = []

    def stop() -> bool:
        with workspace.database.read() as c:
            there = bool(c.scalar(select(func.count()).select_from(s.trace)))
        if there and not outcomes:
            outcomes.append("second")
            with pytest.raises(ConflictError, match=r"come in with .*a\.jsonl at this moment"):
                import_files(workspace, [path])
        return there

    first = ForeignImporter(workspace.database, None, ImportReport("", False, []), stop=stop)
    with pytest.raises(CancelledError):
        first.run(look(path))
    assert outcomes == ["second"]
    assert sizes(workspace) == {**sizes(workspace), "trace": 0, "batch": 0}
    assert import_files(workspace, [path]).imported == 3
