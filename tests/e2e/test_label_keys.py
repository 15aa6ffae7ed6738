"""Keys that must not count: held down, or pressed before the new trace can be seen."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QCoreApplication, QEvent, Qt
from PySide6.QtGui import QKeyEvent

from tests.e2e.seat import Seat


def hold(seat: Seat, key: Qt.Key, text: str, times: int) -> None:
    """What Qt delivers while a key is held: one press, then repeated ones."""
    for number in range(times + 1):
        event = QKeyEvent(QEvent.Type.KeyPress, key, Qt.KeyboardModifier.NoModifier, text, number > 0)
        QCoreApplication.sendEvent(seat.page.steps, event)


def test_a_key_held_down_rates_one_step(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.wait_painted()
        hold(seat, Qt.Key.Key_3, "3", 12)
        assert seat.ratings() == [1, None, None, None]
        hold(seat, Qt.Key.Key_Down, "", 5)  # moving may repeat
        assert seat.work.current == 3


def test_keys_before_the_new_trace_is_painted_are_dropped_with_a_blink(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.wait_painted()
        first = seat.work.trace.id
        seat.press("3 1 Return")
        assert not seat.page.is_painted
        seat.press("3 3 1")  # meant for a trace that nobody has seen
        assert seat.page.header.is_blinking
        seat.wait(lambda: seat.work.trace.id != first)
        seat.wait_painted()
        assert seat.ratings() == [None] * 4
        seat.press("3")
        assert seat.ratings() == [1, None, None, None]
