"""Giving up and bad problems ask for a reason; the end of the queue says so and shows a way on."""

from __future__ import annotations

from collections.abc import Callable

from studio.store import annotations
from studio.store.annotations import Work
from tests.e2e.seat import Seat
from trainer.contract.records import FinishReason


def test_giving_up_needs_a_reason_and_escape_leaves(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.wait_painted()
        first = seat.work.trace.id
        seat.press("G")
        panel = seat.page.panel
        assert panel.isVisible()
        seat.picture("label light give up")
        seat.press("Return", on=panel.line)  # no reason, nothing happens
        assert panel.isVisible()
        seat.press("Escape", on=panel.line)
        assert not panel.isVisible()
        assert seat.work.trace.id == first
        seat.press("G")
        panel.line.setText("needs a figure that is not there")
        seat.press("Return", on=panel.line)
        seat.wait(lambda: seat.work.trace.id != first)
        with seat.context.workspace.database.read() as c:
            found = annotations.current(c, Work(seat.page.desk.project.id, first, seat.context.annotator.id))
        assert found is not None
        assert found.finish_reason is FinishReason.GIVE_UP
        assert found.reason == "needs a figure that is not there"


def test_a_bad_problem_has_reasons_on_offer(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.wait_painted()
        first = seat.work.trace.id
        seat.press("3 B")
        offered = seat.page.panel.offers
        assert offered[0].text() == "refers to something missing"
        offered[2].click()
        seat.press("Return", on=seat.page.panel.line)
        seat.wait(lambda: seat.work.trace.id != first)
        with seat.context.workspace.database.read() as c:
            found = annotations.current(c, Work(seat.page.desk.project.id, first, seat.context.annotator.id))
        assert found is not None
        assert (found.finish_reason, found.reason) == (FinishReason.BAD_PROBLEM, "asks nothing definite")


def test_the_end_of_the_queue_shows_ways_on(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        for _ in range(3):
            seat.wait_painted()
            seat.press("1")
            last = seat.submit()
        assert last == 0
        assert seat.page.done.isVisible()
        assert seat.page.done.title.text() == "All done"
        seat.wait(lambda: "3 submitted today" in seat.page.done.today.text())
        seat.picture("label light all done")
        seat.press("Ctrl+Z", on=seat.window)  # and one can still take the last one back
        seat.wait_painted()
        assert seat.ratings() == [-1, None, None, None]
