"""Somebody puts two traces of one problem side by side and walks through what changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication

from studio.store import batches, projects, traces
from studio.ui.inspect.diff_dialog import DiffDialog
from studio.ui.inspect.page import InspectPage
from studio.workspace import Workspace
from tests.e2e.inspecting import go_to_inspect
from tests.e2e.seat import PICTURES, Seat

LEFT = ["Let x = 2.", "So 5x = 6x - 7.", "Hence x is 7.", "The answer is 7 <b>bold</b>."]
RIGHT = ["Let x = 2.", "So 5x = 6x - 14.", "Wait, I check it again.", "Hence x is 14.", "The answer is 14 <b>bold</b>."]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two long traces of one problem, and one of another."""
    path = tmp_path / "workspace"
    with Workspace.open(path, create=True) as opened, opened.database.write() as c:
        project = projects.create(c, "Here").id
        batch = batches.begin(c, "sample", project)
        same = [f"Step {k} stays the same on both sides, whatever its number 😀." for k in range(60)]
        for steps in (LEFT + same, RIGHT + same):
            new = traces.from_steps("What is x?", steps, model="<i>small</i>")
            traces.add(c, new, batch_id=batch, project_id=project)
        traces.add(c, traces.from_steps("Another?", ["No."]), batch_id=batch, project_id=project)
        batches.publish(c, batch, {})
    return path


def open_diff(seat: Seat, page: InspectPage) -> DiffDialog:
    seat.press("d", page.steps)
    seat.wait(lambda: bool(page.findChildren(DiffDialog)))
    (dialog,) = page.findChildren(DiffDialog)
    return dialog


def test_two_traces_of_a_problem(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        page.show_trace(1)
        seat.wait(lambda: page.shown is not None and page.shown.trace.id == 1)
        dialog = open_diff(seat, page)
        seat.wait(lambda: dialog.made is not None)
        made = dialog.made
        assert made is not None
        assert (made.left.id, made.right.id, made.diverges) == (1, 2, 1)
        assert "61 the same, 3 changed, 0 only left, 1 only right" in dialog.state.text()
        assert "&lt;i&gt;small" in dialog.left_head.text()
        view = dialog.view
        assert view.current == 1
        seat.press("n", view)
        assert made.text(made.pairs[view.current]) == ("", RIGHT[2])
        seat.press("j", view)
        assert made.text(made.pairs[view.current]) == (LEFT[2], RIGHT[3])
        PICTURES.mkdir(exist_ok=True)
        for theme in ("light", "dark"):
            seat.context.actions.run(f"theme_{theme}")
            QApplication.processEvents()
            assert dialog.grab().save(str(PICTURES / f"diff-{theme}.png"))
        assert view.choose(len(made.pairs) - 1)
        assert len(made.pairs) - 1 in view.rows_in_sight()
        dialog.stepWanted.emit(2, 3)
        seat.wait(lambda: page.shown is not None and page.shown.trace.id == 2 and page.step == 3)
        dialog.accept()


def test_the_other_trace_by_its_number(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        page.show_trace(3)
        seat.wait(lambda: page.shown is not None and page.shown.trace.id == 3)
        dialog = open_diff(seat, page)
        seat.wait(lambda: "Nothing else answers" in dialog.state.text())
        dialog.number.setText("999")
        dialog.number.editingFinished.emit()
        seat.wait(lambda: "there is no trace 999" in dialog.state.text())
        dialog.number.setText("1")
        dialog.number.editingFinished.emit()
        seat.wait(lambda: dialog.made is not None)
        assert "They answer different problems." in dialog.state.text()
        dialog.accept()
