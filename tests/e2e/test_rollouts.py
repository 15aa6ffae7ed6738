"""A person reads the rollouts of an RL run and asks what other credit would have paid."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QHelpEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDoubleSpinBox, QToolTip
from pytestqt.qtbot import QtBot

from studio.jobs.values import RunTopic
from studio.ui.train import rollouts_step_model as step_columns
from studio.ui.train import rollouts_trace_model as trace_columns
from studio.ui.train.page import TrainPage
from studio.ui.train.rollouts_tab import RolloutsTab
from tests.e2e.data_desk import click, picture, story_workspace, train_page
from tests.e2e.rollouts_made import add_run, plain_rl, save_update, spec_of, trace
from tests.e2e.seat import Seat
from tests.unit.ui_train.test_rollouts_credit import RIGHT, Group, by_hand
from trainer.contract import rollouts
from trainer.contract.forms import CreditForm
from trainer.contract.rollouts import PackedTrace
from trainer.contract.spec import PrmSpec, RunSpec, parameters
from trainer.reasoning.credit import CreditSettings, GroupScale
from trainer.reasoning.what_if import credited

UID = "a" * 32
LONG = "A trader buys " + "eggs and sells them again, " * 30
SECOND: Group = [((0.7, 0.9, 0.6), 0.0), ((0.95, 0.9, 0.97), 1.0)]


def traces_of(*groups: Group, mark: str = "t") -> tuple[PackedTrace, ...]:
    """Traces paid under `min`, by hand."""
    return tuple(
        trace(
            f"{mark}{number}{i}",
            scores,
            by_hand(group, CreditForm.MIN)[i],
            group=number,
            correct=outcome > 0.5,
            reward=0.3 * min(scores) + 0.7 * outcome,
            problem=LONG if number else "Start with 2. Double it. Add 3.",
        )
        for number, group in enumerate(groups)
        for i, (scores, outcome) in enumerate(group)
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workspace with one RL run of two updates."""
    made = story_workspace(tmp_path / "workspace", 5)
    add_run(made, UID, spec_of(UID, plain_rl()))
    for update, groups in enumerate(((SECOND,), (RIGHT, SECOND))):
        save_update(made, UID, update, traces_of(*groups, mark=f"u{update}-"))
    return made


def open_tab(seat: Seat) -> tuple[TrainPage, RolloutsTab]:
    """The Rollouts tab of the chosen run, when its newest update is there."""
    page = train_page(seat)
    seat.wait(lambda: page.panel.view is not None)
    tab = page.panel.rollouts
    assert page.panel.tabs.isTabVisible(page.panel.tabs.indexOf(tab))
    page.panel.tabs.setCurrentWidget(tab)
    settle(seat, tab)
    return page, tab


def settle(seat: Seat, tab: RolloutsTab) -> None:
    """Wait until nothing is on its way."""
    seat.wait(lambda: not tab.busy)


def cell(tab: RolloutsTab, row: int, column: int) -> str:
    """What the table of traces says."""
    return str(tab.model.index(row, column).data())


def step_cell(tab: RolloutsTab, row: int, column: int) -> str:
    """What the table of steps says."""
    return str(tab.step_model.index(row, column).data())


def signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def assert_shows(tab: RolloutsTab, settings: CreditSettings, scores: dict[str, tuple[float, ...]]) -> None:
    """Every number on the screen is that of `credited` on the stored file."""
    batch = rollouts.load(rollouts.path_of(tab._context.workspace.runs / UID, tab.bar.number.value()))
    found = credited(batch.traces, settings, scores=scores)
    assert tab.model.rowCount() == len(found)
    for row, (one, credit) in enumerate(zip(batch.traces, found, strict=True)):
        assert cell(tab, row, trace_columns.EARNED) == f"{credit.earned:.3f}"
        assert cell(tab, row, trace_columns.REWARD) == f"{one.reward:.3f}"
        assert cell(tab, row, trace_columns.ADVANTAGE).endswith(f"→ {signed(credit.tokens.mean())}")
        tab.table.choose(row)
        assert tab.step_model.credit is not None
        assert tab.step_model.credit.what_if.tolist() == credit.tokens.tolist()
        for k, value in enumerate(credit.steps):
            assert step_cell(tab, k, step_columns.WHAT_IF) == signed(float(value))
            paid = rollouts.floats(one.advantages)[3 * k]
            assert step_cell(tab, k, step_columns.PAID) == signed(float(paid))


def edit(seat: Seat, tab: RolloutsTab, step: int, text: str) -> None:
    """Double-click a score, type another, press Enter."""
    index = tab.step_model.index(step, step_columns.SCORE)
    tab.steps.scrollTo(index)
    at = tab.steps.visualRect(index).topLeft() + QPoint(20, 12)
    QTest.mouseClick(tab.steps.viewport(), Qt.MouseButton.LeftButton, pos=at)
    QTest.mouseDClick(tab.steps.viewport(), Qt.MouseButton.LeftButton, pos=at)
    type_score(seat, tab, text)


def type_score(seat: Seat, tab: RolloutsTab, text: str) -> None:
    """Type into the spin box that is open."""
    seat.wait(lambda: tab.steps.findChild(QDoubleSpinBox) is not None)
    box = tab.steps.findChild(QDoubleSpinBox)
    assert box is not None
    QTest.keyClicks(box, text)
    QTest.keyClick(box, Qt.Key.Key_Return)
    seat.wait(lambda: tab.steps.findChild(QDoubleSpinBox) is None)
    settle(seat, tab)


def test_what_if_on_the_newest_update(qtbot: QtBot, folder: Path) -> None:
    with Seat(qtbot, folder) as seat:
        seat.window.resize(1280, 900)
        _, tab = open_tab(seat)
        own = CreditSettings(scale=GroupScale.NONE)
        assert tab.bar.number.value() == 1
        assert tab.told.text() == "Every token has the advantage it was paid."
        assert not tab.note.isVisible()
        assert not tab.form.warnings.isVisible()
        assert_shows(tab, own, {})
        verdicts = [cell(tab, row, trace_columns.VERDICT) for row in range(4)]
        assert verdicts == ["✓ right", "✗ wrong", "✗ wrong", "✓ right"]
        _the_form_speaks(seat, tab)
        for name in ("light", "dark", "high contrast"):
            seat.context.theme.use(name)
            picture(seat.window, f"train-rollouts-{name.replace(' ', '-')}")
        click(tab.form.reset)
        settle(seat, tab)
        assert tab.form.settings() == own
        assert_shows(tab, own, {})
        _scores_are_edited(seat, tab, own)
        _tokens_tell_what_they_were_paid(tab)
        _traces_are_sorted(tab)


def _the_form_speaks(seat: Seat, tab: RolloutsTab) -> None:
    tab.form.credit_form.setFocus()
    QTest.keyClick(tab.form.credit_form, Qt.Key.Key_Down)  # min -> sum, from the keyboard
    tab.form.outcome_weight.setFocus()
    tab.form.outcome_weight.selectAll()
    QTest.keyClicks(tab.form.outcome_weight, "0.1")
    QTest.keyClick(tab.form.outcome_weight, Qt.Key.Key_Return)
    settle(seat, tab)
    changed = CreditSettings(form=CreditForm.SUM, outcome_weight=0.1, scale=GroupScale.NONE)
    assert tab.form.settings() == changed
    assert_shows(tab, changed, {})
    assert "Pays by the step" in tab.form.warnings.text()
    assert "wrong answer of well scored steps" in tab.form.warnings.text()
    assert tab.form.warnings.isVisible()
    # by hand: sum pays the wrong trace of five steps 0.3 * 3.4 and the right one 0.3 * 1.85 + 0.1; both turn over
    assert tab.told.text() == "2 of 4 traces change sign of their mean advantage."
    assert ["⇄" in cell(tab, row, trace_columns.ADVANTAGE) for row in range(4)] == [True, True, False, False]
    tab.table.choose(1)


def _scores_are_edited(seat: Seat, tab: RolloutsTab, own: CreditSettings) -> None:
    tab.table.choose(0)
    before = cell(tab, 1, trace_columns.ADVANTAGE), cell(tab, 2, trace_columns.ADVANTAGE)
    edit(seat, tab, 1, "0.1")
    edited: dict[str, tuple[float, ...]] = {"u1-00": (0.9, 0.1)}
    assert tab.changed_scores == edited
    assert_shows(tab, own, edited)
    assert cell(tab, 1, trace_columns.ADVANTAGE) != before[0], "the group's other trace has another baseline"
    assert cell(tab, 2, trace_columns.ADVANTAGE) == before[1], "another problem's has not"
    tab.table.choose(0)
    assert step_cell(tab, 1, step_columns.SCORE) == "0.100 ✎"
    assert tab.told.text() == "1 score edited. 0 of 4 traces change sign of their mean advantage."
    tab.steps.setFocus()
    tab.steps.setCurrentIndex(tab.step_model.index(0, step_columns.TEXT))
    QTest.keyClick(tab.steps, Qt.Key.Key_F2)  # from any column
    type_score(seat, tab, "0.5")
    assert tab.changed_scores == {"u1-00": (0.5, 0.1)}
    for row in (0, 1):
        tab.steps.setCurrentIndex(tab.step_model.index(row, step_columns.SCORE))
        QTest.keyClick(tab.steps, Qt.Key.Key_Delete)
        settle(seat, tab)
    assert tab.changed_scores == {}
    assert tab.told.text() == "Every token has the advantage it was paid."
    tab.steps.edit_score(2)
    assert tab.steps.findChild(QDoubleSpinBox) is None, "what follows the last step has no score"


def _tokens_tell_what_they_were_paid(tab: RolloutsTab) -> None:
    tab.table.choose(0)
    index = tab.step_model.index(1, step_columns.TEXT)
    rect = tab.steps.visualRect(index)
    step = tab.step_model.step_at(1)
    assert step is not None
    strip = tab.steps.text_delegate.strip(rect.toRectF(), step)
    at = QPointF(strip.left + 1.5 * strip.width, strip.top + strip.height / 2).toPoint()
    event = QHelpEvent(QEvent.Type.ToolTip, at, tab.steps.viewport().mapToGlobal(at))
    QApplication.sendEvent(tab.steps.viewport(), event)
    assert QToolTip.text().startswith("Token 5 of 8 (id 104)\nadvantage paid +")
    assert "log-prob −1.0000" in QToolTip.text()
    QToolTip.hideText()


def _traces_are_sorted(tab: RolloutsTab) -> None:
    tab.table.choose(2)
    chosen = tab.table.current
    for column, attribute in ((trace_columns.STEPS, "step_ends"), (trace_columns.TOKENS, "tokens")):
        tab.table.sortByColumn(column, Qt.SortOrder.DescendingOrder)
        shown = [tab.model.trace_at(row) for row in range(4)]
        sizes = [len(getattr(one.trace, attribute)) for one in shown if one is not None]
        assert sizes == sorted(sizes, reverse=True)
        assert len(set(sizes)) > 1
        assert tab.table.current is chosen, "the chosen trace stays chosen"
    tab.table.sortByColumn(trace_columns.EARNED, Qt.SortOrder.AscendingOrder)
    earned = [float(cell(tab, row, trace_columns.EARNED)) for row in range(4)]
    assert earned == sorted(earned)
    QTest.keyClick(tab.table, Qt.Key.Key_Home, Qt.KeyboardModifier.ControlModifier)
    first = tab.table.current
    QTest.keyClick(tab.table, Qt.Key.Key_Down)
    assert tab.table.current is not first
    assert tab.step_model.credit is tab.table.current


def test_a_live_run_is_followed_but_not_away_from_an_edit(qtbot: QtBot, folder: Path) -> None:
    with Seat(qtbot, folder) as seat:
        page, tab = open_tab(seat)

        def news(update: int, *groups: Group) -> None:
            save_update(folder, UID, update, traces_of(*groups, mark=f"u{update}-"))
            assert page.panel.view is not None
            page.panel.update_run(page.panel.view, frozenset({RunTopic.PROGRESS}))
            settle(seat, tab)

        news(2, RIGHT)
        assert tab.bar.number.value() == 2
        assert tab.model.rowCount() == 2
        edit(seat, tab, 0, "0.3")
        news(3, RIGHT, SECOND)
        assert (tab.bar.number.value(), tab.bar.slider.maximum()) == (2, 3)
        assert tab.changed_scores == {"u2-00": (0.3, 0.95)}
        click(tab.form.reset)
        click(tab.bar.newest)
        settle(seat, tab)
        assert tab.bar.number.value() == 3
        assert tab.model.rowCount() == 4
        QTest.keyClick(tab.bar.slider, Qt.Key.Key_Home)
        settle(seat, tab)
        assert tab.bar.number.value() == 0
        assert "policy version 0" in tab.bar.about.text()
        news(4, RIGHT)
        assert tab.bar.number.value() == 0, "a chosen update stays"
        save_update(folder, UID, 0, traces_of(RIGHT, mark="again-"))  # a resumed run writes it anew
        news(5, RIGHT)
        assert tab.table.current is not None
        assert tab.table.current.trace.id.startswith("again-")


def test_what_is_not_there_is_told(qtbot: QtBot, folder: Path) -> None:
    none, ppo = "b" * 32, "c" * 32
    add_run(folder, none, spec_of(none, plain_rl()))
    add_run(folder, ppo, spec_of(ppo, plain_rl(process_weight=0.9)))
    save_update(folder, ppo, 0, traces_of(RIGHT))
    prm = "d" * 32
    add_run(folder, prm, RunSpec(run=prm, name="a prm", recipe="prm", parameters=parameters(PrmSpec(model="tiny"))))
    with Seat(qtbot, folder) as seat:
        page = train_page(seat)
        seat.wait(lambda: page.model.rowCount() == 4)
        ids = {view.uid: view.id for view in seat.context.jobs.runs()}
        page.table.choose(ids[prm])
        seat.wait(lambda: page.panel.view is not None and page.panel.view.id == ids[prm])
        assert not page.panel.tabs.isTabVisible(page.panel.tabs.indexOf(page.panel.rollouts)), "a PRM writes none"
        page.table.choose(ids[UID])
        seat.wait(lambda: page.panel.view is not None and page.panel.view.id == ids[UID])
        page, tab = open_tab(seat)
        page.table.choose(ids[none])
        seat.wait(lambda: tab.empty.title.text() == "This run kept no rollouts")
        assert tab.empty.isVisible()
        assert not tab.bar.isVisible()
        assert "Resume it" in tab.empty.hint.text()
        picture(seat.window, "train-rollouts-empty")
        page.table.choose(ids[ppo])
        seat.wait(lambda: tab.shown is not None)
        assert "Even the run's own settings give advantages up to" in tab.note.text()
        page.table.choose(ids[UID])
        seat.wait(lambda: tab.shown is not None and len(tab.shown.traces) == 4)
        torn = rollouts.path_of(folder / "runs" / UID, 0)
        torn.write_bytes(torn.read_bytes()[:50])
        tab.bar.number.setValue(0)
        seat.wait(lambda: tab.empty.title.text() == "These rollouts cannot be read")
        assert "00000000.msgpack" in tab.empty.hint.text()
        assert "resume the run" in tab.empty.hint.text()
        click(tab.bar.newest)
        seat.wait(lambda: tab.shown is not None and tab.table.isVisible())
        assert tab.bar.number.value() == 1
