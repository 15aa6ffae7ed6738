"""I fill the form of the Play page, make its text larger, take things back, and carry answers elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QFileDialog, QPushButton
from pytestqt.qtbot import QtBot
from sqlalchemy import Connection, delete

from studio.domain import Changes, Topic, changed
from studio.jobs.shipped import EXAMPLES, POLICY
from studio.store import models
from studio.store.schema import model
from studio.ui.actions import Page
from studio.ui.play.lane import Lane
from studio.ui.play.ledger import COLUMNS, Entry
from studio.ui.play.page import PlayPage
from studio.ui.play.recorded import read_recorded
from tests.e2e.playing import go_to_play
from tests.e2e.seat import Seat, fill_workspace


@pytest.fixture
def seat(qtbot: QtBot, tmp_path: Path) -> Iterator[Seat]:
    fill_workspace(tmp_path / "w")
    with Seat(qtbot, tmp_path / "w") as sat:
        sat.window.resize(1280, 800)
        yield sat


@pytest.fixture
def page(seat: Seat) -> PlayPage:
    return go_to_play(seat)


def test_everything_has_room_however_large_the_text_is_made(seat: Seat, page: PlayPage) -> None:
    form = page.form.widget()
    assert form is not None
    for _ in range(4):
        left = page.form.problem.mapTo(page, QPoint()).x()
        right = left + page.form.problem.width()
        for each in page.bar.findChildren(QPushButton):
            if each.isVisible():
                at = each.mapTo(page, QPoint()).x()
                assert left <= at, each.text()
                assert at + each.width() <= right, f"{each.text()} sticks out at {seat.context.theme.scale} %"
                assert each.width() >= each.minimumSizeHint().width(), each.text()
        assert form.minimumSizeHint().width() <= page.form.viewport().width(), "nothing of the form is cut"
        assert {label.font().pointSizeF() for label in form.findChildren(type(page.empty.title))} == {
            seat.context.theme.font().pointSizeF()
        }, "headings grow with the rest"
        seat.picture(f"play-form-{seat.context.theme.scale}")
        seat.context.actions.run("larger")
    assert seat.window.width() == 1280


def test_three_lanes_stand_side_by_side_in_a_small_window_and_every_word_has_room(seat: Seat, page: PlayPage) -> None:
    page.show_recorded(1, 0)
    seat.wait(lambda: page.recorded is not None)
    assert page.recorded is not None
    page._seat(replace(page.form.play(), entrants=page.form.play().entrants * 2))
    page._columns.setSizes([1000] * 3)
    page.recorded.verdict.setText("Stored: nothing\n" + "Checks: allow, and a long reason that wraps " * 3)

    def fits() -> None:
        assert page._space.horizontalScrollBar().maximum() == 0
        for lane in page.columns:
            for each in (lane.answer, lane.verdict):
                assert each.height() >= each.heightForWidth(each.width())

    seat.wait(fits)
    assert page.form.focusPolicy() is Qt.FocusPolicy.NoFocus, "Tab goes from field to field"


def test_undo_brings_back_the_problem_that_an_example_replaced(seat: Seat, page: PlayPage) -> None:
    mine = "What is 2 + 2?\nSay why."
    page.form.problem.selectAll()
    page.form.problem.insertPlainText(mine)
    page.form.reference.setText("4")
    menu = page.form.examples.offer()
    chosen = [action for action in menu.actions() if action.text().startswith(EXAMPLES[1].problem[:20])]
    chosen[0].trigger()
    menu.close()
    assert page.form.problem.toPlainText() == EXAMPLES[1].problem
    QTest.keyClick(page.form.problem, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert page.form.problem.toPlainText() == mine
    page.form.reference.setFocus()
    QTest.keyClick(page.form.reference, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert page.form.reference.text() == "4"


def adopt(seat: Seat, name: str, folder: str, checksum: str) -> str:
    """A model of the workspace; returns its uid."""
    shutil.copytree(seat.folder / policy_folder(seat), seat.folder / folder)
    entry = {"name": name, "kind": "sft", "folder": folder, "checksum": checksum, "base": ""}
    seat.context.background.write(seat.window, lambda c: models.adopt(c, **entry))
    seat.wait_saved()
    with seat.context.workspace.database.read() as c:
        found = models.find(c, folder)
    assert found is not None
    return found.uid


def policy_folder(seat: Seat) -> str:
    with seat.context.workspace.database.read() as c:
        found = models.find(c, POLICY)
    assert found is not None
    return found.folder


def test_models_of_one_name_are_told_apart_and_one_that_is_gone_is_told(seat: Seat, page: PlayPage) -> None:
    first, second = adopt(seat, "mine", "models/one", "1"), adopt(seat, "mine", "models/two", "2")
    combo = page.form.policy
    seat.wait(lambda: combo.findData(second) >= 0)
    texts = [combo.itemText(combo.findData(uid)) for uid in (first, second)]
    assert all(text.startswith("mine, ") for text in texts)
    assert len(set(texts)) == 2
    assert combo.itemText(0) == POLICY, "a name that nothing else has stands alone"
    page.form.choose_policy("mine")
    assert combo.currentData() == second, "the newest of the name"
    shutil.rmtree(seat.folder / "models/two")
    page.ask()
    assert not page.race.is_running
    assert "the model mine is not here any more" in seat.said()
    seat.context.background.write(seat.window, drop(second))
    seat.wait(lambda: combo.findData(second) < 0)
    assert combo.currentText() == POLICY
    assert f"the model {texts[1]} is not here any more; chosen instead: {POLICY}" in seat.said()


def drop(uid: str) -> Callable[[Connection], Changes]:
    """Take a model out of the registry, as another version of the workspace might."""

    def work(c: Connection) -> Changes:
        c.execute(delete(model).where(model.c.uid == uid))
        return changed(Topic.MODELS)

    return work


def test_a_folder_on_disk_is_played_too(
    seat: Seat, page: PlayPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form, folder = page.form, tmp_path / "SmallOne"
    folder.mkdir()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    form.folder.click()
    assert "no config.json" in seat.said()
    assert form.policy.currentText() == POLICY
    (folder / "config.json").write_text("{}", "utf-8")
    form.folder.click()
    assert (form.policy.currentText(), form.policy.toolTip()) == (f"{tmp_path.name}/SmallOne", str(folder))
    assert form.play().models.policy == str(folder)
    assert form.reasoning.currentText() == "none"
    assert form.reasoning.findData(str(folder)) >= 0
    adopt(seat, "another", "models/another", "3")
    seat.wait(lambda: form.policy.findText("another") >= 0)
    assert form.policy.currentData() == str(folder), "it stays when models come"


def test_what_was_played_goes_back_into_the_form_and_answers_to_the_clipboard(seat: Seat, page: PlayPage) -> None:
    form = page.form
    form.choose("Beam", "MCTS")
    form.difficulty.setValue(15)
    form.n.set_number(5)
    form.temperature.set_number(0.7)
    form.seed.set_number(11)
    played = form.play()
    with seat.context.workspace.database.read() as c:
        outcome = read_recorded(c, 1, seat.context.annotator.id).outcome
    assert outcome.opened is not None
    page.ledger.add(Entry(played, played.entrants[0], outcome))
    form.set_problem(EXAMPLES[3])
    form.thinking.set_number(9)
    form.thinking.changed.emit()
    form.choose("One trace")
    form.n.set_number(2)
    assert form.play() != played
    page._enable()
    page.ledger.setFocus()
    QTest.keyClick(page.ledger, Qt.Key.Key_F)
    assert form.play() == played
    page.ledger.setCurrentCell(0, 0)
    QTest.keyClick(page.ledger, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    heads, cells = (line.split("\t") for line in QGuiApplication.clipboard().text().splitlines())
    assert tuple(heads) == COLUMNS
    assert dict(zip(heads, cells, strict=True))["Strategy"] == "Beam"


def test_a_single_trace_without_an_answer_shows_what_it_says_and_opens(seat: Seat, page: PlayPage) -> None:
    seat.context.show_page(Page.PLAY)
    page.show_recorded(1, 0)
    seat.wait(lambda: page.recorded is not None)
    assert page.recorded is not None
    whole = page.recorded.recorded.outcome
    assert whole.opened is not None
    none = replace(whole, answered=replace(whole.answered, answer=None, text="", trace=None))
    single, *_ = page.form.ways
    lane = Lane(seat.context, single, page.recorded.play, "a policy", alone=True)
    lane.end(none)
    assert lane.said == whole.answered.text != ""
    assert none.shown == 1, "it can be opened"
    assert Entry(page.recorded.play, single, none).cells()["Answer"] == "none"
