"""Somebody writes a report of what was found, with a word taken out, and stops another one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from studio.exchange.reporting import ReportForm
from studio.ui.inspect.page import InspectPage
from studio.ui.inspect.report_dialog import ReportDialog
from tests.e2e.conversing import fill_talk
from tests.e2e.inspecting import go_to_inspect
from tests.e2e.seat import Seat


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One conversation."""
    path = tmp_path / "workspace"
    fill_talk(path)
    return path


def open_report(seat: Seat, page: InspectPage) -> ReportDialog:
    seat.context.actions.run("write_report")
    seat.wait(lambda: bool(page.findChildren(ReportDialog)))
    return page.findChildren(ReportDialog)[-1]


def test_a_report_is_written_and_another_is_stopped(sit_down: Callable[[], Seat], tmp_path: Path) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        dialog = open_report(seat, page)
        dialog.expressions.setPlainText("(")
        dialog.write_to(tmp_path / "wrong.html")
        assert "not a regular expression" in dialog.state.text()
        dialog.expressions.setPlainText("denominator\ncareful \\w+")
        for form in (ReportForm.HTML, ReportForm.MARKDOWN):
            dialog.form.setCurrentIndex(dialog.form.findData(form))
            path = tmp_path / f"report{form.ending}"
            dialog.write_to(path)
            seat.wait(lambda: dialog.go.isEnabled())
            assert "2 texts taken out" in dialog.state.text()
            source = path.read_text(encoding="utf-8")
            assert "denominator" not in source
            assert "careful mathematician" not in source
            assert "numerator" in source
        dialog.write_to(tmp_path / "stopped.html")
        dialog._on_cancel()
        seat.wait(lambda: dialog.go.isEnabled())
        assert "Stopped" in dialog.state.text()
        assert not (tmp_path / "stopped.html").exists()
        dialog.write_to(tmp_path / "none" / "report.html")
        seat.wait(lambda: dialog.go.isEnabled())
        assert "cannot be written" in dialog.state.text()
        dialog.reject()
