"""Routers: the ledger, the lines they are held against, the routes behind a figure, the cache and invalidating it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from studio.ui.actions import Page
from studio.ui.evaluate import models_export, routing_desk
from studio.ui.evaluate.page import EvaluatePage
from studio.ui.evaluate.routing_tab import RoutingTab
from studio.workspace import Workspace
from tests.e2e import evaluating
from tests.e2e.evaluating import route_of
from tests.e2e.seat import Seat
from trainer.contract.generated import Spent
from trainer.contract.kept_answers import Counts, Kept, KeptAnswers


def fill(folder: Path) -> None:
    """A router's twenty problems, and three answers in the cache."""
    with Workspace.open(folder, create=True) as workspace:
        evaluating.put(workspace, "router", evaluating.of_router)
        kept = KeptAnswers(workspace.cache / "answers", "the fast one", "f" * 64)
        for number in range(3):
            kept.put(Kept(key=f"{number:064d}", at=1.0, spent=Spent(), value=msgspec.Raw(b"[]")))
        kept.count(Counts(hits=1, misses=3, saved_tokens=12))


def open_tab(seat: Seat) -> RoutingTab:
    seat.window.resize(1360, 860)
    seat.context.show_page(Page.EVALUATE)
    page = seat.window.page_widget(Page.EVALUATE)
    assert isinstance(page, EvaluatePage)
    assert seat.context.actions.run("show_routing")
    return page.routing


def test_the_ledger_its_lines_and_its_routes(qtbot: QtBot, tmp_path: Path) -> None:
    fill(tmp_path / "w")
    with Seat(qtbot, tmp_path / "w") as seat:
        tab = open_tab(seat)
        seat.wait(lambda: tab.desk is not None and len(tab.desk.routes) == 20)
        fast, reasoning, up = (np.array(column) for column in zip(*map(route_of, range(20)), strict=True))
        right = np.where(up, reasoning, fast)
        costs = np.where(up, 11.0, 1.0)
        texts = [[tab.table.item(row, column).text() for column in range(11)] for row in range(tab.table.rowCount())]
        assert texts[0][:3] == ["all", "all", "20"]
        assert texts[0][3].startswith(f"{100 * right.mean():.1f} ± ")
        assert texts[0][4:7] == [f"{np.percentile(costs / 2, at):.2f} s" for at in (50, 95, 99)]
        assert texts[0][7:9] == [f"{costs.sum() / right.sum():.4g}", f"{up.mean():.0%}"]
        assert [(task, model) for task, model, *_ in texts[1:]] == [
            ("sums", "all"), ("sums", "the fast one"), ("sums", "the reasoning one"),
        ]  # fmt: skip
        found = {each.name: each.points[0] for each in tab.chart.drawing.series}
        assert found["router"].y == pytest.approx(right.mean())
        assert found["random, as often"].y == pytest.approx(
            (1 - up.mean()) * fast.mean() + up.mean() * reasoning.mean()
        )
        assert found["oracle"].y == pytest.approx((fast | reasoning).mean())
        assert found["oracle"].x == pytest.approx(np.where(~fast & reasoning, 10.0, 1.0).mean())
        for theme in ("light", "dark"):
            seat.context.actions.run(f"theme_{theme}")
            seat.picture(f"routing-{theme}")
        tab.sides.setCurrentIndex(1)
        seat.picture("routing-lines")
        names = [each.name for each in tab.chart.drawing.series]
        for name, tier in (("reasoning alone", "reasoning"), ("router", "")):
            tab.sides.setCurrentIndex(1)
            QTest.mouseClick(tab.chart, Qt.MouseButton.LeftButton, pos=tab.chart.place_of(found[name]).toPoint())
            assert tab.sides.currentWidget() is tab.list, names
            assert len(tab.list.model.routes) == 20
            tab.list.list.selectRow(2)
            seat.wait(lambda: tab.list.whole is not None and tab.list.whole.route.prompt == "What is r2?")
            shown = tab.list.steps.currentItem()
            assert shown is not None
            assert shown.text().startswith(f"✓ the {tier or 'fast'} one"), name
        tab.sides.setCurrentIndex(0)
        tab.table.setCurrentCell(3, 0)
        assert len(tab.list.model.routes) == up.sum()
        seat.wait(lambda: tab.list.whole is not None and tab.list.whole.route.escalated)
        assert "its answer stands; the fast one was not sure" in tab.list.steps.item(1).text()
        models_export.write(tmp_path / "l.md", {".md": lambda: routing_desk.as_markdown(tab.desk.ledger.cells)}, tab)
        assert (tmp_path / "l.md").read_text("utf-8").count("\n| ") == 5
        QTest.keyClick(tab.list.list, Qt.Key.Key_Return)
        seat.wait(lambda: seat.window.page is Page.INSPECT)


def test_the_cache_is_shown_and_invalidated(qtbot: QtBot, tmp_path: Path) -> None:
    fill(tmp_path / "w")
    with Seat(qtbot, tmp_path / "w") as seat:
        tab = open_tab(seat)
        seat.wait(lambda: bool(tab.cache.found) and bool(tab.desk and tab.desk.routes))
        row = [tab.cache.table.item(0, column).text() for column in (0, 1, 3, 4, 5)]
        assert row == ["the fast one", "3", "4", "1 (25%)", "12"]
        tab.sides.setCurrentWidget(tab.cache)
        seat.picture("routing-cache")
        assert seat.context.actions.run("forget_answers")
        assert tab.cache.box is not None
        tab.cache.box.buttons()[0].click()
        seat.wait(lambda: tab.cache.table.item(0, 1).text() == "0")
        assert "3 answers removed" in seat.said()
