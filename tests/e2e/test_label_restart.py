"""A half-rated trace comes back where it was; undo and redo reach across submits and restarts."""

from __future__ import annotations

from collections.abc import Callable

from tests.e2e.seat import Seat


def test_a_half_rated_trace_comes_back_at_its_step(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.wait_painted()
        seat.press("3 1")
        half = seat.submit()
        seat.press("3 2 Up")
        seat.wait_saved()
    with sit_down() as seat:
        seat.wait_painted()
        assert seat.work.trace.id == half
        assert seat.ratings() == [1, 0, None, None]
        assert seat.work.current == 1  # moved up before closing


def test_undo_and_redo_reach_across_submits_and_a_restart(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.wait_painted()
        first = seat.work.trace.id
        seat.press("3 3 1")
        second = seat.submit()
        seat.press("2")
        seat.wait_saved()
    with sit_down() as seat:
        seat.wait_painted()
        assert seat.work.trace.id == second
        seat.press("Ctrl+Z")  # the rating of the second trace
        seat.wait(lambda: seat.ratings() == [None] * 4)
        seat.press("Ctrl+Z")  # the submit of the first
        seat.wait(lambda: seat.work.trace.id == first)
        seat.wait_painted()
        assert not seat.work.is_submitted
        assert "taken back: submit" in seat.said()
        assert seat.ratings() == [1, 1, -1, None]
        for left in ([1, 1, None, None], [1, None, None, None], [None] * 4):
            seat.press("Ctrl+Z")
            seat.wait(lambda left=left: seat.ratings() == left)
        seat.press("Ctrl+Z")
        seat.wait(lambda: "nothing to take back" in seat.said())
        for back in ([1, None, None, None], [1, 1, None, None], [1, 1, -1, None]):
            seat.press("Ctrl+Shift+Z")
            seat.wait(lambda back=back: seat.ratings() == back)
        seat.press("Ctrl+Shift+Z")
        seat.wait(lambda: seat.work.is_submitted)
        seat.press("Ctrl+Shift+Z")
        seat.wait(lambda: seat.work.trace.id == second)
        seat.wait(lambda: seat.ratings() == [0, None, None, None])


def test_a_submitted_trace_is_corrected_after_undo_and_submitted_again(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.wait_painted()
        first = seat.work.trace.id
        seat.press("3 1")
        seat.submit()
        seat.press("Ctrl+Z")
        seat.wait(lambda: seat.work.trace.id == first)
        seat.wait_painted()
        assert seat.work.current == 1  # at its negative step
        seat.press("3 3 1")
        assert seat.ratings() == [1, 1, 1, -1]
        seat.wait_saved()
        assert seat.submit() != first
