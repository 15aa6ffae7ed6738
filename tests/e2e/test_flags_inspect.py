"""Flags on the Inspect page: checked at once, shown with their spans, confirmed, and made by a person."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtGui import QTextCursor
from pytestqt.qtbot import QtBot

from studio.store import flags, monitors
from studio.store.flags import FlagState
from studio.ui.inspect.flags_panel import FlagsPanel
from studio.ui.inspect.page import InspectPage
from tests.e2e import inspecting, monitoring
from tests.e2e.seat import Seat
from trainer.reasoning.safety import Category, Verdict


def open_panel(seat: Seat) -> tuple[InspectPage, FlagsPanel]:
    page = inspecting.go_to_inspect(seat)
    panel = page.show_panel("Flags")
    assert isinstance(panel, FlagsPanel)
    seat.wait(lambda: panel.known is not None)
    return page, panel


def test_a_trace_is_checked_at_once_and_its_quote_is_shown(qtbot: QtBot, tmp_path: Path) -> None:
    made = monitoring.fill(tmp_path / "w", count=2, checked=False)
    with Seat(qtbot, tmp_path / "w") as seat:
        seat.window.resize(1280, 820)
        page, panel = open_panel(seat)
        assert panel.verdict.text() == "not looked at"
        seat.press("c", on=page.steps)
        seat.wait(lambda: panel.known is not None and len(panel.known.flags) == 1)
        assert panel.known is not None
        assert panel.known.verdict is Verdict.REVIEW
        assert "review from 0.90" in panel.why.text()
        flag = panel.known.flags[0]
        assert page.shown is not None
        text = page.shown.trace.text
        assert flag.counterpart is not None
        assert (text[flag.start : flag.end], flag.counterpart.of(text)) == ("7", "9")
        seat.wait(lambda: page.shown is not None and bool(page.shown.marks.flagged.any()))
        shown: list[tuple[int, int]] = []
        panel.spanChosen.connect(lambda start, end: shown.append((start, end)))
        panel.list.setCurrentRow(0)
        panel.list.itemActivated.emit(panel.list.item(0))
        panel.other.click()
        assert shown == [(flag.start, flag.end), (flag.counterpart.start, flag.counterpart.end)]
        for theme in ("light", "dark"):
            seat.context.actions.run(f"theme_{theme}")
            seat.picture(f"inspect-flags-{theme}")
        seat.press("c", on=page.steps)
        seat.wait(lambda: "as before" in seat.said())
        with seat.context.workspace.database.read() as c:
            assert len(flags.of_trace(c, made[0])) == 1, "the same check writes nothing twice"
            assert len(monitors.scores(c, trace_id=made[0])) == 1
        panel.list.setCurrentRow(0)
        seat.press("y", on=page.steps)
        seat.wait(lambda: panel.chosen is not None and panel.chosen.state is FlagState.CONFIRMED)


def test_a_person_flags_the_words_of_a_step(qtbot: QtBot, tmp_path: Path) -> None:
    made = monitoring.fill(tmp_path / "w", count=2)
    with Seat(qtbot, tmp_path / "w") as seat:
        page, panel = open_panel(seat)
        page.go(0)
        seat.press("j", on=page.steps)
        assert page.step == 1
        seat.press("f", on=page.steps)
        dialog = panel.dialog
        assert dialog is not None
        words = dialog.words.toPlainText()
        assert words == "So she has 2 + 5 = 7 apples in the end."
        cursor = dialog.words.textCursor()
        cursor.setPosition(words.index("2 + 5"))
        cursor.setPosition(words.index("2 + 5") + 9, QTextCursor.MoveMode.KeepAnchor)
        dialog.words.setTextCursor(cursor)
        dialog.category.setCurrentIndex(dialog.category.findData(Category.SANDBAGGING))
        dialog.yes.click()
        seat.wait(lambda: panel.known is not None and len(panel.known.flags) == 2)
        with seat.context.workspace.database.read() as c:
            mine = [flag for flag in flags.of_trace(c, made[0]) if not flag.monitor]
        assert [(flag.quote, flag.category, flag.state) for flag in mine] == [
            ("2 + 5 = 7", Category.SANDBAGGING, FlagState.CONFIRMED)
        ]
        seat.context.actions.run("mark_clean")
        seat.wait(lambda: "is confirmed; reject that first" in seat.said())
