"""Projects, backups and the list of traces on the Data page."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtTest import QTest
from PySide6.QtWidgets import QMessageBox, QPushButton
from pytestqt.qtbot import QtBot

from studio.domain import Changes, Topic
from studio.store import projects
from studio.store.traces import TraceQuery
from studio.ui.actions import Page
from tests.e2e.data_desk import bring_in, check, click, data_page, picture, story_workspace, type_over, write_records
from tests.e2e.seat import Seat

_EVERYTHING = Changes(frozenset({Topic.EVERYTHING}))


def names(seat: Seat) -> list[str]:
    with seat.context.workspace.database.read() as c:
        return [project.name for project in projects.all_projects(c)]


def test_a_project_is_made_and_changed(qtbot: QtBot, folder: Path) -> None:
    with Seat(qtbot, folder) as seat:
        page = data_page(seat)
        seat.context.actions.run("new_project")
        dialog = page.projects.dialog
        assert dialog is not None
        assert not dialog.save.isEnabled(), "it has no name yet"
        type_over(dialog.name, "Geometry")
        type_over(dialog.overlap, "0")
        assert not dialog.save.isEnabled()
        assert "Overlap: must be 1 to 100" in dialog.problem.text()
        type_over(dialog.overlap, "3")
        dialog.text.setFocus()
        QTest.keyClicks(dialog.text, "# Rules <b>no html</b>")
        assert "Rules" in dialog.preview.toPlainText()
        assert "<b>" in dialog.preview.toPlainText(), "a guideline is text, never HTML"
        click(dialog.save)
        seat.wait(lambda: "Geometry" in names(seat))
        seat.wait(lambda: page.projects.tree.topLevelItemCount() == 2)
        with seat.context.workspace.database.read() as c:
            made = projects.by_name(c, "Geometry")
        assert made is not None
        assert (made.overlap, made.guideline) == (3, "# Rules <b>no html</b>")


def test_a_name_that_is_taken_is_explained_in_the_form(qtbot: QtBot, folder: Path) -> None:
    with Seat(qtbot, folder) as seat:
        page = data_page(seat)
        page.projects.new_project()
        dialog = page.projects.dialog
        assert dialog is not None
        type_over(dialog.name, "Algebra")
        click(dialog.save)
        seat.wait(lambda: "choose another name" in dialog.problem.text())
        assert dialog.isVisible()
        dialog.reject()


def test_work_done_shows_in_the_counts(qtbot: QtBot, folder: Path, tmp_path: Path) -> None:
    with Seat(qtbot, folder) as seat:
        page = data_page(seat)
        dialog = check(seat, page, write_records(tmp_path / "rated.jsonl", 4))
        bring_in(seat, dialog)
        click(dialog.stop)
        tree, wanted = page.projects.tree, ["rated", "4", "4 (100%)", "4", "0", "1", "1"]

        def counts_are_shown() -> None:  # the project is there before its rows are
            assert tree.topLevelItemCount() == 2
            assert [tree.topLevelItem(1).text(column) for column in range(7)] == wanted

        seat.wait(counts_are_shown)
        page.tabs.setCurrentIndex(1)
        picture(seat.window, "data-projects")


def test_a_list_of_any_length_is_read_by_pages_and_filtered(qtbot: QtBot, tmp_path: Path) -> None:
    with Seat(qtbot, story_workspace(tmp_path / "workspace", 1000)) as seat:
        seat.window.resize(1280, 860)
        page = data_page(seat)
        tab, model = page.traces, page.traces.model
        seat.wait(lambda: model.rowCount() == 1000)
        assert model.row_at(900) is None, "a page nobody looked at is not fetched"
        tab.table.scrollToBottom()
        seat.wait(lambda: model.row_at(999) is not None)
        picture(seat.window, "data-traces")
        type_over(tab.text, "halve")
        seat.wait(lambda: model.query.text == "halve" and 0 < model.rowCount() < 1000)
        row = model.row_at(0)
        assert row is not None
        assert "halve" in row.title.lower()
        type_over(tab.text, "nowhere-to-be-found")
        seat.wait(lambda: tab.nothing.isVisible())


def test_a_trace_is_sent_to_a_project_and_opened(qtbot: QtBot, folder: Path) -> None:
    with Seat(qtbot, folder) as seat:
        page = data_page(seat)
        seat.context.workspace.database.run(lambda c: projects.create(c, "Second"))
        seat.context.workspace.database.publish(_EVERYTHING)
        seat.wait(lambda: page.traces.project.findText("Second") >= 0 and page.traces.model.row_at(1) is not None)
        page.traces.table.selectRow(1)
        chosen = page.traces.chosen()
        target = next(p for p in page.traces._projects if p.name == "Second")
        page.traces.send_to(target, chosen)
        seat.wait(lambda: "1 trace sent to Second" in seat.said())
        page.traces.send_to(target, chosen)
        seat.wait(lambda: "stood there already" in seat.said())
        page.traces.project.setCurrentText("Second")
        seat.wait(
            lambda: page.traces.model.query == TraceQuery(project=target.id) and page.traces.model.rowCount() == 1
        )
        page.traces.table.selectRow(0)
        click(page.traces.open_button)
        assert seat.window.page is Page.INSPECT


def test_a_backup_brings_back_what_was(qtbot: QtBot, folder: Path) -> None:
    with Seat(qtbot, folder) as seat:
        page = data_page(seat)
        page.tabs.setCurrentIndex(2)
        seat.wait(lambda: page.backups.make.isEnabled())
        before = len(page.backups._found)
        click(page.backups.make)
        seat.wait(lambda: len(page.backups._found) == before + 1)
        seat.context.workspace.database.run(lambda c: projects.create(c, "Made later"))
        assert "Made later" in names(seat)
        page.backups.tree.setCurrentItem(page.backups.tree.topLevelItem(0))
        picture(seat.window, "data-backups")
        click(page.backups.restore)
        box = page.findChild(QMessageBox)
        assert box is not None
        click(next(b for b in box.findChildren(QPushButton) if b.text() == "Go back"))
        seat.wait(lambda: "The workspace is as it was" in seat.said())
        assert names(seat) == ["Algebra"]
        seat.wait(lambda: len(page.backups._found) == before + 2)
