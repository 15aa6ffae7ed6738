"""Rating a trace with keys alone: each step advances, correction in place, submit when all are rated."""

from __future__ import annotations

from collections.abc import Callable

from studio.store import annotations
from studio.store.annotations import Work
from tests.e2e.seat import Seat
from trainer.contract.records import FinishReason


def stored(seat: Seat, trace_id: int) -> annotations.Annotation:
    """What the database has of this annotator's work on a trace."""
    desk, person = seat.page.desk, seat.context.annotator.id
    with seat.context.workspace.database.read() as c:
        found = annotations.current(c, Work(desk.project.id, trace_id, person))
    assert found is not None
    return found


def test_a_trace_is_rated_with_one_key_a_step_and_submitted(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.wait_painted()
        first = seat.work.trace.id
        assert not seat.page.bar.submit.isEnabled()
        seat.press("3 3 2 3")
        assert seat.ratings() == [1, 1, 0, 1]
        seat.wait_saved()
        assert {row.mark.value for row in seat.page.steps.rows} == {"done"}
        assert seat.page.bar.submit.isEnabled()
        second = seat.submit()
        assert second != first
        annotation = stored(seat, first)
        assert annotation.finish_reason is FinishReason.SOLUTION
        assert [annotation.value(i) for i in range(4)] == [1, 1, 0, 1]
        seat.wait(lambda: "2 left" in seat.page.header.left.text())
        assert seat.page.header.today.text() == "1 today"


def test_the_first_negative_step_ends_the_trace(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.wait_painted()
        first = seat.work.trace.id
        seat.press("3 1")
        assert [row.ahead for row in seat.page.steps.rows] == [False, False, True, True]
        seat.press("Down 3")  # nothing behind the first negative is rated
        assert seat.ratings() == [1, -1, None, None]
        assert "submit" in seat.said()
        seat.submit()
        annotation = stored(seat, first)
        assert annotation.finish_reason is FinishReason.FOUND_ERROR
        assert [annotation.value(i) for i in range(4)] == [1, -1, None, None]


def test_a_rating_is_corrected_in_place(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.wait_painted()
        seat.press("3 3 Up Up")
        assert seat.work.current == 0
        seat.press("2")
        assert seat.ratings() == [0, 1, None, None]
        assert seat.work.current == 1
        seat.wait_saved()
        assert [stored(seat, seat.work.trace.id).value(i) for i in range(4)] == [0, 1, None, None]


def test_letters_and_the_numpad_rate_too_and_a_text_field_never_does(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.wait_painted()
        seat.press("D S")
        assert seat.ratings() == [1, 0, None, None]
        seat.press("C")
        assert seat.page.panel.isVisible()
        seat.press("1 2 3", on=seat.page.panel.line)
        assert seat.ratings() == [1, 0, None, None]
        assert seat.page.panel.line.text() == "123"
        seat.press("Return", on=seat.page.panel.line)
        seat.wait_saved()
        assert stored(seat, seat.work.trace.id).comment == "123"


def test_a_click_on_a_face_rates(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.wait_painted()
        seat.page.steps.rated.emit(0, seat.work.row(0).rating or 1)
        assert seat.ratings()[0] == 1
        seat.wait_saved()
        with seat.context.workspace.database.read() as c:
            assert annotations.timeline(c, stored(seat, seat.work.trace.id).id)[-1].device == "mouse"


def test_the_reference_is_noted_as_wrong_and_a_step_as_unsure(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.wait_painted()
        trace = seat.work.trace.id
        seat.press("R")
        assert seat.page.problem.noted.isVisible()
        seat.press("3 U")
        assert seat.page.steps.rows[1].unsure
        seat.wait_saved()
        seat.picture("label light rated")
    with sit_down() as seat:
        seat.wait_painted()
        assert seat.work.trace.id == trace
        assert seat.work.reference_wrong
        assert seat.page.steps.rows[1].unsure
