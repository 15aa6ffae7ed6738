"""I ask the policy that travels with the app, watch it think, let strategies race, cancel, and send what I find on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot
from sqlalchemy import func, select

from studio.jobs.shipped import EXAMPLES, POLICY, PRM
from studio.store import projects, runs
from studio.store.schema import trace
from studio.ui.actions import Page
from studio.ui.evaluate.page import EvaluatePage
from studio.ui.inspect.heat import Heat
from studio.ui.inspect.page import InspectPage
from studio.ui.play.contest_dialog import ContestDialog
from studio.ui.play.contest_store import made_before
from studio.ui.play.form import ELSEWHERE
from studio.ui.play.page import PlayPage
from studio.ui.play.values import Address
from tests.e2e.playing import end_workers, go_to_play, lane_texts, played
from tests.e2e.seat import Seat, fill_workspace
from trainer.contract.run_folder import RunFolder

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One workspace for all stories, so that the worker that has the models answers them all."""
    path = tmp_path_factory.mktemp("play") / "workspace"
    fill_workspace(path)
    yield path
    end_workers(path)


@pytest.fixture
def seat(qtbot: QtBot, folder: Path) -> Iterator[Seat]:
    with Seat(qtbot, folder) as sat:
        sat.window.resize(1360, 860)
        yield sat


@pytest.fixture
def page(seat: Seat) -> PlayPage:
    return go_to_play(seat)


def kept(seat: Seat) -> int:
    """How many traces there are."""
    with seat.context.workspace.database.read() as c:
        return int(c.execute(select(func.count()).select_from(trace)).scalar_one())


def test_a_problem_is_thought_about_and_answered(seat: Seat, page: PlayPage) -> None:
    assert (page.form.policy.currentText(), page.form.prm.currentText()) == (POLICY, PRM)
    seat.picture("play-empty")
    told: list[str] = []
    page.race.streamed.connect(lambda _lane, _events: told.append(page.lanes[0].text.opened.trace.text))
    QTest.keyClick(page.form.problem, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    seat.wait(lambda: not page.race.is_running)
    (lane,) = page.lanes
    assert lane.outcome is not None, lane.state.text()
    opened, answered = lane.outcome.opened, lane.outcome.answered
    assert opened is not None
    assert told
    assert opened.trace.text == told[-1], "what was streamed is what is stored"
    assert opened.tokens is not None
    budget = opened.conversation.budget
    assert budget.thinking is not None
    assert budget.thinking <= page.played.budgets.thinking == 65
    assert answered.answer == opened.trace.answer
    assert answered.outcome == int(answered.answer == EXAMPLES[0].reference)
    assert lane.judged is not None
    assert page.ledger.row_texts(0)["Drawn"] == f"{answered.tokens:,}"
    seat.context.actions.run("play_heat")
    assert lane.text.text.heat is Heat.LOGPROB
    shown = len(lane.text.lines)
    seat.context.actions.run("play_fold")
    assert len(lane.text.lines) < shown
    seat.picture("play-one")


def test_the_same_seed_gives_the_same_trace_and_the_next_one_another(seat: Seat, page: PlayPage) -> None:
    page.form.set_problem(EXAMPLES[1])
    texts = []
    for again in (None, "play_again", "play_next_seed"):
        if again is None:
            played(seat, page)
        else:
            seat.context.actions.run(again)
            seat.wait(lambda: not page.race.is_running)
        texts.append(lane_texts(page)[0])
    assert texts[0] == texts[1] != texts[2]
    assert page.form.seed.number() == 1
    assert page.ledger.rowCount() == 3


def test_strategies_race_side_by_side(seat: Seat, page: PlayPage) -> None:
    page.form.choose("One trace", "Best-of-n", "Beam", "MCTS")
    grown: dict[int, list[int]] = {}
    page.race.streamed.connect(lambda lane, _e: grown.setdefault(lane, []).append(len(page.lanes[lane].live.nodes)))
    played(seat, page)
    assert [lane.outcome is not None for lane in page.lanes] == [True] * 4
    for place in (2, 3):
        assert grown[place] == sorted(grown[place]), "the tree only grows"
    for lane in page.lanes:
        assert lane.outcome is not None
        tree, details = lane.outcome.tree, lane.outcome.answered.details
        assert tree is not None
        assert tree.sought is not None
        assert details is not None
        assert len(tree.sought.nodes) == details["nodes"]
        assert sum(node.tokens for node in tree.sought.nodes) == lane.outcome.answered.tokens
    seat.picture("play-race")
    seat.context.actions.run("theme_dark")
    seat.picture("play-race-dark")
    seat.context.actions.run("theme_light")
    best = page.lanes[1].outcome
    assert best is not None
    seat.context.actions.run("play_next_lane")
    seat.context.actions.run("play_inspect")
    inspect = seat.window.page_widget(Page.INSPECT)
    assert isinstance(inspect, InspectPage)
    seat.wait(lambda: inspect.shown is not None and inspect.shown.trace.id == best.answered.trace)


def test_escape_cancels_at_once_and_nothing_is_kept(seat: Seat, page: PlayPage) -> None:
    before = kept(seat)
    page.form.choose("MCTS")
    page.form.compute.setCurrentIndex(2)
    page.ask()
    seat.wait(lambda: bool(page.lanes[0].live.nodes))
    assert seat.window.isActiveWindow(), "no part of the page is a window of its own"
    QTest.keyClick(page.form.problem, Qt.Key.Key_Escape)
    assert not page.race.is_running
    assert page.lanes[0].state.text().startswith("cancelled")
    assert not seat.context.actions.is_enabled("play_cancel")
    page.form.choose("One trace")
    page.form.compute.setCurrentIndex(0)
    played(seat, page)
    assert page.lanes[0].outcome is not None
    assert kept(seat) == before + 1


def test_closing_the_window_takes_the_request_back(qtbot: QtBot, folder: Path) -> None:
    with Seat(qtbot, folder) as seat:
        page = go_to_play(seat)
        page.form.choose("MCTS")
        page.form.n.set_number(256)
        page.ask()
        seat.wait(lambda: bool(page.lanes[0].live.nodes))
        with seat.context.workspace.database.read() as c:  # the follower may not have told of the run yet
            (run,) = (run for run in runs.all_runs(c) if run.recipe == "search")
        asked = RunFolder(folder / run.folder).requests
        before = asked.read_bytes().splitlines()
    *same, last = asked.read_bytes().splitlines()
    assert same == before
    assert b"cancel" in last, "the worker is told that nobody waits any more"


def test_a_trace_goes_to_a_labelling_project(seat: Seat, page: PlayPage) -> None:
    played(seat, page)
    outcome = page.lanes[0].outcome
    assert outcome is not None
    with seat.context.workspace.database.read() as c:
        (project, *_) = projects.all_projects(c)
    page.commands.put(project, outcome.answered.trace or 0)
    seat.wait(lambda: seat.window.page is Page.LABEL)
    with seat.context.workspace.database.read() as c:
        assert project.id in projects.of_trace(c, outcome.answered.trace or 0)


def test_a_recorded_trace_stands_in_the_race_and_strategies_go_on_from_its_step(seat: Seat, page: PlayPage) -> None:
    played(seat, page)
    first = page.lanes[0].outcome
    assert first is not None
    seat.context.actions.run("play_inspect")
    inspect = seat.window.page_widget(Page.INSPECT)
    assert isinstance(inspect, InspectPage)
    seat.wait(lambda: inspect.shown is not None and inspect.shown.trace.id == first.answered.trace)
    inspect.place.go_step(1)
    page.form.set_problem(EXAMPLES[2])
    seat.context.actions.run("problem_to_play")
    seat.wait(lambda: page.recorded is not None)
    kept = page.recorded
    assert kept is not None
    assert kept.text.opened is not None
    assert kept.text.opened.trace.text == first.opened.trace.text
    assert kept.step == 2
    assert (kept.grade.text(), kept.budget.words) == (page.lanes[0].grade.text(), page.lanes[0].budget.words)
    assert kept.verdict.text().startswith("Stored: ")
    assert page.form.problem.toPlainText() == first.opened.trace.problem.prompt
    assert page.ledger.row_texts(0)["Strategy"] == "As recorded"
    QTest.keyClick(kept.text, Qt.Key.Key_X)
    begun = kept.begun
    assert begun is not None
    assert begun.steps == 2
    assert first.opened.trace.text.startswith(begun.text)
    page.form.choose("One trace", "Beam")
    page.form.difficulty.setValue(20)
    seat.picture("play-recorded")
    played(seat, page)
    for lane in page.lanes:
        assert lane.title.text().endswith("· from step 2")
        assert lane.outcome is not None, lane.state.text()
        opened = lane.outcome.opened
        assert opened is not None
        assert opened.trace.text.startswith(begun.text)
        budget = opened.conversation.budget
        assert budget.used is not None
        assert budget.used > begun.thinking + begun.answer > 0, "what it goes on from counts"
        with seat.context.workspace.database.read() as c:
            extra = c.scalar(select(trace.c.extra).where(trace.c.id == opened.trace.id))
        assert extra is not None
        assert extra["forked_at"] == len(begun.text)
    page.form.choose("Router")
    assert "begin anew (X)" in page.missing.text()
    seat.picture("play-recorded-raced")
    seat.context.actions.run("play_go_on")
    assert kept.begun is None
    seat.context.actions.run("play_take_away")
    assert page.recorded is None
    assert len(page.columns) == 2
    page.form.choose("One trace")


def test_copies_are_refused_and_mended_by_one_click(page: PlayPage) -> None:
    form = page.form
    form.choose("Best-of-n", "Beam")
    form.temperature.set_number(0)
    form.temperature.changed.emit()
    assert "At temperature 0 every try is the same" in page.missing.text()
    assert not page.ask_button.isEnabled()
    page.alone_button.click()
    assert [each.title for each in form.entrants] == ["Best-of-n"]
    assert form.n.number() == 1
    assert page.ask_button.isEnabled()
    assert page.alone_button.isHidden()
    form.choose("Beam")
    page.warm_button.click()
    assert form.temperature.number() == 1.0
    assert not page.missing.text()
    form.n.set_number(8)
    form.choose("One trace")


def test_best_of_n_is_compared_with_one_pass(seat: Seat, page: PlayPage) -> None:
    seat.context.actions.run("play_contest")
    dialog = page.commands.dialog
    assert dialog is not None
    seat.wait(dialog.compare.isEnabled)
    form = dialog.form
    assert "the small one itself" in dialog.state.text(), "there is no other policy here"
    form.source.setCurrentIndex(2)
    form.one_pass.setCurrentIndex(1)
    form.n.set_number(4)
    dialog.start()
    seat.wait(lambda: dialog.bar.value() >= 2)
    QTest.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.run.is_running
    assert "goes on where it was" in dialog.state.text()
    told: list[int] = []
    dialog.run.told.connect(lambda done, _total, _waits: told.append(done))
    dialog.start()
    seat.wait(lambda: dialog.made is not None or not dialog.is_busy)
    assert dialog.made is not None, dialog.state.text()
    assert told[0] >= 2, "what was searched before Cancel is not searched again"
    made = dialog.made.contest
    assert [point.n for point in made.small] == [1, 2, 4]
    assert made.small[0].accuracy.value == made.large.accuracy.value, "the first of n is the one of one"
    assert made.small[0].accuracy.value == made.majority[0].accuracy.value
    costs = [point.cost for point in made.small]
    assert costs == sorted(costs)
    assert [point.cost < best.cost for point, best in zip(made.majority, made.small, strict=True)] == [True] * 3
    places = [dialog.chart.place(point, point.accuracy.value) for point in made.small]
    assert [place.x() for place in places] == sorted(place.x() for place in places)
    assert dialog.table.rowCount() == 7
    dialog.start()
    seat.wait(lambda: not dialog.is_busy)
    assert dialog.run.before == 8, "the second time nothing is searched"
    wanted = dialog.made.wanted
    with seat.context.workspace.database.read() as c:
        assert made_before(c, replace(wanted, seed=4711).asks) == {}
        assert set(made_before(c, replace(wanted, n=2).asks)) == {4, 5, 6, 7}, "one pass is the same"
    point_behind_the_chart_opens_its_trace(seat, dialog)
    dialog.accept()


def test_the_comparison_is_one_click_from_evaluate_too(seat: Seat) -> None:
    seat.context.show_page(Page.EVALUATE)
    page = seat.window.page_widget(Page.EVALUATE)
    assert isinstance(page, EvaluatePage)
    tab = page.models
    seat.wait(lambda: seat.context.actions.is_enabled("contest_models"))
    assert seat.context.actions.run("contest_models")
    dialog = tab.contest_dialog
    assert dialog is not None
    seat.wait(dialog.compare.isEnabled)
    assert (dialog.form.small.currentText(), dialog.form.prm.currentText()) == (POLICY, PRM)
    assert dialog.form.terms.startswith("At most 65 tokens of thinking and 43 of answer")
    dialog.form.many.setText("many")
    dialog.form.many.changed.emit()
    assert not dialog.compare.isEnabled()
    assert "not a whole number" in dialog.state.text()
    dialog.close()


def point_behind_the_chart_opens_its_trace(seat: Seat, dialog: ContestDialog) -> None:
    """I go to a point, to a problem behind it, and read the trace that answered."""
    assert dialog.made is not None
    chart = dialog.chart
    chart.choose(2)
    lines = dialog.list.lines
    point = dialog.made.contest.small[2]
    assert [line.right for line in lines].count(True) == sum(bool(each.right) for each in point.chosen)
    at = chart.place(dialog.made.contest.large, dialog.made.contest.large.accuracy.value).toPoint()
    QTest.mouseClick(chart, Qt.MouseButton.LeftButton, pos=at)
    assert dialog.table.currentRow() in (0, 3, 6), "one pass of the same model lies where n = 1 is, or beside it"
    QTest.keyClick(chart, Qt.Key.Key_Return)
    wanted = dialog.list.lines[0]
    QTest.keyClick(dialog.list, Qt.Key.Key_Return)
    inspect = seat.window.page_widget(Page.INSPECT)
    assert isinstance(inspect, InspectPage)
    seat.wait(lambda: inspect.shown is not None and inspect.shown.trace.id == wanted.trace)
    assert inspect.shown is not None
    assert inspect.shown.trace.answer == wanted.answer
    assert dialog.isVisible(), "the comparison stands beside it"


def test_what_is_missing_is_said(seat: Seat, page: PlayPage) -> None:
    page.form.problem.setPlainText("  ")
    assert not page.ask_button.isEnabled()
    assert "Write a problem" in page.missing.text()
    page.form.set_problem(EXAMPLES[0])
    page.form.choose("Beam")
    page.form.prm.setCurrentIndex(page.form.prm.findData(""))
    assert "choose a PRM" in page.missing.text()
    page.form.choose("Router")
    assert "reasoning model" in page.missing.text()
    page.form.reasoning.setCurrentIndex(page.form.reasoning.findData(ELSEWHERE))
    assert "needs an address" in page.missing.text()
    page.form.address.url.setText("http://127.0.0.1:9/v1")
    assert "the model's name" in page.missing.text()
    page.form.address.model.setText("large")
    page.form.address.key.setText("sk-secret")
    assert "no name of a key" in page.missing.text()
    page.form.address.key.setText("LARGE_KEY")
    assert not page.missing.text()
    assert page.form.play().models.address == Address("http://127.0.0.1:9/v1", "large", "LARGE_KEY", "OpenAI chat")
    page.form.choose()
    assert "at least one" in page.missing.text()
    page.form.choose(*(each.title for each in page.form.ways))
    assert "At most 4" in page.missing.text()
    page.form.choose("One trace")
    page.form.thinking.setText("many")
    page.form.thinking.changed.emit()
    assert "not a whole number" in page.missing.text()


def test_the_slider_splits_all_tokens(page: PlayPage) -> None:
    form = page.form
    for value, thinking in ((0, 32), (10, 65), (20, 97)):
        form.difficulty.setValue(value)
        assert (form.thinking.number(), form.answer.number()) == (thinking, 108 - thinking)
        assert form.budgets().difficulty == value / 20
    form.thinking.set_number(50)
    form.thinking.changed.emit()
    assert form.budgets().difficulty is None
    assert form.total.number() == 50 + (form.answer.number() or 0)


def test_a_router_says_who_answered_and_its_cache_answers_again(seat: Seat, page: PlayPage) -> None:
    page.form.choose("Router")
    page.form.reasoning.setCurrentIndex(0)
    for cached in (False, True):
        played(seat, page)
        outcome = page.lanes[0].outcome
        assert outcome is not None, page.lanes[0].state.text()
        assert outcome.answered.cached is cached
        assert page.ledger.row_texts(0)["Cache"] == ("hit" if cached else "")
        assert POLICY in page.lanes[0].why.text()
    seat.picture("play-router")
