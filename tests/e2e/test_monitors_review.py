"""The review queue, worked by keyboard: evidence side by side, decisions that can be taken back."""

from __future__ import annotations

import time
from pathlib import Path

from pytestqt.qtbot import QtBot

from studio.store import flags
from studio.store.flags import FlagState
from studio.ui.evaluate.review_tab import ReviewTab
from tests.e2e import monitoring
from tests.e2e.seat import Seat


def open_queue(seat: Seat) -> ReviewTab:
    page = monitoring.go_to_evaluate(seat)
    seat.context.actions.run("show_review")
    seat.wait(lambda: page.review.is_shown)
    return page.review


def decide(seat: Seat, tab: ReviewTab, key: str) -> int:
    flag = tab.flag
    assert flag is not None
    seat.press(key, on=tab)
    seat.wait(lambda: tab.flag is None or (tab.flag.id != flag.id and tab.is_shown))
    return flag.id


def state_of(seat: Seat, flag_id: int) -> FlagState:
    seat.wait_saved()
    with seat.context.workspace.database.read() as c:
        return flags.get(c, flag_id).state


def test_flags_are_decided_by_key_with_both_spans_in_view(qtbot: QtBot, tmp_path: Path) -> None:
    monitoring.fill(tmp_path / "w", count=80)
    with Seat(qtbot, tmp_path / "w") as seat:
        seat.window.resize(1280, 820)
        tab = open_queue(seat)
        assert tab.flag is not None
        assert tab.view.case is not None
        assert tab.view.second.isVisible()
        assert (tab.view.first.quoted, tab.view.second.quoted) == ("7", "9")
        assert tab.view.first.box.toPlainText().count("So she has 2 + 5 = 7 apples in the end.") == 1
        for theme in ("light", "dark"):
            seat.context.actions.run(f"theme_{theme}")
            seat.picture(f"review-{theme}")
        seat.press("e", on=tab)
        seat.qtbot.keyClicks(tab.reason, "cur")
        assert tab.reason.text() == "cur", "letters go to the field and decide nothing"
        seat.press("Return", on=tab.reason)
        first = decide(seat, tab, "c")
        second, third = decide(seat, tab, "r"), decide(seat, tab, "u")
        decided = [state_of(seat, one) for one in (first, second, third)]
        assert decided == [FlagState.CONFIRMED, FlagState.REJECTED, FlagState.UNSURE]
        with seat.context.workspace.database.read() as c:
            assert flags.get(c, first).reason == "cur"
        seat.press("Ctrl+z", on=tab)
        seat.wait(lambda: tab.flag is not None and tab.flag.id == third)
        assert state_of(seat, third) is FlagState.OPEN
        began = time.monotonic()
        taken = [decide(seat, tab, "c" if number % 2 else "r") for number in range(30)]
        took = time.monotonic() - began
        print(f"30 decisions in {took:.1f} s, {30 / took * 60:.0f} a minute")
        assert len(set(taken)) == 30
        seat.wait_saved()
        seat.wait(lambda: tab.teach.text() == "Learn from 32 new labels…")


def test_a_queue_that_is_worked_off_says_so_and_others_open(qtbot: QtBot, tmp_path: Path) -> None:
    monitoring.fill(tmp_path / "w", count=4)
    with Seat(qtbot, tmp_path / "w") as seat:
        tab = open_queue(seat)
        rejected = decide(seat, tab, "r")
        decide(seat, tab, "c")
        seat.wait(lambda: tab.empty.isVisible() and tab.counts.text().startswith("0 open"))
        tab.state.setCurrentIndex(tab.state.findText("Rejected"))
        seat.wait(lambda: tab.is_shown and tab.flag is not None and tab.flag.id == rejected)
        assert tab.said.text() == "rejected"
