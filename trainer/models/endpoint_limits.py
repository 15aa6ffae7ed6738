"""How often a server may be asked: requests and tokens a minute, and how long to wait before another try."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MINUTE = 60.0
SLICE = 0.05  # seconds between two looks at `check` while waiting
LONGEST_ASKED = 600.0  # a server's own Retry-After is not obeyed beyond this


@dataclass(frozen=True, slots=True)
class Limits:
    """What a minute may hold; 0 = no limit. `parallel` requests stand open at once."""

    requests: int = 0
    tokens: int = 0
    parallel: int = 8


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a request is sent again, and how long is waited: `first` seconds, twice that, ... at most `longest`."""

    most: int = 5
    first: float = 1.0
    longest: float = 60.0

    def wait(self, tries: int, asked: float | None, draw: Callable[[], float] = random.random) -> float:
        """Seconds before the try after `tries`: half of it fixed and half drawn, but never less than the server asked.

        Raises ValueError when the server asks for longer than ten minutes.
        """
        if asked is not None and asked > LONGEST_ASKED:
            raise ValueError(f"the server asks to wait {asked:.0f} s, longer than {LONGEST_ASKED:.0f} s")
        own = min(self.longest, self.first * 2.0 ** (tries - 1))
        return max(own * (0.5 + 0.5 * draw()), asked or 0.0)


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds that a server's `retry-after-ms` or `Retry-After` (seconds, or a date) names; headers in lower case."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        given = headers.get(name, "").strip()
        try:
            seconds = float(given) * unit
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    try:
        until = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - (now or datetime.now(UTC))).total_seconds())


class Meter:
    """A window of one minute over requests and tokens, shared by the threads that ask."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._clock = limits, clock
        self._lock = threading.Lock()
        self._sent: deque[list[float]] = deque()  # [time, tokens]

    def room(self, tokens: int) -> tuple[float, list[float] | None]:
        """Take room for a request of about so many tokens: (0, its entry), or (seconds until there may be some, None).

        A request larger than a minute's tokens goes when the window is empty, so that it goes at all.
        """
        with self._lock:
            now = self._clock()
            while self._sent and now - self._sent[0][0] >= MINUTE:
                self._sent.popleft()
            limits = self._limits
            full = limits.requests and len(self._sent) >= limits.requests
            used = sum(entry[1] for entry in self._sent)
            crowded = limits.tokens and self._sent and used + tokens > limits.tokens
            if full or crowded:
                return max(self._sent[0][0] + MINUTE - now, 1e-3), None
            entry = [now, float(tokens)]
            self._sent.append(entry)
            return 0.0, entry

    def settle(self, entry: list[float], tokens: int) -> None:
        """Put what a request really used in the place of what was guessed."""
        with self._lock:
            entry[1] = float(tokens)

    def enter(self, tokens: int, check: Callable[[], None]) -> list[float]:
        """Wait for room; `check` may raise meanwhile."""
        while True:
            seconds, entry = self.room(tokens)
            if entry is not None:
                return entry
            pause(min(seconds, 1.0), check)


def pause(seconds: float, check: Callable[[], None]) -> None:
    """Wait, looking at `check`, which may raise."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        check()
        time.sleep(min(left, SLICE))
    check()
