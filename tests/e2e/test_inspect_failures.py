"""Somebody asks why traces are wrong, narrows by bars, opens one at its bad step, and opens traces from plots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from studio.exchange.telling import never, quiet
from studio.jobs.rubric_verb import look_by_rule
from studio.store import rubrics
from studio.store.find_pattern import Mode
from studio.store.plot import Kind, Shape
from studio.store.rubrics import Draft
from studio.ui.inspect.page import InspectPage
from studio.ui.inspect.plots_dialog import PlotsDialog
from studio.ui.inspect.plots_view import MOST_POINTS
from studio.ui.inspect.rubric_dialog import HIT_ROLE, RubricDialog
from studio.ui.inspect.rubric_run_dialog import RubricRunDialog
from studio.ui.widgets.card_list import ROW_ROLE
from tests.e2e.inspecting import fill, go_to_inspect
from tests.e2e.seat import PICTURES, Seat
from trainer.contract.specs.rubric import RubricBy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Rated and scored competition problems."""
    path = tmp_path / "workspace"
    fill(path)
    return path


def test_why_traces_are_wrong(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        database = seat.context.workspace.database
        rubric_id = database.run(lambda c: rubrics.save(c, Draft("Concludes", "", r"\bso\b", Mode.REGEX)))
        look_by_rule(seat.context.workspace, rubric_id, None, quiet, never)
        seat.press("g", page.steps)
        panel = page.failures
        assert page.left.currentWidget() is panel
        seat.wait(lambda: panel.standing.wrong > 0)
        wrong = panel.standing.wrong
        assert panel.standing.unseen == wrong
        assert f"{wrong:,} wrong" in panel.words.text()
        QTest.mouseClick(panel.go, Qt.MouseButton.LeftButton)
        seat.wait(lambda: panel.child is None and panel.standing.unseen == 0)
        assert sum(bar.count for bar in panel.causes.bars) == wrong == panel.model.rowCount()
        assert sum(bar.count for bar in panel.places.bars) == wrong
        cause = next(bar for bar in panel.causes.bars if bar.name == "slip")
        row = [bar.name for bar in panel.causes.bars].index(cause.name)
        QTest.mouseClick(
            panel.causes, Qt.MouseButton.LeftButton, pos=QPoint(30, 2 + round((row + 0.5) * seat.context.theme.px(20)))
        )
        assert panel.causes.current == cause.name
        assert panel.model.rowCount() == cause.count
        assert {one.failure.cause.value for one in panel.model.rows} == {cause.name}
        panel.list.setCurrentIndex(panel.model.index(panel.model.rowCount() - 1))
        chosen = panel.list.currentIndex().data(ROW_ROLE)
        seat.wait(lambda: page.shown is not None and page.shown.trace.id == chosen.trace_id and page.gate.is_open)
        assert page.step == chosen.failure.step
        assert page.shown is not None
        assert page.shown.trace.text[chosen.failure.start : chosen.failure.end] == chosen.failure.quote
        assert page.steps.text.marks == ((chosen.failure.start, chosen.failure.end),)
        for theme in ("light", "dark"):
            seat.context.actions.run(f"theme_{theme}")
            seat.wait(lambda: page.steps.is_ready)
            seat.picture(f"inspect failures {theme}")
        seat.press("Escape", panel.causes)
        assert panel.model.rowCount() == wrong
        with database.read() as c:
            hit = rubrics.traces_by_name(c)["Concludes"]
        both = {one.trace_id for one in panel.standing.explained} & hit
        assert 0 < len(both) < wrong
        (bar,) = panel.rubrics.bars
        assert (bar.name, bar.count) == ("Concludes", len(both))
        panel.rubrics.choose("Concludes")
        assert {one.trace_id for one in panel.model.rows} == both
        assert sum(each.count for each in panel.causes.bars) == len(both)


def open_plots(seat: Seat, page: InspectPage) -> PlotsDialog:
    seat.press("p", page.steps)
    seat.wait(lambda: bool(page.findChildren(PlotsDialog)))
    (dialog,) = page.findChildren(PlotsDialog)
    seat.wait(lambda: dialog.made is not None and dialog.view is not None)
    return dialog


def shows(dialog: PlotsDialog, kind: Kind) -> bool:
    return dialog.made is not None and dialog.made.kind is kind


def keep(kept: list[tuple[int, int]], trace_id: int, step: int) -> None:
    kept.append((trace_id, step))


def is_open(page: InspectPage, trace_id: int) -> bool:
    return page.shown is not None and page.shown.trace.id == trace_id


def test_every_plot_opens_traces(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        graded = "UPDATE trace SET outcome = id % 2, budget = json_object('thinking', id * 37 % 900 + 9) WHERE id % 5"
        typed = "UPDATE problem SET source = CASE WHEN id % 2 THEN 'algebra' ELSE 'counting' END"
        for statement in (graded, typed):
            seat.context.workspace.database.run(lambda c, said=statement: c.exec_driver_sql(said).close())
        page = go_to_inspect(seat)
        dialog = open_plots(seat, page)
        for number, kind in enumerate(Kind):
            dialog.kinds.setCurrentIndex(number)
            seat.wait(partial(shows, dialog, kind))
            made, view = dialog.made, dialog.view
            assert made is not None
            assert view is not None
            for theme in ("light", "dark"):
                seat.context.actions.run(f"theme_{theme}")
                QApplication.processEvents()
                PICTURES.mkdir(exist_ok=True)
                assert dialog.grab().save(str(PICTURES / f"plot-{kind.name.lower().replace('_', '-')}-{theme}.png"))
            if kind is Kind.FLAGS:
                continue
            if kind is Kind.TYPES:
                assert {name.split(" ")[0] for name in made.names} == {"algebra", "counting"}
                assert "■ " in dialog.state.text()
            assert len(made) >= (1 if kind is Kind.OUTCOMES else 2)
            spot = next(k for k in range(len(made) - 1, -1, -1) if len(made.of(k)))
            opened: list[tuple[int, int]] = []
            dialog.stepWanted.connect(partial(keep, opened))
            view.point_at(spot)
            seat.press("Return", view)
            assert opened[0] == tuple(made.of(spot)[0])
            seat.wait(partial(is_open, page, opened[0][0]))
        dialog.accept()


def test_a_rubric_is_written_run_and_opens_its_quotes(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        seat.press("r", page.steps)
        seat.wait(lambda: bool(page.findChildren(RubricDialog)))
        (dialog,) = page.findChildren(RubricDialog)
        dialog.name.setText("Concludes")
        dialog.definition.setPlainText("The step draws a conclusion.")
        dialog.rule.setText(r"\bso\b[^.]{4,40}")
        dialog.mode.setCurrentIndex(dialog.mode.findData(Mode.REGEX))
        dialog.positive.setPlainText("This is so because of that.\nHence it holds.")
        seat.wait(lambda: dialog.project.count() == 2)
        dialog.project.setCurrentIndex(1)
        QTest.mouseClick(dialog.go, Qt.MouseButton.LeftButton)
        seat.wait(lambda: not dialog.running and dialog.found.topLevelItemCount() > 0 and bool(dialog.known))
        assert "gets 1 example wrong: “Hence it holds.”" in dialog.state.text()
        (rubric,) = dialog.known
        assert rubric.traces > 1
        head = dialog.found.topLevelItem(0)
        head.setExpanded(True)
        for theme in ("light", "dark"):
            seat.context.actions.run(f"theme_{theme}")
            QApplication.processEvents()
            assert dialog.grab().save(str(PICTURES / f"rubric-{theme}.png"))
        hit = head.child(0).data(0, HIT_ROLE)
        dialog.found.itemActivated.emit(head.child(0), 0)
        seat.wait(partial(is_open, page, hit.trace_id))
        assert page.shown is not None
        assert page.shown.trace.text[hit.start : hit.end] == hit.quote
        seat.wait(lambda: page.place.position.point == hit.start)
        dialog.accept()


def test_hits_are_judged_and_a_run_says_its_cost_before_it_looks(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        made = Draft("Concludes", "Draws a conclusion.", r"\bso\b[^.]{4,40}", Mode.REGEX)
        seat.context.workspace.database.run(lambda c: rubrics.save(c, made))
        seat.press("r", page.steps)
        seat.wait(lambda: bool(page.findChildren(RubricDialog)))
        (dialog,) = page.findChildren(RubricDialog)
        seat.wait(lambda: dialog.list.count() == 1)
        dialog.list.setCurrentRow(0)
        QTest.mouseClick(dialog.go, Qt.MouseButton.LeftButton)
        seat.wait(lambda: not dialog.running and dialog.found.topLevelItemCount() > 0)
        head = dialog.found.topLevelItem(0)
        head.setExpanded(True)
        dialog.found.setCurrentItem(head.child(0))
        hit = head.child(0).data(0, HIT_ROLE)
        seat.press("c", dialog.found)
        seat.wait(lambda: dialog.found.currentItem() is not None and dialog.found.currentItem().text(0).startswith("✓"))
        assert dialog.found.currentItem().data(0, HIT_ROLE).id == hit.id
        with seat.context.workspace.database.read() as c:
            assert [one.text for one in rubrics.card(c, "Concludes").reviewed] == [hit.quote]
        dialog.by.setCurrentIndex(dialog.by.findText(RubricBy.JUDGE.value))
        seat.wait(lambda: dialog.found.topLevelItemCount() == 0)
        QTest.mouseClick(dialog.go, Qt.MouseButton.LeftButton)
        seat.wait(lambda: bool(dialog.findChildren(RubricRunDialog)))
        (form,) = dialog.findChildren(RubricRunDialog)
        seat.wait(lambda: "choose the model that judges" in form.problem.text())
        assert not form.start.isEnabled()
        form.form.set_values({**form.form.values(), "judge_url": "http://127.0.0.1:9/v1", "price_input": 3.0})
        seat.wait(lambda: form.start.isEnabled())
        assert "tokens read" in form.cost.text()
        assert "at the given prices" in form.cost.text()
        assert "about" in form.time.text()
        for theme in ("light", "dark"):
            seat.context.actions.run(f"theme_{theme}")
            QApplication.processEvents()
            assert form.grab().save(str(PICTURES / f"rubric-run-{theme}.png"))
            assert dialog.grab().save(str(PICTURES / f"rubric-judged-{theme}.png"))
        form.reject()
        dialog.accept()


def test_a_hundred_thousand_points_become_a_picture_and_each_can_be_chosen(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        dialog = open_plots(seat, page)
        view, made = dialog.view, dialog.made
        assert view is not None
        assert made is not None
        rng = np.random.default_rng(0)
        many = 100_000
        points = replace(
            made, shape=Shape.POINTS, x=rng.normal(size=many), y=rng.normal(size=many), groups=rng.integers(0, 3, many)
        )
        points = replace(points, members=np.column_stack([np.arange(many), np.zeros(many, np.int64)]))
        points = replace(points, starts=np.arange(many + 1))
        view.show_plot(points)
        QApplication.processEvents()
        assert len(points) > MOST_POINTS
        assert view.is_picture
        box = view.canvas.getViewBox()
        for spot in (0, 777, many - 1):
            at = box.mapViewToScene(
                type(box.mapSceneToView(box.sceneBoundingRect().center()))(points.x[spot], points.y[spot])
            )
            assert view.spot_at(at) == spot
        PICTURES.mkdir(exist_ok=True)
        assert dialog.grab().save(str(PICTURES / "plot-many.png"))
        dialog.accept()
