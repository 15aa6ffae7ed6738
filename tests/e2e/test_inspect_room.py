"""Words have room: on small screens with large text, and on large ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from studio.ui.inspect.page import InspectPage
from studio.workspace import Workspace
from tests.e2e.inspecting import go_to_inspect
from tests.e2e.seat import Seat
from tests.e2e.test_inspect_list import fill


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two logs of six traces."""
    with Workspace.open(tmp_path / "workspace", create=True) as workspace:
        workspace.database.run(fill)
    return tmp_path / "workspace"


def test_words_have_room_however_large_the_text_is(sit_down: Callable[[], Seat]) -> None:
    """At 150 % on a small screen lists and panels take turns, and turns and map go before the words do."""
    with sit_down() as seat:
        seat.window.resize(1280, 800)
        page = go_to_inspect(seat)
        columns, lists, panels = page.frame.columns, page.traces, page.side
        seat.wait(lambda: lists.isVisible() and panels.isVisible())
        seat.press("Z", page.steps)
        seat.wait(lambda: lists.isVisible() and not panels.isVisible())
        seat.press("Z", page.steps)
        seat.studio.theme.zoom(150)
        seat.window.resize(1280, 800)
        seat.wait(lambda: lists.isVisible() and not panels.isVisible())
        assert seat.window.minimumSizeHint().width() <= 1280
        seat.wait(lambda: page.steps._painter.widest() >= 300)
        assert columns.to_side.isVisible()
        seat.press("Z", page.steps)
        seat.wait(lambda: panels.isVisible() and not lists.isVisible())
        seat.wait(lambda: panels.isAncestorOf(QApplication.focusWidget() or seat.window) or panels.hasFocus())
        columns.to_left.click()
        assert lists.isVisible()
        page.show_panel("Find")
        assert page.panels["Find"].isVisible()
        seat.context.actions.run("search_traces")
        seat.wait(page.traces.search.hasFocus)
        page.frame.columns.setSizes([900, 100, 0])
        QApplication.processEvents()
        assert not page.map.isVisible() or page.steps._painter.widest() >= 200
        seat.picture("inspect large text")
        seat.studio.theme.zoom(100)
        seat.wait(lambda: lists.isVisible() and panels.isVisible())


@pytest.mark.parametrize(("width", "scale"), [(1240, 100), (1240, 200)])
def test_no_tab_is_clipped(sit_down: Callable[[], Seat], width: int, scale: int) -> None:
    with sit_down() as seat:
        seat.window.resize(width, 800)
        page = go_to_inspect(seat)
        seat.studio.theme.zoom(scale)
        QApplication.processEvents()
        columns = page.frame.columns
        for tabs, count, show in ((page.side, 4, columns.show_side), (page.left, 4, columns.show_left)):
            show()
            QApplication.processEvents()
            fit = tabs.parentWidget()
            assert fit is not None
            bar = tabs.tabBar()
            if bar.isVisible():
                assert bar.tabRect(count - 1).right() <= bar.width()
            else:
                assert fit.choice.isVisible()  # type: ignore[attr-defined]
                assert fit.choice.count() == count  # type: ignore[attr-defined]
        seat.picture(f"inspect tabs {scale}")
        walked: list[QWidget | None] = []
        for _ in range(60):
            walked.append(QApplication.focusWidget())
            QTest.keyClick(walked[-1] or seat.window, Qt.Key.Key_Tab)
        assert page.traces.project in walked, "Tab goes on over a box of tabs"
        seat.studio.theme.zoom(100)


def test_the_filter_grows_with_the_text(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        small = width_of_the_filter(seat, page)
        seat.studio.theme.zoom(150)
        assert width_of_the_filter(seat, page) == pytest.approx(1.5 * small, abs=2)
        seat.studio.theme.zoom(100)


def width_of_the_filter(seat: Seat, page: InspectPage) -> int:
    """With its saved filters read, whose box then shows their words whole."""
    page.traces.ask_filter()
    dialog = page.traces.dialog
    assert dialog is not None
    seat.wait(lambda: dialog.saved.count() == 1 and len(dialog.rows) == 1)
    seat.wait(lambda: dialog.saved.width() >= dialog.saved.sizeHint().width())
    width = dialog.width()
    dialog.close()
    return width


def test_columns_share_a_large_screen_until_they_are_moved(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.window.resize(1280, 800)
        page = go_to_inspect(seat)
        columns, lists, panels = page.frame.columns, page.traces, page.side
        narrow = lists.width(), page.steps.width(), panels.width()
        assert page.steps.width() > panels.width()
        seat.window.resize(2560, 1440)
        seat.wait(lambda: lists.width() > 1.3 * narrow[0] and panels.width() > 1.3 * narrow[2])
        assert page.steps.width() > 2 * narrow[1]
        columns.setSizes([600, 1000, 600])
        columns.splitterMoved.emit(600, 1)
        moved = lists.width()
        seat.window.resize(2400, 1440)
        QApplication.processEvents()
        assert lists.width() == pytest.approx(moved, abs=60)


def test_lanes_leave_the_transcript_its_share(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        seat.studio.theme.zoom(150)
        seat.window.resize(1280, 800)
        seat.wait(lambda: page.steps.height() > 200)
        whole = page.frame.over_lanes
        whole.setSizes([100, 900])
        whole.splitterMoved.emit(100, 1)
        seat.wait(lambda: page.strip.strip.height() > page.strip.strip.sizeHint().height())  # lanes grow when asked to
        seat.studio.theme.zoom(100)
