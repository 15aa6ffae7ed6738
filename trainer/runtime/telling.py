"""What is written for a request is told while it is written: the first token at once, then every 30 ms."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trainer.contract import events
from trainer.contract.generated import SearchNode, Spent
from trainer.runtime.worker import Worker

if TYPE_CHECKING:
    from trainer.models.answering import Told

EVERY = 0.03  # seconds
REST = 0.001  # seconds that the worker rests when it has told the first token, so that it is painted before the next
DIGITS = 4  # of log-probs and entropies, which are told for looking at; the record holds them whole


@dataclass(slots=True)
class _Pending:
    """What of a trace waits to be told."""

    text: str = ""
    starts: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    entropy: list[float] = field(default_factory=list)
    part: str = ""
    dropped: int = 0
    done: bool = False

    def take(self, piece: Told) -> None:
        """Add a piece; what it takes back of this is as if it had never been."""
        own = min(piece.dropped, len(self.text))
        if own:
            self.text = self.text[: len(self.text) - own]
        self.dropped += piece.dropped - own
        self.text += piece.text
        self.part, self.done = piece.part, self.done or piece.done
        for kept in (self.starts, self.logprobs, self.entropy):
            del kept[max(0, len(kept) - piece.taken_back) :]
        self.starts += piece.starts
        self.logprobs += piece.logprobs
        self.entropy += piece.entropy


class Telling:
    """Says `Wrote` for the traces of one request."""

    def __init__(self, worker: Worker, request: str) -> None:
        self._worker, self._request = worker, request
        self._pending: dict[int, _Pending] = {}
        self._last = 0.0

    def hear(self, pieces: Sequence[Told]) -> None:
        """New text; told now when the last telling was a while ago."""
        for piece in pieces:
            self._pending.setdefault(piece.trace, _Pending()).take(piece)
        if time.monotonic() - self._last >= EVERY:
            self.flush()

    def flush(self) -> None:
        """Tell what waits."""
        is_first = not self._last
        for trace, waiting in sorted(self._pending.items()):
            self._worker.say(
                events.Wrote,
                request=self._request,
                trace=trace,
                text=waiting.text,
                starts=tuple(waiting.starts),
                logprobs=tuple(round(one, DIGITS) for one in waiting.logprobs),
                entropy=tuple(round(one, DIGITS) for one in waiting.entropy),
                part=waiting.part,
                dropped=waiting.dropped,
                done=waiting.done,
            )
        self._pending.clear()
        if is_first:
            time.sleep(REST)
        self._last = time.monotonic()


class GrowthTelling:
    """Says `Grew` for the search of one request."""

    def __init__(self, worker: Worker, request: str) -> None:
        self._worker, self._request = worker, request
        self._nodes: dict[int, SearchNode] = {}
        self._spent = Spent()
        self._last = 0.0

    def hear(self, nodes: dict[int, SearchNode], spent: Spent) -> None:
        """Nodes that are new or changed; told now when the last telling was a while ago."""
        self._nodes |= nodes
        self._spent = spent
        if time.monotonic() - self._last >= EVERY:
            self.flush()

    def flush(self) -> None:
        """Tell what waits."""
        if self._nodes:
            self._worker.say(events.Grew, request=self._request, nodes=self._nodes, spent=self._spent)
            self._nodes = {}
        self._last = time.monotonic()
