"""Runs ticked in the table, compared and written to files from the window."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QTreeWidget
from pytestqt.qtbot import QtBot

from studio.jobs.export import ExportFormat
from studio.ui.train.compare_dialog import CompareDialog
from studio.ui.train.page import TrainPage
from studio.ui.train.run_table import TICK
from studio.workspace import Workspace
from tests.e2e.data_desk import picture, story_workspace, train_page
from tests.e2e.seat import Seat
from tests.unit.jobs.told_runs import made_run

LOSSES = {"seed 0": {1: 1.0, 2: 0.5}, "seed 1": {1: 0.5, 2: 0.25}, "longer": {1: 0.75, 2: 0.125, 3: 0.0625}}
SETTINGS = {"seed 0": {"seed": 0}, "seed 1": {"seed": 1}, "longer": {"seed": 1, "epochs": 9}}


def test_ticked_runs_are_compared_and_exported(qtbot: QtBot, tmp_path: Path) -> None:
    folder = story_workspace(tmp_path / "workspace", 12)
    with Workspace.open(folder) as workspace:
        for name, losses in LOSSES.items():
            made_run(workspace, name, losses, **SETTINGS[name], max_steps=1)
            with workspace.database.read() as c:
                newest = c.exec_driver_sql("SELECT max(id) FROM run").scalar()
            workspace.database.run(
                lambda c, newest=newest: c.exec_driver_sql(  # type: ignore[misc]
                    "UPDATE run SET state = 'finished', ingested_attempt = 1, attempts = 1 WHERE id = ?", (newest,)
                )
            )
    with Seat(qtbot, folder) as seat:
        page = train_page(seat)
        seat.wait(lambda: page.model.rowCount() == 3)
        actions = seat.context.actions
        assert not actions.is_enabled("compare_runs"), "one run is ticked"
        assert actions.is_enabled("export_runs_csv")
        for view in seat.context.jobs.runs():
            index = page.model.index(page.model.row_of(view.id), TICK)
            page.model.setData(index, Qt.CheckState.Checked.value, Qt.ItemDataRole.CheckStateRole)
        seat.press("C", page.table)
        dialog = page.ticked.dialog
        assert dialog is not None
        seat.wait(lambda: dialog.curves is not None)
        _shows_what_differs(dialog)
        _draws_the_seeds(seat, dialog)
        _follows_the_theme(seat, dialog)
        dialog.accept()
        _traces_back(seat, page)
        page.ticked.export(tmp_path / "out", ExportFormat.CSV)
        seat.wait(lambda: "7 points of 3 run(s)" in seat.said())
    with (tmp_path / "out" / "metrics.csv").open(newline="", encoding="utf-8") as file:
        assert sorted(float(row["value"]) for row in csv.DictReader(file)) == sorted(
            value for losses in LOSSES.values() for value in losses.values()
        )


def _rows(tree: QTreeWidget) -> dict[str, list[str]]:
    found = {}
    for number in range(tree.topLevelItemCount()):
        group = tree.topLevelItem(number)
        for inner in range(group.childCount()):
            item = group.child(inner)
            found[item.text(0)] = [item.text(column) for column in range(1, tree.columnCount())]
    return found


def _shows_what_differs(dialog: CompareDialog) -> None:
    assert dialog.facts is not None
    assert dialog.figures is not None
    tree = dialog.facts.tree
    names = [tree.headerItem().text(column) for column in range(1, 4)]
    rows = _rows(tree)
    assert {key: dict(zip(names, cells, strict=True)) for key, cells in rows.items()} == {
        "Seed": {"seed 0": "0", "seed 1": "1", "longer": "1"},
        "Epochs": dict(zip(names, rows["Epochs"], strict=True)),
    }
    item = tree.topLevelItem(0).child(0)
    bold = [item.font(column).bold() for column in range(1, 4)]
    assert bold == [item.text(column) != item.text(1) for column in range(1, 4)]
    dialog.facts.only.setChecked(False)
    assert len(_rows(tree)) > 20
    cells = _rows(dialog.figures.tree)["train/loss"]
    first = LOSSES[names[0]][max(LOSSES[names[0]])]
    for name, cell in zip(names[1:], cells[1:3], strict=True):
        last = LOSSES[name][max(LOSSES[name])]
        assert cell == f"{last:.4g} ({last - first:+.3g})"
    assert cells[3] == "0.375 ± 0.18", "the mean of 0.5 and 0.25, and their deviation"


def _draws_the_seeds(seat: Seat, dialog: CompareDialog) -> None:
    assert dialog.curves is not None
    dialog.tabs.setCurrentWidget(dialog.curves)
    (band,) = dialog.curves.bands.values()
    averaged = [(losses[1], (0.9 * losses[1] + losses[2]) / 1.9) for losses in (LOSSES["seed 0"], LOSSES["seed 1"])]
    pairs = list(zip(*averaged, strict=True))
    assert band.low.tolist() == pytest.approx([min(pair) for pair in pairs])
    assert band.high.tolist() == pytest.approx([max(pair) for pair in pairs])
    assert band.mean.tolist() == pytest.approx([sum(pair) / 2 for pair in pairs])
    fill = dialog.curves.fill.path().boundingRect()
    assert (fill.top(), fill.bottom()) == pytest.approx((averaged[1][1], 1.0)), "the band is painted where it lies"
    picture(dialog, "train-compare")
    dialog.curves.seeds.setChecked(False)
    assert not dialog.curves.bands
    chart = dialog.curves.chart
    assert chart is not None
    drawn = sorted(chart.drawn(position, "train/loss").tolist() for position in range(3))
    assert drawn == sorted(list(losses.values()) for losses in LOSSES.values())


def _follows_the_theme(seat: Seat, dialog: CompareDialog) -> None:
    assert dialog.facts is not None
    dialog.facts.only.setChecked(True)
    tree = dialog.facts.tree
    for name in ("light", "dark"):
        seat.context.theme.use(name)
        dark = name == "dark"
        seat.wait(lambda dark=dark: (_tint(tree) < 128) is dark)


def _tint(tree: QTreeWidget) -> int:
    """How light the ground of the first marked cell is."""
    cells = [(tree.topLevelItem(0).child(0), column) for column in range(1, 4)]
    return next(item.background(c).color().lightness() for item, c in cells if item.font(c).bold())


def _traces_back(seat: Seat, page: TrainPage) -> None:
    seat.context.actions.run("run_lineage")
    dialog = page.ticked.lineage
    assert dialog is not None
    seat.wait(lambda: dialog.found is not None)
    titles = [dialog.tree.topLevelItem(number).text(0) for number in range(3)]
    assert titles == ["Made from", "Annotations", "Used by"]
    rows = _rows(dialog.tree)
    assert len(rows) == 13, "the run itself and one annotation for each story"
    assert [cells for name, cells in rows.items() if name in LOSSES] == [["Train a PRM", "", "", ""]]
    dialog.accept()
