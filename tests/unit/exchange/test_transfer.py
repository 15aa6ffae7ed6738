"""Import and export through a workspace: identity, broken rows, batches, cancelling, what is made here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, event, func, select
from zstandard import ZstdDecompressor

from studio.domain import Project
from studio.errors import CancelledError, ConflictError, ImportFormatError, SteplensError, StoreError
from studio.exchange.exporter import ExportQuery, Origin
from studio.exchange.report import ImportReport
from studio.exchange.transfer import export_file, import_files
from studio.store import annotations, batches, find, projects, traces
from studio.store import schema as s
from studio.store import schema_inspect as i
from studio.store.annotations import Work
from studio.workspace import Workspace
from tests.unit.exchange.records import Generator, Record, exact
from trainer.contract.records import FinishReason, Rating
from trainer.reasoning.split import fold_of

TRAPS = Path(__file__).with_name("traps.jsonl")
LINES = TRAPS.read_bytes().splitlines()


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path / "workspace", create=True) as opened:
        yield opened


def exported(workspace: Workspace, query: ExportQuery | None = None) -> list[Record]:
    out = workspace.path / "out.jsonl"
    export_file(workspace, out, query or ExportQuery())
    return [json.loads(line) for line in out.read_bytes().splitlines()]


def written(folder: Path, lines: list[bytes], name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def sizes(workspace: Workspace) -> dict[str, int]:
    with workspace.database.read() as c:
        tables = [table for table in s.metadata.sorted_tables if table.name not in ("history", "annotator")]
        return {table.name: c.scalar(select(func.count()).select_from(table)) or 0 for table in tables}


def the_project(workspace: Workspace) -> Project:
    with workspace.database.read() as c:
        return projects.all_projects(c)[0]


def test_every_trap_comes_back_without_the_raw_bytes(workspace: Workspace) -> None:
    report = import_files(workspace, [TRAPS], "Traps")
    assert report.errors == []
    assert report.imported == len(LINES)
    with workspace.database.write() as c:
        c.execute(delete(i.raw_record))
    for number, (mine, line) in enumerate(zip(exported(workspace), LINES, strict=True), 1):
        assert exact(mine) == exact(json.loads(line)), f"line {number}"


def test_the_raw_bytes_are_kept(workspace: Workspace) -> None:
    import_files(workspace, [TRAPS], "Traps")
    with workspace.database.read() as c:
        rows = c.execute(select(i.raw_record).order_by(i.raw_record.c.line)).all()
    kept: dict[int, bytes] = {}
    for row in rows:
        for at, line in enumerate(ZstdDecompressor().decompress(row.data).split(b"\n")):
            kept[row.line + at] = line
    assert kept == dict(enumerate(LINES, 1))


def test_the_same_file_twice_adds_nothing_and_says_so(workspace: Workspace) -> None:
    first = import_files(workspace, [TRAPS], "Traps")
    before = sizes(workspace)
    second = import_files(workspace, [TRAPS], "Traps")
    assert sizes(workspace) == before
    assert (second.imported, second.known, second.problems, second.traces) == (0, first.imported, 0, 0)
    assert "nothing was added" in "\n".join(second.sentences())


def test_another_project_takes_the_same_file(workspace: Workspace) -> None:
    import_files(workspace, [TRAPS], "One")
    report = import_files(workspace, [TRAPS], "Two")
    assert (report.imported, report.problems) == (len(LINES), 0)
    with workspace.database.read() as c:
        assert [project.traces for project in projects.all_projects(c)] == [report.traces] * 2


def test_equal_lines_all_survive_in_order_and_a_grown_file_adds_its_new_lines(
    workspace: Workspace, tmp_path: Path
) -> None:
    some = [LINES[0], LINES[3], LINES[0], LINES[0]]
    path = written(tmp_path, some)
    assert import_files(workspace, [path], "Twins").traps["equal lines"] == 2
    assert [exact(r) for r in exported(workspace)] == [exact(json.loads(line)) for line in some]
    path = written(tmp_path, [*some, LINES[1], LINES[0]])
    report = import_files(workspace, [path], "Twins")
    assert (report.known, report.imported) == (4, 2)
    found = exported(workspace)
    assert [exact(r) for r in found] == [exact(json.loads(line)) for line in [*some, LINES[1], LINES[0]]]


def test_labelers_of_one_solution_overlap_on_one_trace(workspace: Workspace, tmp_path: Path) -> None:
    report = import_files(workspace, [written(tmp_path, LINES[:2])], "Overlap")
    assert (report.traces, report.problems) == (1, 1)
    with workspace.database.read() as c:
        rows = traces.rows(c, traces.TraceQuery(), limit=10)
        assert [row.annotations for row in rows] == [2]
        trace = traces.load(c, rows[0].id)
        people = {each.uid: each for each in projects.annotators(c)}
        said = annotations.of_trace(c, trace.id)
    assert [trace.step_text(at) for at in range(3)] == json.loads(LINES[0])["question"]["pre_generated_steps"]
    assert trace.messages[0].blocks[0].end == len(trace.text)
    assert trace.problem.fold == fold_of("What is $1+1$?")
    first = json.loads(LINES[0])["labeler"]
    assert people[first].origin == "imported"
    assert [a.value(1) for a in said] == [Rating.POSITIVE, Rating.NEUTRAL]
    assert [a.finish_reason for a in said] == [FinishReason.SOLUTION] * 2


BROKEN = [b"{", b'{"question": {"problem": "p"}, "label": {"steps": [1]}}', b'"x"', b'{"a": "\\ud800"}', b"\xff"]


def test_broken_rows_are_reported_and_the_others_imported(workspace: Workspace, tmp_path: Path) -> None:
    lines = [LINES[0], BROKEN[0], b"", BROKEN[1], LINES[1], *BROKEN[2:], LINES[2]]
    path = written(tmp_path, lines)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    report = import_files(workspace, [path], "Broken")
    assert [error.line for error in report.errors] == [2, 4, 6, 7, 8]
    assert (report.rows, report.imported, report.broken) == (8, 3, 5)
    assert f"{path}:4: label.steps[0] is a whole number (1): it must be an object" in "\n".join(report.sentences())
    assert report.traps["byte order mark"] == report.traps["blank lines"] == 1
    assert [exact(r) for r in exported(workspace)] == [exact(json.loads(line)) for line in LINES[:3]]


def test_a_dry_run_says_the_same_and_writes_nothing(workspace: Workspace, tmp_path: Path) -> None:
    path = written(tmp_path, [*LINES, *BROKEN])
    before = sizes(workspace)
    dry = import_files(workspace, [path], "Traps", dry_run=True)
    assert sizes(workspace) == before
    assert import_files(None, [path], "Traps", dry_run=True).imported == dry.imported
    wet = import_files(workspace, [path], "Traps")

    def said(report: ImportReport) -> list[object]:
        return [getattr(report, f) for f in report.__struct_fields__ if f not in ("seconds", "dry_run")]

    assert said(dry) == said(wet)
    assert dry.dry_run
    again = import_files(workspace, [path], "Traps", dry_run=True)
    assert (again.known, again.imported, again.traces) == (len(LINES), 0, 0)


def test_nothing_is_seen_before_the_end_and_a_cancelled_import_leaves_nothing(
    workspace: Workspace, tmp_path: Path
) -> None:
    import_files(workspace, [TRAPS], "Kept")
    before = sizes(workspace)
    generator = Generator(5)
    path = written(tmp_path, [json.dumps(record).encode() for record in generator.records(300)])
    seen: list[int] = []

    def stop() -> bool:
        with workspace.database.read() as c:
            hidden = c.scalar(select(func.count()).select_from(s.trace)) or 0
            shown = traces.count(c, traces.TraceQuery())
            hits = len(find.search(c, "Größe", limit=1000))
            seen.append(hidden - shown)
            assert shown == before["trace"]
            assert hits <= before["trace"]
        return hidden > before["trace"] + 50

    with pytest.raises(CancelledError, match="nothing of"):
        import_files(workspace, [path], "New", stop=stop)
    assert seen[-1] > 50
    assert sizes(workspace) == before
    assert import_files(workspace, [path], "New").imported == 300


def test_a_full_disk_is_said_and_leaves_nothing(workspace: Workspace, tmp_path: Path) -> None:
    import_files(workspace, [TRAPS], "Kept")
    before = sizes(workspace)
    with workspace.database.read() as c:
        pages = c.exec_driver_sql("PRAGMA page_count").scalar_one()
    engine = workspace.database.engine
    engine.dispose()
    event.listen(engine, "connect", lambda raw, _: raw.execute(f"PRAGMA max_page_count={pages + 20}"))
    generator = Generator(7)
    path = written(tmp_path, [json.dumps(record).encode() for record in generator.records(300)])
    with pytest.raises(StoreError, match="full"):
        import_files(workspace, [path], "New")
    assert sizes(workspace) == before


def test_a_second_import_into_the_project_is_refused(workspace: Workspace) -> None:
    project = workspace.database.run(lambda c: projects.create(c, "Busy"))
    workspace.database.run(lambda c: batches.begin(c, "import", project.id, "other.jsonl", "prm800k"))
    with pytest.raises(ConflictError, match=r"other\.jsonl is being imported"):
        import_files(workspace, [TRAPS], "Busy")


def test_what_is_no_prm800k_file_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(ImportFormatError, match=r"rows\.jsonl:1: no known format.*PRM800K"):
        import_files(workspace, [written(tmp_path, [b'{"a": 1}'])], "X")
    with pytest.raises(SteplensError, match="cannot be read"):
        import_files(workspace, [tmp_path / "none.jsonl"], "X")
    with pytest.raises(SteplensError, match="check the path"):
        import_files(workspace, [tmp_path], "X", format="prm800k")
    with workspace.database.read() as c:
        assert projects.all_projects(c) == ()


def test_an_annotation_made_here_is_the_record_of_the_format(workspace: Workspace) -> None:
    """PRM800K's own example of phase 2: positive, neutral, then the first error; later steps stay unrated."""
    steps = ("Add.", "$1+1=2$.", "So $3$.", "Done.")
    with workspace.database.write() as c:
        project = projects.create(c, "Here")
        ada = projects.ensure_annotator(c, "Ada")
        batch = batches.begin(c, "sample", project.id)
        new = traces.from_steps("What is $1+1$?", steps, reference_answer="2", answer="3", source="ours")
        trace = traces.add(c, new, batch_id=batch, project_id=project.id).trace_id
        batches.publish(c, batch, {})
    work = Work(project.id, trace, ada.id)
    for at, value in enumerate((1, 0, -1)):
        workspace.database.run(lambda c, at=at, value=value: annotations.rate(c, work, at, Rating(value)))
    assert exported(workspace) == []
    done = workspace.database.run(lambda c: annotations.submit(c, work, active_ms=4321)).annotation
    with workspace.database.read() as c:
        moment = c.scalar(select(s.annotation.c.submitted_at).where(s.annotation.c.id == done.id))
    given = [*steps[:3], "Done.\n\n# Answer\n\n3"]
    expected = {
        "labeler": ada.uid,
        "timestamp": moment,
        "generation": None,
        "is_quality_control_question": False,
        "is_initial_screening_question": False,
        "question": {
            "problem": "What is $1+1$?",
            "ground_truth_answer": "2",
            "pre_generated_steps": given,
            "pre_generated_answer": "3",
        },
        "label": {
            "steps": [
                {
                    "completions": [{"text": given[at], "rating": value, "flagged": None}],
                    "human_completion": None,
                    "chosen_completion": None if at == 2 else 0,
                }
                for at, value in enumerate((1, 0, -1))
            ],
            "total_time": 4321,
            "finish_reason": "found_error",
        },
    }
    assert exact(exported(workspace)) == exact([expected])
    workspace.database.run(lambda c: annotations.rate(c, work, 1, Rating.NEGATIVE))
    assert [len(r["label"]["steps"]) for r in exported(workspace)] == [2]


def test_work_on_an_imported_trace_keeps_its_question_and_is_chosen_by_selection(
    workspace: Workspace, tmp_path: Path
) -> None:
    import_files(workspace, [written(tmp_path, LINES[:2])], "Mixed")
    project = the_project(workspace)
    with workspace.database.write() as c:
        ada = projects.ensure_annotator(c, "Ada")
        trace = traces.rows(c, traces.TraceQuery(), limit=1)[0].id
        work = Work(project.id, trace, ada.id)
        for at in range(3):
            annotations.rate(c, work, at, Rating.POSITIVE)
        annotations.submit(c, work, active_ms=1)
    everything = exported(workspace)
    assert len(everything) == 3
    assert exact(everything[2]["question"]) == exact(json.loads(LINES[0])["question"])
    assert [step["completions"][0]["text"] for step in everything[2]["label"]["steps"]] == [
        step["completions"][0]["text"] for step in json.loads(LINES[0])["label"]["steps"]
    ]
    assert exported(workspace, ExportQuery(source=Origin.HERE)) == everything[2:]
    assert exported(workspace, ExportQuery(source=Origin.IMPORTED, project=project.id)) == everything[:2]
    assert exported(workspace, ExportQuery(annotator=ada.id)) == everything[2:]
    assert exported(workspace, ExportQuery(project=project.id + 1)) == []


def test_an_export_that_fails_or_is_cancelled_leaves_the_old_file(workspace: Workspace, tmp_path: Path) -> None:
    generator = Generator(6)
    path = written(tmp_path, [json.dumps(record).encode() for record in generator.records(250)])
    import_files(workspace, [path], "Rows")
    out = tmp_path / "out.jsonl"
    out.write_text("old")
    with pytest.raises(CancelledError):
        export_file(workspace, out, ExportQuery(), stop=lambda: True)
    assert out.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir() if "part" in each.name] == []
    with pytest.raises(SteplensError, match="choose a place"):
        export_file(workspace, tmp_path / "none" / "out.jsonl", ExportQuery())
