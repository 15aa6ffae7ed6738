"""Active time: simulated work, idleness and loss of focus."""

from __future__ import annotations

import random

import pytest

from studio.ui.label.clock import IDLE_S, ActiveClock


class Now:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def test_time_counts_only_with_focus() -> None:
    now = Now()
    clock = ActiveClock(now)
    now.time += 50
    assert clock.seconds == 0
    clock.focus(True)
    now.time += 7
    clock.focus(False)
    now.time += 500
    clock.focus(True)
    now.time += 3
    assert clock.seconds == pytest.approx(10)
    assert clock.take() == 10_000
    assert clock.seconds == 0


def test_idleness_counts_for_a_minute_at_most() -> None:
    now = Now()
    clock = ActiveClock(now)
    clock.focus(True)
    now.time += 3_600
    assert clock.seconds == IDLE_S
    clock.touch()
    now.time += 5
    assert clock.seconds == pytest.approx(IDLE_S + 5)


def test_a_day_of_work_is_summed_as_by_hand() -> None:
    chance, now, expected = random.Random(4), Now(), 0.0
    clock, focused = ActiveClock(now), False
    for _ in range(2_000):
        if chance.random() < 0.1:
            focused = not focused
            clock.focus(focused)
        gap = chance.expovariate(1 / 20)
        now.time += gap
        if focused:
            expected += min(gap, IDLE_S)
            clock.touch()
    clock.focus(False)
    assert clock.seconds == pytest.approx(expected, rel=1e-9)
