"""Somebody looks for words and expressions in all traces, filters, saves a search, and opens each hit at its span."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtWidgets import QInputDialog

from studio.store.find_pattern import Mode
from studio.store.find_spans import Place
from studio.ui.inspect.find_panel import FindPanel
from studio.ui.inspect.page import InspectPage
from tests.e2e.conversing import fill_talk
from tests.e2e.inspecting import fill, go_to_inspect
from tests.e2e.seat import Seat


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Competition problems with scores, and one conversation."""
    path = tmp_path / "workspace"
    fill(path)
    fill_talk(path)
    return path


def panel_of(seat: Seat, page: InspectPage) -> FindPanel:
    seat.context.actions.run("find_in_traces")
    panel = page.panels["Find"]
    assert isinstance(panel, FindPanel)
    assert page.side.currentWidget() is panel
    return panel


def look_for(seat: Seat, panel: FindPanel, text: str, mode: Mode = Mode.WORDS) -> list[int]:
    panel.form.mode.setCurrentIndex(panel.form.mode.findData(mode))
    panel.form.text.setText(text)
    panel.form.text.returnPressed.emit()
    seat.wait(lambda: panel.cancel.isHidden() and not panel._reading_words)
    return [row.trace_id for row in panel.model.rows]


def marked(page: InspectPage) -> str:
    assert page.shown is not None
    start, end = page.place.position.point, page.place.position.point + 14
    return page.shown.trace.text[start:end]


def test_a_hit_opens_its_trace_at_the_span(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        panel = panel_of(seat, page)
        (talk,) = look_for(seat, panel, "denominator program")
        panel.list.setCurrentIndex(panel.model.index(0))
        seat.wait(lambda: page.shown is not None and page.shown.trace.id == talk)
        row = panel.model.rows[0]
        inside = [span for span in row.spans if span.place is not Place.PROBLEM]
        seat.context.actions.run("find_next")
        assert page.place.position.point in [span.start for span in inside]
        first = page.place.position.point
        seat.context.actions.run("find_next")
        assert page.place.position.point > first
        assert marked(page).lower().startswith(("denominator", "program"))
        seat.context.actions.run("find_previous")
        assert page.place.position.point == first


def test_an_expression_is_found_in_the_thinking_alone(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        panel = panel_of(seat, page)
        everywhere = look_for(seat, panel, r"boxed\{\d+\}", Mode.REGEX)
        assert everywhere
        panel.form.places[Place.THINKING].setChecked(True)
        seat.wait(lambda: panel.cancel.isHidden() and not panel.model.rows)
        panel.form.places[Place.THINKING].setChecked(False)
        panel.form.places[Place.ANSWER].setChecked(True)
        seat.wait(lambda: panel.cancel.isHidden() and bool(panel.model.rows))
        assert {span.place for row in panel.model.rows for span in row.spans} == {Place.ANSWER}
        assert look_for(seat, panel, "(", Mode.REGEX) == []
        assert "Not a regular expression" in panel.state.text()


def test_a_filter_narrows_and_a_search_is_kept(sit_down: Callable[[], Seat], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QInputDialog, "getText", lambda *a, **k: ("my search", True))
    with sit_down() as seat:
        page = go_to_inspect(seat)
        panel = panel_of(seat, page)
        seat.wait(lambda: panel.form.scorer.count() > 1)
        every = look_for(seat, panel, "the")
        panel.form.more.setChecked(True)
        panel.form.below.setValue(0.95)
        panel.form.scorer.setCurrentIndex(panel.form.scorer.findText("stories-01 · bbbbbb"))
        seat.wait(lambda: panel.cancel.isHidden() and 0 < len(panel.model.rows) < len(every))
        scored = [row.trace_id for row in panel.model.rows]
        for theme in ("light", "dark"):
            seat.context.actions.run(f"theme_{theme}")
            seat.picture(f"find {theme}")
        panel.form.saveAsked.emit()
        seat.wait(lambda: panel.form.saved.count() == 2)
    with sit_down() as seat:
        page = go_to_inspect(seat)
        panel = panel_of(seat, page)
        seat.wait(lambda: panel.form.saved.count() == 2)
        panel.form.saved.setCurrentIndex(1)
        panel.form.saved.activated.emit(1)
        seat.wait(lambda: panel.cancel.isHidden() and [row.trace_id for row in panel.model.rows] == scored)
        assert panel.form.query.score_below == 0.95
        panel.form.forget.click()
        seat.wait(lambda: panel.form.saved.count() == 1)
