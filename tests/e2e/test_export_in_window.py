"""Exporting in the window."""

from __future__ import annotations

import json
from pathlib import Path

from pytestqt.qtbot import QtBot

from tests.e2e.data_desk import bring_in, check, click, data_page, picture, type_over, write_records
from tests.e2e.seat import Seat


def test_what_came_in_goes_out_equal(qtbot: QtBot, folder: Path, tmp_path: Path) -> None:
    source, out = write_records(tmp_path / "rows.jsonl", 40), tmp_path / "out.jsonl"
    with Seat(qtbot, folder) as seat:
        page = data_page(seat)
        dialog = check(seat, page, source)
        bring_in(seat, dialog)
        click(dialog.stop)
        seat.wait(lambda: page.import_dialog is None)
        page.export_asked()
        export = page.export_dialog
        assert export is not None
        seat.wait(lambda: export.project.findText("rows") > 0)
        export.project.setCurrentText("rows")
        assert not export.go.isEnabled(), "there is no file yet"
        type_over(export.file, str(out))
        click(export.go)
        seat.wait(lambda: export.child is None and bool(export.outcome.text()))
        assert export.outcome.text().startswith("40 annotations")
        picture(export, "export")
        click(export.stop)
        seat.wait(lambda: page.export_dialog is None)
    wanted = [json.loads(line) for line in source.read_text("utf-8").splitlines()]
    assert [json.loads(line) for line in out.read_text("utf-8").splitlines()] == wanted


def test_a_place_that_cannot_be_written_is_explained(qtbot: QtBot, folder: Path, tmp_path: Path) -> None:
    seat = Seat(qtbot, folder)
    page = data_page(seat)
    page.export_asked()
    export = page.export_dialog
    assert export is not None
    type_over(export.file, str(tmp_path / "nowhere" / "out.jsonl"))
    click(export.go)
    seat.wait(lambda: bool(seat.errors))
    assert "nowhere" in str(seat.errors[0])
    assert export.outcome.text() == "Nothing was written."
    seat.stand_up()
