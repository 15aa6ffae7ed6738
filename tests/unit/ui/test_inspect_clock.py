"""The clock of a replay: by times, by tokens, or assumed; the player on it."""

from __future__ import annotations

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from studio.store.conversations import Budget, Turn, budget_of
from studio.ui.inspect.budget_bar import budget_words
from studio.ui.inspect.clock import CHARACTERS_A_TOKEN, TOKENS_A_SECOND, Clock, ClockKind, clock_of
from studio.ui.inspect.cursor import Cursor
from studio.ui.inspect.player import SPEEDS, Player
from studio.ui.inspect.structure import Structure, structure
from studio.ui.inspect.timeline import first_token
from trainer.contract.records import Block, BlockKind, Step

TEXT = "ab" * 50
NO_STARTS = np.array([0], np.int64)


def turn(at: str = "", until: str = "") -> Turn:
    return Turn("assistant", (), at=at, until=until)


def test_without_times_and_tokens_the_time_is_assumed_and_says_so() -> None:
    clock = clock_of(100, (turn(),), NO_STARTS, None)
    assert clock.kind is ClockKind.ASSUMED
    assert clock.length == pytest.approx(100 / CHARACTERS_A_TOKEN / TOKENS_A_SECOND)
    assert clock.point_at(clock.length / 2) == 50


def test_tokens_take_equal_time() -> None:
    starts = np.array([0, 1, 50, 51], np.int64)
    clock = clock_of(100, (turn(),), NO_STARTS, starts)
    assert clock.kind is ClockKind.TOKENS
    assert [clock.time_at(int(start)) for start in starts] == pytest.approx([k / TOKENS_A_SECOND for k in range(4)])
    assert clock.length == pytest.approx(4 / TOKENS_A_SECOND)


def test_the_sources_own_times_count_and_what_lies_between_turns_is_a_wait() -> None:
    turns = (
        turn("2026-01-01T10:00:00Z", "2026-01-01T10:00:10Z"),
        turn("2026-01-01T10:00:40+00:00", "2026-01-01T10:01:00"),
    )
    clock = clock_of(100, turns, np.array([0, 60], np.int64), None)
    assert clock.kind is ClockKind.TIMESTAMPS
    assert (clock.time_at(0), clock.time_at(30), clock.time_at(80), clock.length) == pytest.approx((0, 5, 50, 60))
    assert [(wait.start, wait.end) for wait in clock.waits] == [(10, 40)]
    assert clock.point_at(25) == 60


def test_within_a_turn_time_follows_the_tokens() -> None:
    turns = (turn("2026-01-01T10:00:00Z", "2026-01-01T10:00:30Z"),)
    clock = clock_of(100, turns, NO_STARTS, np.array([0, 10, 90], np.int64))
    assert [clock.time_at(point) for point in (0, 10, 90, 100)] == pytest.approx([0, 10, 20, 30])


def test_times_that_run_backwards_or_are_no_times_do_no_harm() -> None:
    backwards = (turn("2026-01-01T10:00:10Z"), turn("2026-01-01T10:00:05Z"), turn("2026-01-01T10:00:30Z"))
    clock = clock_of(90, backwards, np.array([0, 30, 60], np.int64), None)
    assert np.all(np.diff(clock.seconds) >= 0)
    assert clock_of(90, (turn("yesterday"),), NO_STARTS, None).kind is ClockKind.ASSUMED


def lined(text: str = TEXT) -> Structure:
    turns = (Turn("assistant", (Block(BlockKind.ANSWER, 0, len(text)),)),)
    return structure(text, turns, [Step(k, k * 10, k * 10 + 10) for k in range(len(text) // 10)])


class Wall:
    """A clock on the wall that a test turns."""

    def __init__(self) -> None:
        self.second = 100.0

    def __call__(self) -> float:
        return self.second


def ready(clock: Clock | None = None) -> tuple[Cursor, Player, Wall]:
    cursor, wall = Cursor(), Wall()
    player = Player(cursor, now=wall)
    cursor.open(lined(), None)
    player.open(clock or clock_of(len(TEXT), (turn(),), NO_STARTS, None), len(TEXT))
    return cursor, player, wall


@pytest.mark.parametrize("speed", SPEEDS)
def test_it_plays_at_its_pace_and_the_place_is_exact(qtbot: QtBot, speed: float) -> None:
    cursor, player, wall = ready(Clock(ClockKind.TOKENS, np.array([0, 100]), np.array([0.0, 1000.0])))
    player.set_speed(speed)
    player.play()
    for _ in range(20):
        wall.second += 0.25
        player.tick()
        assert cursor.position.point == int((wall.second - 100.0) * speed / 10 + 1e-9)
        assert cursor.position.step == cursor.position.point // 10
    player.pause()
    assert not player.playing


def test_whoever_moves_the_cursor_moves_the_replay_and_it_stops_at_the_end(qtbot: QtBot) -> None:
    cursor, player, wall = ready()
    assert player.clock is not None
    cursor.go_step(5)
    assert player.second == pytest.approx(player.clock.time_at(50))
    player.play()
    wall.second += 1_000
    player.tick()
    assert cursor.position.point == len(TEXT)
    assert not player.playing
    player.toggle()
    assert player.playing
    assert cursor.position.point == 0


def test_a_long_wait_is_passed_over(qtbot: QtBot) -> None:
    turns = (
        turn("2026-01-01T10:00:00Z", "2026-01-01T10:00:01Z"),
        turn("2026-01-01T12:00:00Z", "2026-01-01T12:00:10Z"),
    )
    cursor, player, wall = ready(clock_of(100, turns, np.array([0, 50], np.int64), None))
    player.play()
    for _ in range(40):
        wall.second += 0.1
        player.tick()
    assert cursor.position.point > 50
    with pytest.raises(ValueError, match=r"one of 0\.5, 1"):
        player.set_speed(3)


def test_a_budget_says_what_is_known_and_what_does_not_add_up() -> None:
    assert budget_words(Budget()) == "budget: the source says nothing"
    said = {"granted": 9000, "used": 7412, "thinking": 7200, "thinking_granted": 8000, "answer": 212, "ended": "stop"}
    budget = budget_of(said)
    assert budget_words(budget) == "thinking 7,200/8,000, answer 212 tokens · closed itself"
    assert budget.mismatch == ""
    assert "source counts 8,000" in budget_of({**said, "used": 8000}).mismatch
    assert not budget_of({"used": float("nan"), "granted": -3, "answer": True}).is_known


def test_the_first_token_is_waited_for_where_the_source_says_when_it_came() -> None:
    day = "2026-01-01T10:00:"
    said = Turn("assistant", (), at=f"{day}00Z", until=f"{day}10Z", first=f"{day}02.500Z")
    late = Turn("assistant", (), at=f"{day}20Z", until=f"{day}30Z", first=f"{day}31Z")  # after the end: not believed
    clock = clock_of(100, (said, late), np.array([0, 50], np.int64), None)
    assert clock.first_tokens == (2.5,)
    assert [(wait.start, wait.end) for wait in clock.waits] == [(0, 2.5), (10, 20)]
    assert clock.point_at(1.25) == 0
    assert clock.time_at(25) == pytest.approx(2.5 + 7.5 / 2)
    assert first_token(clock) == "first token after 2.50 s"
    assert first_token(clock_of(100, (turn(),), NO_STARTS, None)) == ""
