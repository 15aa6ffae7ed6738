"""Somebody reads traces: opens one, moves through it, sees who said what."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from studio.store import annotations, projects, traces
from studio.store.traces import ErrorFilter, TraceOrder
from studio.ui.actions import Page
from studio.ui.inspect.clock import ClockKind
from studio.ui.widgets.card_list import ROW_ROLE
from studio.workspace import Workspace
from tests.e2e.inspecting import fill, go_to_inspect
from tests.e2e.seat import Seat
from trainer.contract.records import Rating


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Competition problems, rated by three people, partly scored."""
    path = tmp_path / "workspace"
    fill(path)
    return path


def test_pictures_in_light_and_dark(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        for name in ("light", "dark"):
            seat.context.actions.run(f"theme_{name}")
            seat.wait(lambda: page.steps.is_ready and page.problem.is_ready)
            seat.picture(f"inspect {name}")


def test_opening_moving_and_jumping(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        assert page.traces.model.rowCount() == 72
        first = page.shown
        assert first is not None
        QTest.keyClick(page.steps, Qt.Key.Key_BracketRight)
        seat.wait(lambda: page.shown is not first and page.gate.is_open)
        opened = page.shown
        assert opened is not None
        assert [row.text for row in page.steps.rows] == [
            opened.trace.text[step.start : step.end] for step in opened.trace.segmentation.steps
        ]
        page.go(0)
        seat.press("j", page.steps)
        assert page.step == 1
        assert page.steps.current == 1
        page.map.jumped.emit(opened.count - 1)
        assert page.step == opened.count - 1
        seat.press("k", page.steps)
        assert page.step == opened.count - 2


def test_a_click_on_map_or_strip_jumps(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        place = page.map.bar_rect(2).center().toPoint()
        QTest.mouseClick(page.map, Qt.MouseButton.LeftButton, pos=place)
        assert page.step == 2
        point = page.strip.strip.point(1, 0.5).toPoint()
        QTest.mouseClick(page.strip.strip, Qt.MouseButton.LeftButton, pos=point)
        assert page.step == 1
        seat.press("End", page.map)
        assert page.shown is not None
        assert page.step == page.shown.count - 1
        seat.press("Home", page.strip.strip)
        assert page.step == 0


def test_n_stops_at_what_is_low_negative_or_disputed(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        page.traces.filter.setCurrentIndex(page.traces.filter.findData(ErrorFilter.FOUND))
        seat.wait(lambda: 0 < page.traces.model.rowCount() < 72)
        row = page.traces.model.row(0)
        assert row is not None
        page.show_trace(row.id)
        seat.wait(lambda: page.shown is not None and page.shown.trace.id == row.id and page.gate.is_open)
        opened = page.shown
        assert opened is not None
        page.go(0)
        seen = [0] if opened.is_hit(0) else []
        for _ in range(opened.count):
            before = page.step
            seat.press("n", page.steps)
            if page.step == before:
                break
            seen.append(page.step or 0)
        expected = []
        for ordinal in range(opened.count):
            said = {a.value(ordinal) for a in (v.annotation for v in opened.voices)} - {None}
            score = opened.lines[0].values[ordinal] if opened.lines else None
            against = score is not None and ((score < 0.5 and 1 in said) or (score >= 0.5 and -1 in said))
            if -1 in said or len(said) > 1 or against or (score is not None and score < 0.5):
                expected.append(ordinal)
        assert seen == expected
        assert "no further" in seat.said() or not expected


def test_search_filter_and_sort(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        page.traces.search.setText("hexagon")
        seat.wait(lambda: page.traces.model.query.text == "hexagon" and page.traces.model.rowCount() < 72)
        with seat.context.workspace.database.read() as c:
            everything = traces.load_many(c, [r.id for r in traces.rows(c, traces.TraceQuery(), limit=100)])
        holding = {t.id for t in everything if "hexagon" in (t.problem.prompt + " " + t.text).lower()}
        found = {page.traces.model.row(n).id for n in range(page.traces.model.rowCount())}
        assert found == holding
        page.traces.search.clear()
        page.traces.order.setCurrentIndex(page.traces.order.findData(TraceOrder.FIRST_ERROR))
        seat.wait(lambda: page.traces.model.rowCount() == 72)
        errors = [page.traces.model.row(n).first_error for n in range(72)]
        known = [e for e in errors if e is not None]
        assert known == sorted(known)
        assert all(e is None for e in errors[len(known) :])


def test_disagreements_are_listed_and_open_at_their_step(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        page.left.setCurrentWidget(page.disagreements)
        seat.wait(lambda: page.disagreements.model.rowCount() > 0)
        seat.picture("inspect disagreements")
        row = page.disagreements.model.index(0).data(ROW_ROLE)
        texts = page.disagreements.delegate.texts
        assert set(texts) == {(each.trace_id, each.ordinal) for each in page.disagreements.model.rows}
        page.disagreements.list.setCurrentIndex(page.disagreements.model.index(0))
        seat.wait(lambda: page.shown is not None and page.shown.trace.id == row.trace_id and page.gate.is_open)
        assert page.step == row.ordinal
        assert page.shown is not None
        assert page.shown.is_disputed(row.ordinal)
        assert texts[row.trace_id, row.ordinal] == page.shown.trace.step_text(row.ordinal)[:160]


def test_evidence_names_everybody_and_the_reason_of_the_hatching(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        seat.wait(lambda: page.shown is not None)
        opened = page.shown
        assert opened is not None
        facts = {name.split(" ")[0]: section for name, section in page.evidence.facts()}
        assert {fact.name for fact in facts["Annotations"]} == {voice.name for voice in opened.voices}
        hatched = [fact for fact in facts["Scorers"] if fact.hatched]
        assert [fact.name for fact in hatched] == ["stories-01"]
        assert opened.lines[-1].note == "trained on Arithmetic stories: this trace is of Competition problems"
        assert hatched[0].tip.startswith(opened.lines[-1].note)
        with seat.context.workspace.database.read() as c:
            known = [len(annotations.timeline(c, voice.annotation.id)) for voice in opened.voices]
        assert len(facts["History"]) == sum(known)


def test_source_and_back(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        seat.press("v", page.steps)
        assert page.steps.shows_source
        seat.wait(lambda: page.gate.is_open)
        seat.picture("inspect source")
        seat.press("v", page.steps)
        assert not page.steps.shows_source
        seat.wait(lambda: page.gate.is_open)


def test_changes_of_others_arrive(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        opened = page.shown
        assert opened is not None
        with seat.context.workspace.database.read() as c:
            project = projects.all_projects(c)[0]
        work = annotations.Work(project.id, opened.trace.id, seat.context.annotator.id)
        seat.context.background.write(page, lambda c: annotations.rate(c, work, 0, Rating.NEUTRAL))
        seat.wait(lambda: page.shown is not None and page.shown.mine(0) is Rating.NEUTRAL)
        assert page.steps.rows[0].rating is Rating.NEUTRAL


def test_an_empty_workspace_offers_the_import(sit_down: Callable[[], Seat], folder: Path) -> None:
    for path in (folder, folder.with_name("other")):
        if path.exists():
            shutil.rmtree(path)
    Workspace.open(folder, create=True).close()
    with sit_down() as seat:
        seat.context.show_page(Page.INSPECT)
        page = seat.window.page_widget(Page.INSPECT)
        seat.wait(lambda: page.empty.isVisible())
        assert page.empty.button.text().startswith("Import")
        seat.picture("inspect empty")


def test_times_that_nobody_measured_are_hatched(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        assert page.shown is not None
        assert page.shown.clock.kind is ClockKind.ASSUMED
        page.lanes.setCurrentWidget(page.lanes.timeline)
        lane = page.lanes.timeline.lane
        seat.wait(lambda: lane.plot_rect().width() > 100)
        picture, plot = lane.grab().toImage(), lane.plot_rect()
        row = int(plot.top() + plot.height() * 1.5 / 4)  # the answer fills the whole of its row
        assert len({picture.pixel(x, row) for x in range(int(plot.left()) + 4, int(plot.right()) - 4)}) > 2
