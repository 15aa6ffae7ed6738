"""A real run of our tiny model in the window: start, pause, resume, finish, score; cancel and crash."""

from __future__ import annotations

import csv
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication, QMessageBox, QPushButton
from pytestqt.qtbot import QtBot
from sqlalchemy import text

from studio.jobs.values import RunView
from studio.store import scores
from studio.ui.actions import Page
from studio.ui.inspect.page import InspectPage
from studio.ui.train.chart_sets import REWARD_MODEL
from studio.ui.train.curves_tab import NO_CURVES, NO_POINTS
from studio.ui.train.page import TrainPage
from tests.e2e.data_desk import click, picture, story_workspace, train_page
from tests.e2e.seat import Seat
from trainer.contract.events import Metrics
from trainer.contract.records import RunState
from trainer.contract.run_folder import RunFolder, read_events

QUICK = {"batch_size": 4, "max_steps": 16, "eval_every": 4, "checkpoint_every": 4, "max_length": 128, "threads": 1}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return story_workspace(tmp_path / "workspace", 160)


def start(seat: Seat, page: TrainPage, recipe: str = "prm", **values: object) -> RunView:
    """Order a run in the form and wait until it stands in the table."""
    dialog = page.new_run(recipe, values=values)
    seat.wait(dialog.start.isEnabled)
    dialog.name.setText(f"{recipe} run")
    known = {view.id for view in seat.context.jobs.runs()}
    click(dialog.start)
    seat.wait(lambda: page.panel.view is not None and page.panel.view.id not in known)
    return shown(page)


def shown(page: TrainPage) -> RunView:
    """The run in the panel."""
    assert page.panel.view is not None
    return page.panel.view


def wait_for(seat: Seat, page: TrainPage, state: RunState, *, steps: int = 0) -> RunView:
    """Wait until the panel shows a state, and so many steps."""

    def there() -> bool:
        view = page.panel.view
        if view is None:
            return False
        if view.state in (RunState.FAILED, RunState.CRASHED) and view.state is not state:
            raise AssertionError(f"{view.message}\n{seat.context.jobs.log_tail(view.id)}")
        return view.state is state and view.done >= steps

    seat.wait(there)
    return shown(page)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The worker stands still."""
    process = RunFolder(folder).read_process()
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def metrics(seat: Seat, view: RunView, split: str, name: str) -> dict[int, float]:
    """A figure by step as the run folder has it: the last word on each step counts."""
    folder = RunFolder(seat.folder / view.folder)
    found, _ = read_events(folder.events)
    return {e.step: e.values[name] for e in found if isinstance(e, Metrics) and e.split == split and name in e.values}


def test_pause_resume_finish_and_score(qtbot: QtBot, folder: Path, tmp_path: Path) -> None:
    with Seat(qtbot, folder) as seat:
        seat.window.resize(1280, 860)
        page = train_page(seat)
        start(seat, page, **{**QUICK, "max_steps": 40})
        view = wait_for(seat, page, RunState.RUNNING, steps=3)
        with held(folder / view.folder):  # however slow this window is, the run does not end meanwhile
            click(page.panel.buttons["pause_run"])
            seat.wait(lambda: shown(page).asked == "pause")
        view = wait_for(seat, page, RunState.PAUSED)
        assert not any(v.state.holds_device for v in seat.context.jobs.runs()), "a pause frees the device"
        assert view.done < 40
        click(page.panel.buttons["resume_run"])
        view = wait_for(seat, page, RunState.FINISHED)
        assert view.attempts == 2
        seat.wait(lambda: shown(page).model_folder is not None)
        _curves_are_those_of_the_run(seat, page, tmp_path)
        _tabs_are_filled(seat, page)
        for name in ("light", "dark"):
            seat.context.theme.use(name)
            page.panel.tabs.setCurrentWidget(page.panel.curves)
            picture(seat.window, f"train-curves-{name}")
            page.panel.tabs.setCurrentWidget(page.panel.examples)
            picture(seat.window, f"train-examples-{name}")
        _score_with_it(seat, page)


def _curves_are_those_of_the_run(seat: Seat, page: TrainPage, tmp_path: Path) -> None:
    view = shown(page)
    loss = metrics(seat, view, "train", "loss")
    assert sorted(loss) == list(range(1, 41)), "one loss a step, nothing twice"
    curves = page.panel.curves
    seat.wait(lambda: curves.grid is not None and len(curves.grid.charts) == len(REWARD_MODEL.charts))
    grid = curves.grid
    assert grid is not None
    by_title = {chart.spec.title: chart for chart in grid.charts}
    seat.wait(lambda: len(by_title["Loss"].drawn(view.id, "train/loss")) == 40)
    assert by_title["Loss"].drawn(view.id, "train/loss").tolist() == pytest.approx([loss[s] for s in sorted(loss)])
    system = metrics(seat, view, "system", "rss_mb")
    assert f"worker: {system[max(system)]:,.0f} MB of memory" in curves.hint.text()
    auc = metrics(seat, view, "validation", "auc")
    validation = by_title["Validation AUC"]
    seat.wait(lambda: len(validation.drawn(view.id, "validation/auc")) == len(auc))
    assert validation.drawn(view.id, "validation/auc").tolist() == pytest.approx([auc[step] for step in sorted(auc)])
    for name in ("baseline_step_index_auc", "baseline_tfidf_auc"):
        wanted = metrics(seat, view, "validation", name)
        last = pytest.approx(wanted[max(wanted)])
        seat.wait(lambda name=name, last=last: validation.baseline_values().get(f"validation/{name}") == last)
    curves.save_csv(tmp_path / "curves.csv")
    seat.wait(lambda: "points saved" in seat.said())
    with (tmp_path / "curves.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["series"] == "train/loss"]
    assert {int(row["step"]): float(row["value"]) for row in rows} == pytest.approx(loss)
    curves.save_png(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def _face(target: float | None) -> int | None:
    return {None: None, 0.0: -1, 1.0: 1}[target]


def _tabs_are_filled(seat: Seat, page: TrainPage) -> None:
    panel = page.panel
    panel.tabs.setCurrentWidget(panel.examples)
    seat.wait(lambda: panel.examples.rows.topLevelItemCount() > 0)
    steps, example = panel.examples.steps, panel.examples.shown
    assert steps is not None
    assert example is not None
    assert [row.text for row in steps.rows] == list(example.steps)
    assert [row.score for row in steps.rows] == list(example.scores)
    assert [row.rating for row in steps.rows] == [_face(target) for target in example.targets]
    panel.tabs.setCurrentWidget(panel.spec)
    seat.wait(lambda: panel.spec.tree.topLevelItemCount() >= 5)
    panel.tabs.setCurrentWidget(panel.checkpoints)
    seat.wait(lambda: panel.checkpoints.tree.topLevelItemCount() > 0)
    marks = [panel.checkpoints.tree.topLevelItem(n).text(2) for n in range(panel.checkpoints.tree.topLevelItemCount())]
    assert marks.count("★ best") >= 1
    panel.tabs.setCurrentWidget(panel.notices)
    seat.wait(lambda: panel.notices.tree.topLevelItemCount() > 0)
    panel.tabs.setCurrentWidget(panel.log)
    seat.wait(lambda: "attempt 2" in panel.log.text.toPlainText())


def _score_with_it(seat: Seat, page: TrainPage) -> None:
    trained = shown(page)
    click(page.panel.buttons["score"])
    dialog = page.dialog
    assert dialog is not None
    assert dialog.recipe == "score"
    seat.wait(dialog.start.isEnabled)
    dialog.rows.limit.setText("150")
    seat.wait(lambda: dialog.start.isEnabled() and dialog._preview is not None and dialog._preview.counts.rows == 150)
    picture(dialog, "score-with-this-prm")
    click(dialog.start)
    seat.wait(lambda: shown(page).id != trained.id)
    wait_for(seat, page, RunState.FINISHED)
    seat.wait(lambda: shown(page).ingested)
    with seat.context.workspace.database.read() as c:
        assert c.execute(text("select count(distinct trace_id), count(*) from score")).one() == (150, 150)
    _score_one_from_its_trace(seat)


def _score_one_from_its_trace(seat: Seat) -> None:
    """On the Inspect page, S on a trace without scores brings them."""
    missing = "select id from trace where id not in (select trace_id from score) order by id"
    with seat.context.workspace.database.read() as c:
        trace_id = c.execute(text(missing)).scalars().first()
    assert trace_id is not None
    seat.context.open_trace(Page.INSPECT, trace_id)
    page = seat.window.page_widget(Page.INSPECT)
    assert isinstance(page, InspectPage)
    seat.wait(lambda: page.shown is not None and page.shown.trace.id == trace_id)
    assert page.shown is not None
    assert not page.shown.lines
    seat.window.activateWindow()  # a window manager gives the focus back when a dialog closes
    seat.wait(lambda: QApplication.activeWindow() is seat.window)
    seat.press("s", page.steps)
    seat.wait(lambda: page.shown is not None and bool(page.shown.lines))
    with seat.context.workspace.database.read() as c:
        assert c.execute(text("select count(distinct trace_id), count(*) from score")).one() == (151, 151)
        stored = scores.of_trace(c, trace_id)
    assert [line.values for line in page.shown.lines] == [each.values for each in stored]
    assert all(value is not None and 0 <= value <= 1 for value in stored[0].values)
    (resident,) = [view for view in seat.context.jobs.runs() if view.resident]
    seat.context.jobs.cancel(resident.id)  # else it would wait for requests after the test
    seat.qtbot.waitUntil(lambda: seat.context.jobs.view(resident.id).state is RunState.CANCELLED)


def test_cancel_then_crash_shows_the_log_and_offers_resume(qtbot: QtBot, folder: Path) -> None:
    with Seat(qtbot, folder) as seat:
        seat.window.resize(1280, 860)
        page = train_page(seat)
        start(seat, page, **{**QUICK, "max_steps": 100_000, "epochs": 1000})
        wait_for(seat, page, RunState.RUNNING, steps=5)
        click(page.panel.buttons["cancel_run"])
        box = page.findChild(QMessageBox)
        assert box is not None
        yes = next(b for b in box.findChildren(QPushButton) if b.text() == "Cancel run")
        click(yes)
        view = wait_for(seat, page, RunState.CANCELLED)
        click(page.panel.buttons["resume_run"])
        wait_for(seat, page, RunState.RUNNING, steps=view.done)
        process = RunFolder(folder / view.folder).read_process()
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        wait_for(seat, page, RunState.CRASHED)
        seat.wait(lambda: "attempt" in page.panel.tail.toPlainText())
        assert page.panel.tail.isVisible()
        assert page.panel.buttons["resume_run"].text() == "Resume from the last checkpoint"
        assert page.panel.buttons["resume_run"].isEnabled()
        seat.wait(lambda: page.model.data(page.model.index(0, 2)) == "crashed")
        picture(seat.window, "train-crashed")


def test_a_queued_run_waits_and_is_cancelled_without_asking(qtbot: QtBot, folder: Path) -> None:
    with Seat(qtbot, folder) as seat:
        page = train_page(seat)
        first = start(seat, page, **{**QUICK, "max_steps": 100_000, "epochs": 1000})
        second = start(seat, page, **QUICK)
        assert second.state is RunState.QUEUED
        row = page.model.view_at(1)
        assert row is not None
        assert row.id == second.id, "next stands below now"
        assert page.panel.curves.says == NO_POINTS
        seat.context.actions.run("cancel_run")
        wait_for(seat, page, RunState.CANCELLED)
        seat.wait(lambda: page.panel.curves.says == NO_CURVES)
        page.table.choose(first.id)
        seat.context.background.call(page, lambda: seat.context.jobs.cancel(first.id))
        wait_for(seat, page, RunState.CANCELLED)
