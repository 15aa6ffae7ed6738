"""Importing files in the window: dry run, report, progress, Cancel, nothing twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from studio.store import progress, projects, traces
from studio.store.traces import TraceQuery
from studio.ui.data.import_dialog import Stage
from tests.e2e.data_desk import bring_in, check, click, data_page, picture, record, type_over, write_records
from tests.e2e.seat import Seat


def traces_now(seat: Seat, project: str | None = None) -> int:
    with seat.context.workspace.database.read() as c:
        found = None if project is None else projects.by_name(c, project)
        if project is not None and found is None:
            return 0
        return traces.count(c, TraceQuery(project=None if found is None else found.id))


def annotations_now(seat: Seat, project: str) -> int:
    with seat.context.workspace.database.read() as c:
        return next(each.submitted for each in progress.of_projects(c) if each.project.name == project)


def test_a_broken_row_is_told_by_file_and_line_and_the_others_come_in(
    qtbot: QtBot, folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "rows.jsonl"
    lines = [json.dumps(record(0)), '{"question": 3}', json.dumps(record(1)), "not json", json.dumps(record(2))]
    file.write_text("\n".join(lines) + "\n", "utf-8")
    with Seat(qtbot, folder) as seat:
        page = data_page(seat)
        before = traces_now(seat)
        dialog = check(seat, page, file)
        assert traces_now(seat) == before, "the dry run wrote"
        shown = [[item.text(column) for column in range(3)] for item in _items(dialog.report.errors)]
        assert [row[0] for row in shown] == ["rows.jsonl:2", "rows.jsonl:4"]
        assert all(what and remedy for _, what, remedy in shown)
        assert f"{file}:2" in dialog.report.text()
        assert f"{file}:4" in dialog.report.text()
        assert "3 rows can be imported," in dialog.report.verdict.text()
        assert "2 rows broken" in dialog.report.verdict.text()
        for name in ("light", "dark"):
            seat.context.theme.use(name)
            picture(dialog, f"import-dry-run-{name}")
        type_over(dialog.project.lineEdit(), "Broken")
        bring_in(seat, dialog)
        assert traces_now(seat, "Broken") == 3
        report = dialog.report.report
        assert report is not None
        assert (report.imported, report.broken, report.ratings["-1"], report.ratings["+1"]) == (3, 2, 3, 6)
        click(dialog.stop)
        seat.wait(lambda: page.import_dialog is None)
        seat.wait(lambda: page.traces.model.rowCount() == before + 3)


def test_the_same_file_twice_adds_nothing_and_says_so(qtbot: QtBot, folder: Path, tmp_path: Path) -> None:
    file = write_records(tmp_path / "rows.jsonl", 5)
    with file.open("a", encoding="utf-8") as out:  # equal lines within one file all survive
        out.write(json.dumps(record(4)) + "\n")
    with Seat(qtbot, folder) as seat:
        page = data_page(seat)
        dialog = check(seat, page, file)
        bring_in(seat, dialog)
        assert annotations_now(seat, "rows") == 6
        click(dialog.stop)
        seat.wait(lambda: page.import_dialog is None)
        again = check(seat, page, file)
        assert again.report.verdict.text() == "Nothing would be added: all 6 rows are known already."
        assert not again.go.isEnabled()
        assert annotations_now(seat, "rows") == 6


def test_cancel_midway_leaves_nothing(qtbot: QtBot, folder: Path, tmp_path: Path) -> None:
    file = write_records(tmp_path / "many.jsonl", 30_000)
    with Seat(qtbot, folder) as seat:
        page = data_page(seat)
        before = traces_now(seat)
        seat.context.filesGiven.emit((str(file),))
        dialog = page.import_dialog
        assert dialog is not None
        qtbot.waitUntil(lambda: dialog.stage is Stage.CHECKED)
        click(dialog.go)
        child = dialog.child
        assert child is not None
        with qtbot.waitSignal(
            child.progressed, check_params_cb=lambda p: p.phase == "import" and p.done > p.total // 100
        ):
            pass
        assert dialog.bar.isVisible()
        assert traces_now(seat) == before, "a half-written batch was seen"
        with qtbot.waitSignal(child.ended):
            click(dialog.stop)
        assert dialog.note.text() == "Cancelled: nothing was added."
        assert traces_now(seat) == before
        with seat.context.workspace.database.read() as c:
            assert projects.by_name(c, "many") is None
        assert dialog.stage is Stage.CHECKED, "it can be tried again at once"


def test_closing_the_dialog_cancels_first(qtbot: QtBot, folder: Path, tmp_path: Path) -> None:
    file = write_records(tmp_path / "many.jsonl", 20_000)
    with Seat(qtbot, folder) as seat:
        page = data_page(seat)
        seat.context.filesGiven.emit((str(file),))
        dialog = page.import_dialog
        assert dialog is not None
        assert dialog.child is not None
        dialog.close()
        assert page.import_dialog is dialog, "it waits until the child has cleaned up"
        seat.wait(lambda: page.import_dialog is None)


def test_a_file_that_is_none_is_explained(qtbot: QtBot, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "recipe.txt"
    file.write_text("Take two eggs.\n", "utf-8")
    seat = Seat(qtbot, folder)
    page = data_page(seat)
    seat.context.filesGiven.emit((str(file),))
    dialog = page.import_dialog
    assert dialog is not None
    seat.wait(lambda: dialog.preview.files.count() == 1)
    said = dialog.preview.files.item(0).text()
    assert "recipe.txt" in said
    assert "looked for PRM800K" in said
    seat.stand_up()


@pytest.mark.needs_data
def test_a_report_can_be_copied(qtbot: QtBot, folder: Path, data_dir: Path) -> None:
    with Seat(qtbot, folder) as seat:
        dialog = check(seat, data_page(seat), data_dir / "prm800k" / "raw_original.jsonl")
        dialog.report._on_copy()
        assert "5 rows" in QApplication.clipboard().text()


def _items(tree: object) -> list[object]:
    return [tree.topLevelItem(row) for row in range(tree.topLevelItemCount())]  # type: ignore[attr-defined]
