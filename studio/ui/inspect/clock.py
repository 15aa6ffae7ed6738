"""The time of a trace: where in it the replay stands after so many seconds, and what that time rests on. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from studio.store.conversations import Turn

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
TOKENS_A_SECOND = 40.0  # of a replay whose source has no times
CHARACTERS_A_TOKEN = 4.0  # where the source has no tokens either


class ClockKind(StrEnum):
    """What the time rests on."""

    TIMESTAMPS = "timestamps"
    TOKENS = "tokens"
    ASSUMED = "assumed"


@dataclass(frozen=True, slots=True)
class Wait:
    """Seconds in which nothing was written, between two turns."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Clock:
    """A rising line through (code point, second). Equal neighbouring code points are a wait."""

    kind: ClockKind
    points: Ints
    seconds: Floats
    waits: tuple[Wait, ...] = ()
    first_tokens: tuple[float, ...] = ()  # seconds from asking to the first token, of each turn that says so

    @property
    def length(self) -> float:
        """Seconds of the whole trace."""
        return float(self.seconds[-1]) if len(self.seconds) else 0.0

    @property
    def words(self) -> str:
        """What the time rests on, for a person."""
        return {
            ClockKind.TIMESTAMPS: "the source's own times; within a turn spread evenly",
            ClockKind.TOKENS: f"{TOKENS_A_SECOND:g} tokens a second: the source has tokens but no times",
            ClockKind.ASSUMED: (
                f"{CHARACTERS_A_TOKEN:g} characters a token, {TOKENS_A_SECOND:g} tokens a second: "
                "the source has neither times nor tokens"
            ),
        }[self.kind]

    def time_at(self, point: int) -> float:
        """When a code point is reached."""
        return float(np.interp(point, self.points, self.seconds)) if len(self.points) else 0.0

    def point_at(self, second: float) -> int:
        """The code point that is reached after so many seconds."""
        return int(np.interp(second, self.seconds, self.points)) if len(self.points) else 0


def clock_of(length: int, turns: Sequence[Turn], starts: Ints, token_starts: Ints | None) -> Clock:
    """The clock of a text of `length` code points whose turns begin at `starts` [turns]."""
    spread = _spread(length, token_starts)
    timed = _timed(length, turns, starts, spread)
    if timed is not None:
        return timed
    kind = ClockKind.ASSUMED if token_starts is None or not len(token_starts) else ClockKind.TOKENS
    return Clock(kind, spread.points, spread.seconds)


def _spread(length: int, token_starts: Ints | None) -> Clock:
    """Even time: a token is as long as another, or without tokens a character."""
    if token_starts is None or not len(token_starts):
        whole = length / CHARACTERS_A_TOKEN / TOKENS_A_SECOND
        return Clock(ClockKind.ASSUMED, np.array([0, length], np.int64), np.array([0.0, whole]))
    before = int(token_starts[0]) / CHARACTERS_A_TOKEN / TOKENS_A_SECOND  # the prompt, whose tokens nobody counted
    points = np.concatenate([[0], token_starts, [length]]).astype(np.int64)
    seconds = before + np.arange(len(token_starts) + 1) / TOKENS_A_SECOND
    return Clock(ClockKind.TOKENS, points, np.concatenate([[0.0], seconds]))


def _timed(length: int, turns: Sequence[Turn], starts: Ints, spread: Clock) -> Clock | None:
    """By the turns' own times, if there are at least two different ones."""
    known: list[tuple[int, float]] = []
    waits: list[Wait] = []
    firsts: list[float] = []
    for number, turn in enumerate(turns):
        at, until = _second(turn.at), _second(turn.until)
        end = int(starts[number + 1]) if number + 1 < len(starts) else length
        if at is not None:
            if known and known[-1][0] == starts[number] and at > known[-1][1]:
                waits.append(Wait(known[-1][1], at))
            known.append((int(starts[number]), at))
        first = _second(turn.first)
        if first is not None and at is not None and at < first and (until is None or first <= until):
            waits.append(Wait(at, first))
            firsts.append(first - at)
            known.append((int(starts[number]), first))
        if until is not None:
            known.append((end, until))
    if len({second for _, second in known}) < 2:
        return None
    origin = known[0][1]
    rising = np.maximum.accumulate(np.array([second - origin for _, second in known]))
    points, seconds = [0], [0.0]
    if known[0][0] == 0:
        points, seconds = [], []
    for (point, _), risen in zip(known, rising, strict=True):
        points.append(point)
        seconds.append(float(risen))
    if points[-1] < length:  # nobody said when the last turn ended: as fast as the rest
        points.append(length)
        seconds.append(seconds[-1] + _rest(points[-2], length, points, seconds))
    shape = _refined(points, seconds, spread)
    moved = tuple(Wait(max(0.0, wait.start - origin), wait.end - origin) for wait in waits)
    return Clock(ClockKind.TIMESTAMPS, shape.points, shape.seconds, moved, tuple(firsts))


def _rest(start: int, end: int, points: list[int], seconds: list[float]) -> float:
    pace = seconds[-1] / max(1, points[-2])
    return max((end - start) * pace, (end - start) / CHARACTERS_A_TOKEN / TOKENS_A_SECOND * 0.05)


def _refined(points: list[int], seconds: list[float], spread: Clock) -> Clock:
    """Between two known times the even time of the tokens, stretched to fit."""
    out_points: list[Ints] = []
    out_seconds: list[Floats] = []
    for (p, s), (q, t) in pairwise(zip(points, seconds, strict=True)):
        first, last = np.searchsorted(spread.points, p, side="right"), np.searchsorted(spread.points, q, side="left")
        inside = spread.points[first : max(first, last)]
        even = np.interp(np.concatenate([[p], inside, [q]]), spread.points, spread.seconds)
        whole = even[-1] - even[0]
        share = (even - even[0]) / whole if whole > 0 else np.linspace(0.0, 1.0, len(even))
        out_points.append(np.concatenate([[p], inside, [q]]).astype(np.int64))
        out_seconds.append(s + share * (t - s))
    return Clock(ClockKind.TIMESTAMPS, np.concatenate(out_points), np.concatenate(out_seconds))


def _second(said: str) -> float | None:
    """ISO-8601 text as seconds; without a zone it is UTC."""
    if not said:
        return None
    try:
        moment = datetime.fromisoformat(said)
    except ValueError:
        return None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
