"""A person orders a grid of runs from the form, ticks all of it, and reads the table of the comparison."""

from __future__ import annotations

import itertools
from pathlib import Path

from PySide6.QtGui import QColor
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from studio.jobs.grid import axes_of, points
from studio.jobs.values import RunOrder
from studio.ui.train.compare_grid import cell_text
from studio.workspace import Workspace
from tests.e2e.data_desk import picture, story_workspace, train_page, type_over
from tests.e2e.seat import Seat
from tests.unit.jobs.told_runs import made_run


def test_the_form_says_how_many_runs_a_grid_makes_and_what_they_take(qtbot: QtBot, tmp_path: Path) -> None:
    with Seat(qtbot, story_workspace(tmp_path / "workspace", 12)) as seat:
        dialog = train_page(seat).new_run("prm")
        type_over(dialog.grid, "head_rate=1e-3,1e-2; seed=0,1,2")
        seat.wait(lambda: dialog._preview is not None)
        assert dialog.grid_about.text().startswith("6 runs: 2 of Head rate by 3 of Seed.")
        title, _ = dialog.panel._parts["estimate"]
        assert title.text() == "All 6 runs will take about"
        assert [order.parameters["seed"] for order in dialog.orders()] == [0, 1, 2] * 2
        for theme in ("light", "dark"):
            seat.context.actions.run(f"theme_{theme}")
            picture(dialog, f"grid-form-{theme}")
        seat.context.actions.run("theme_light")
        QTest.keyClicks(dialog.grid, ",2")
        assert "takes the value 2 twice" in dialog.panel.problems.text()
        assert not dialog.start.isEnabled()
        type_over(dialog.grid, " ")
        seat.wait(lambda: dialog._preview is not None)
        assert not dialog.grid_about.isVisible()
        assert title.text() == "It will take about"
        assert len(dialog.orders()) == 1
        dialog.reject()


def test_the_whole_grid_is_ticked_and_compared_as_a_table(qtbot: QtBot, tmp_path: Path) -> None:
    folder = story_workspace(tmp_path / "workspace", 12)
    orders = points(RunOrder("prm", name="try"), axes_of("prm", ["head_rate=1e-3,1e-2", "epochs=1,2,4", "seed=0,1"]))
    with Workspace.open(folder) as workspace:
        made_run(workspace, "another", {1: 9.0})
        for number, order in enumerate(orders):
            values = {step: (number + 1.0) / step for step in (1, 2, 4)}
            made_run(workspace, order.name, values, group=order.group, **order.parameters)
        workspace.database.run(
            lambda c: c.exec_driver_sql("UPDATE run SET state = 'cancelled', ingested_attempt = attempts")
        )
    with Seat(qtbot, folder) as seat:
        seat.window.resize(1280, 900)
        page = train_page(seat)
        seat.wait(lambda: page.model.rowCount() == 13)
        member = next(view for view in seat.context.jobs.runs() if view.name != "another")
        page.table.choose(member.id)
        seat.press("G", page.table)
        assert len(page.model.ticked()) == 12
        seat.press("C", page.table)
        dialog = page.ticked.dialog
        assert dialog is not None
        seat.wait(lambda: dialog.curves is not None)
        assert dialog.grid is not None
        assert dialog.curves is not None
        assert len(dialog.curves.bands) == 6, "a band for every point"
        dialog.tabs.setCurrentWidget(dialog.grid)
        table = dialog.grid.table
        assert (table.rowCount(), table.columnCount()) in ((2, 3), (3, 2))
        found = dialog.grid._table.cells(dialog.grid._made.figures[dialog.grid.figure.currentData()])
        means: dict[float, QColor] = {}
        for i, j in itertools.product(range(table.rowCount()), range(table.columnCount())):
            cell, item = found[i][j], table.item(i, j)
            assert cell is not None
            assert item is not None
            assert item.text() == cell_text(cell)
            assert cell.runs == 2
            means[cell.mean] = item.background().color()
        assert sorted(means) == [(n + 0.5) / 4 for n in range(1, 13, 2)], "seeds are next to each other in number"
        depths = [means[mean].lightnessF() for mean in sorted(means)]
        assert depths == sorted(depths, reverse=True), "the higher, the deeper"
        for theme in ("light", "dark"):
            seat.context.actions.run(f"theme_{theme}")
            picture(dialog, f"grid-table-{theme}")
        seat.context.actions.run("theme_light")
        dialog.tabs.setCurrentWidget(dialog.curves)
        picture(dialog, "grid-bands")
        dialog.accept()
