"""A rating that cannot be saved stays visible as such, is tried again, and is never taken for saved."""

from __future__ import annotations

from collections.abc import Callable

from studio.store import annotations
from studio.store.annotations import Work
from studio.ui.widgets.step_model import Mark
from tests.e2e.seat import Seat


def refuse(seat: Seat, on: bool) -> None:
    """Let the database refuse every new entry of the history, as a full disk does, or take them again."""
    with seat.context.workspace.database.write() as c:
        if on:
            c.exec_driver_sql(
                "CREATE TRIGGER full_disk BEFORE INSERT ON history BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
            )
        else:
            c.exec_driver_sql("DROP TRIGGER full_disk")


def test_what_is_not_saved_says_so_until_a_retry_succeeds(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.wait_painted()
        trace = seat.work.trace.id
        refuse(seat, True)
        seat.press("3 1")
        seat.wait(lambda: [row.mark for row in seat.page.steps.rows[:2]] == [Mark.ERROR] * 2)
        assert seat.ratings() == [1, -1, None, None]  # the person's word stays on the screen
        assert "disk is full" in seat.page.steps.rows[0].trouble
        assert seat.page.header.saved.text() == "✕ 2 not saved"
        assert not seat.page.bar.submit.isEnabled()
        assert "not saved" in seat.page.bar.missing.text()
        seat.press("Ctrl+Z")  # nothing can be taken back while that is so
        assert "not saved" in seat.said()
        seat.picture("label light not saved")
        refuse(seat, False)
        seat.press("Ctrl+R")
        seat.wait(lambda: [row.mark for row in seat.page.steps.rows[:2]] == [Mark.DONE] * 2)
        seat.wait(lambda: seat.page.header.saved.text() == "✓ saved")
        key = Work(seat.page.desk.project.id, trace, seat.context.annotator.id)
        with seat.context.workspace.database.read() as c:
            found = annotations.current(c, key)
        assert found is not None
        assert [found.value(i) for i in range(4)] == [1, -1, None, None]
        assert seat.submit() != trace


def test_an_unsaved_trace_is_found_again_as_it_was_left(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.wait_painted()
        first = seat.work.trace.id
        refuse(seat, True)
        seat.press("3")
        seat.wait(lambda: seat.page.steps.rows[0].mark is Mark.ERROR)
        other = first + 1
        seat.page.show_trace(other, -1)
        seat.wait(lambda: seat.work.trace.id == other)
        seat.page.show_trace(first, -1)
        seat.wait(lambda: seat.work.trace.id == first)
        assert seat.ratings()[0] == 1
        seat.wait(lambda: seat.page.steps.rows[0].mark is Mark.ERROR)  # it is tried again every few seconds
        refuse(seat, False)
        seat.page.desk.retry()
        seat.wait(lambda: seat.page.steps.rows[0].mark is Mark.DONE)
