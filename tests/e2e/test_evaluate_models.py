"""Results of models: the table, the problems behind a cell and their traces, curves, two models, export, a new one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from studio.ui.actions import Page
from studio.ui.evaluate.models_behind import Wanted
from studio.ui.evaluate.models_tab import ModelsTab
from studio.ui.inspect.page import InspectPage
from tests.e2e import evaluating
from tests.e2e.evaluating import PROBLEMS, go_to_models, grades
from tests.e2e.seat import Seat


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One workspace for the stories that only read."""
    folder = tmp_path_factory.mktemp("evaluations") / "w"
    evaluating.fill(folder)
    return folder


def place_of(tab: ModelsTab, row: str, suite: str, compute: str) -> tuple[int, int]:
    made = tab.table.grid
    down = next(n for n, name in enumerate(made.rows) if name.startswith(row))
    across = next(n for n, each in enumerate(made.columns) if (each.heading, each.compute) == (suite, compute))
    return down, across


def test_the_table_says_what_the_records_say_and_a_cell_opens_its_traces(qtbot: QtBot, filled: Path) -> None:
    with Seat(qtbot, filled) as seat:
        seat.window.resize(1360, 860)
        tab = go_to_models(seat)
        table = tab.table
        assert [(each.heading, each.compute) for each in table.grid.columns] == [
            ("GSM8K", "low"), ("GSM8K", "high"), ("ARC-AGI", ""), ("ProcessBench", ""),
        ]  # fmt: skip
        small, large = place_of(tab, "small", "GSM8K", "low"), place_of(tab, "large", "GSM8K", "low")
        share = {
            name: np.mean([np.mean(grades(name, "low", 256, n, 2)) for n in range(PROBLEMS)])
            for name in ("small", "large")
        }
        for name, at in (("small", small), ("large", large)):
            item = table.item(*at)
            assert item is not None
            assert item.data(256).startswith(f"{100 * share[name]:.1f} ± ")
            assert "n 24 · 12% cut" in item.data(257)
            best = name == max(share, key=lambda each: share[each])
            assert item.font().bold() is best
            assert item.data(Qt.ItemDataRole.AccessibleTextRole).endswith(", best") is best
        table.setCurrentCell(*small)
        table.setFocus()
        QTest.keyClick(table, Qt.Key.Key_Return)
        problems = tab.problems
        seat.wait(lambda: problems.behind is not None and problems.behind.title.startswith("small · GSM8K · low"))
        assert problems.list.hasFocus()
        right = sum(all(grades("small", "low", 256, n, 2)) for n in range(PROBLEMS))
        problems.show_only(Wanted.RIGHT)
        assert len(problems.model.lines) == right > 0
        problems.show_only(Wanted.DIFFER)
        (line,) = problems.model.lines
        assert line.solved.row == "gsm8k:3"
        problems.show_only(Wanted.ALL)
        for theme in ("light", "dark"):
            seat.context.actions.run(f"theme_{theme}")
            seat.picture(f"models-{theme}")
        problems.list.setFocus()
        QTest.keyClick(problems.list, Qt.Key.Key_Return)
        assert problems.samples.hasFocus(), "of two samples one is chosen"
        QTest.keyClick(problems.samples, Qt.Key.Key_Return)
        seat.wait(lambda: seat.window.page is Page.INSPECT)
        inspect = seat.window.page_widget(Page.INSPECT)
        assert isinstance(inspect, InspectPage)
        seat.wait(lambda: inspect.shown is not None)
