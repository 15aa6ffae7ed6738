"""Somebody changes steps, flags one, and sends one to be rated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtWidgets import QMenu

from studio.store import flags, projects
from studio.ui.actions import Page
from studio.ui.inspect.flags_panel import FlagsPanel
from studio.ui.inspect.page import InspectPage
from studio.ui.inspect.step_commands import SplitDialog
from tests.e2e.conversing import fill_talk
from tests.e2e.inspecting import go_to_inspect
from tests.e2e.seat import Seat
from trainer.reasoning.safety import Category


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "workspace"
    fill_talk(path)
    return path


def dialog_of(page: InspectPage) -> SplitDialog:
    return next(each for each in page.findChildren(SplitDialog) if each.isVisible())


def menu_of(seat: Seat, page: InspectPage, title: str) -> QMenu:
    def found() -> list[QMenu]:
        return [menu for menu in page.findChildren(QMenu) if menu.isVisible() and menu.title() == title]

    seat.wait(lambda: bool(found()))
    return found()[0]


def test_split_join_and_take_back(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        opened = page.shown
        assert opened is not None
        page.go(3)
        text = opened.trace.step_text(3)
        seat.context.actions.run("split_step")
        dialog = dialog_of(page)
        dialog.put(text.index("Let me check"))
        seat.picture("inspect split")
        dialog.ok.click()
        seat.wait(lambda: page.shown is not None and page.shown.count == opened.count + 1)
        assert page.shown is not None
        assert page.shown.trace.step_text(3) == text[: text.index("Let me check")].rstrip()
        assert page.shown.trace.step_text(4) == text[text.index("Let me check") :]
        assert page.step == 3
        seat.context.actions.run("join_step")
        seat.wait(lambda: page.shown is not None and page.shown.count == opened.count)
        assert page.shown.trace.step_text(3) == text
        seat.context.actions.run("undo_steps")
        seat.wait(lambda: page.shown is not None and page.shown.count == opened.count + 1)
        seat.context.actions.run("undo_steps")
        seat.wait(lambda: page.shown is not None and page.shown.count == opened.count)
        assert page.shown.trace.segmentation == opened.trace.segmentation
        seat.context.actions.run("undo_steps")
        seat.wait(lambda: "no edit to take back" in seat.window.status.currentMessage())
        seat.context.actions.run("steps_by_idea")
        seat.wait(lambda: page.shown is not None and page.shown.trace.segmentation != opened.trace.segmentation)
        assert page.shown.count > opened.count
        assert any(page.shown.trace.step_text(n).startswith("Let me check") for n in range(page.shown.count))
        (said,) = [
            fact.value
            for name, facts in page.evidence.facts()
            for fact in facts
            if (name, fact.name) == ("Trace", "steps")
        ]
        assert said == f"{page.shown.count} · cut by idea"
        seat.context.actions.run("undo_steps")
        seat.wait(lambda: page.shown is not None and page.shown.count == opened.count)


def test_a_flag_is_made_shown_and_found(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        page.go(2)
        seat.press("f", page.steps)
        panel = page.panels["Flags"]
        assert isinstance(panel, FlagsPanel)
        assert panel.dialog is not None
        panel.dialog.category.setCurrentIndex(panel.dialog.category.findData(Category.INCONSISTENCY))
        panel.dialog.yes.click()
        seat.wait(lambda: page.shown is not None and len(page.shown.flags) == 1)
        assert page.shown is not None
        with seat.context.workspace.database.read() as c:
            (flag,) = flags.of_trace(c, page.shown.trace.id)
        assert flag.quote == page.shown.trace.step_text(2)
        assert page.shown.marks.flagged.tolist() == [n == 2 for n in range(page.shown.count)]
        facts = dict(page.evidence.facts())
        assert facts["Flags"][0].span == (flag.start, flag.end)
        page.go(0)
        seat.context.actions.run("next_flag")
        assert page.step == 2
        page.evidence.spanChosen.emit(flag.start, flag.end)
        assert page.steps.text.marks == ((flag.start, flag.end),)
        seat.wait(lambda: page.steps.is_ready)
        seat.picture("inspect flag")


def test_a_step_is_sent_to_a_labelling_project(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        made = seat.context.workspace.database.run(lambda c: projects.create(c, "Second look"))
        page.go(2)
        assert page.shown is not None
        trace_id = page.shown.trace.id
        seat.press("e", page.steps)
        menu = menu_of(seat, page, "Send to the project")
        next(action for action in menu.actions() if action.text() == "Second look").trigger()
        menu.close()
        seat.wait(lambda: seat.context.actions.page is Page.LABEL)
        seat.wait(lambda: seat.page.work is not None and seat.page.work.trace.id == trace_id)
        with seat.context.workspace.database.read() as c:
            assert made.id in projects.of_trace(c, trace_id)


def test_a_problem_is_taken_to_play(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        assert page.shown is not None
        problem = page.shown.trace.problem
        seat.press("Shift+P", page.steps)
        assert seat.window.page is Page.PLAY
        play = seat.window.page_widget(Page.PLAY)
        seat.wait(play.isVisible)
        seat.wait(lambda: play.form.problem.toPlainText() == problem.prompt)
        assert play.form.reference.text() == (problem.reference_answer or "")
