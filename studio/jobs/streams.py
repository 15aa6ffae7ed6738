"""What is told of a request while it is answered: the end of a run's events read as it grows, and text put together."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from trainer.contract import events
from trainer.contract.events import Answered, Grew, Wrote
from trainer.contract.run_folder import STREAMED, complete_lines, file_number

TAIL = 1 << 16  # bytes: an answer to a request stands behind everything that was said before the request
ABOUT_REQUESTS = (f'{{"kind":"{Answered.__struct_config__.tag}"'.encode(), *STREAMED)


@dataclass(frozen=True, slots=True)
class Streamed:
    """Something that a run told of a request before it was answered. Delivered in a thread of the jobs.

    An event of a later attempt than the last begins anew: the worker was killed and writes the answer again.
    """

    request: str
    run_id: int
    event: Wrote | Grew


@dataclass(slots=True)
class Tail:
    """The end of a run's events, read for what concerns requests alone."""

    path: Path
    offset: int = field(init=False)
    due: float = 0.0
    _file: int = field(init=False)

    def __post_init__(self) -> None:
        self._file = file_number(self.path)
        size = self.path.stat().st_size if self.path.exists() else 0
        self.offset = max(0, size - TAIL)
        if self.offset:
            lines = complete_lines(self.path, self.offset)[0]
            self.offset += len(lines[0]) + 1 if lines else 0

    def read(self) -> list[Answered | Wrote | Grew]:
        """What was told of requests since the last call; in a file that took the other's place, from its beginning."""
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return []
        if found.st_ino != self._file:
            self._file, self.offset = found.st_ino, 0
        if found.st_size <= self.offset:
            return []
        lines, behind = complete_lines(self.path, self.offset)
        if file_number(self.path) != self._file:
            return []
        self.offset = behind
        said = [events.decoder.decode(line) for line in lines if line.startswith(ABOUT_REQUESTS)]
        return [event for event in said if isinstance(event, Answered | Wrote | Grew)]


@dataclass(slots=True)
class Growing:
    """A trace as far as it was told. `starts`, `logprobs` and `entropy` have one value a token, in nats."""

    text: str = ""
    part: str = ""
    starts: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    entropy: list[float] = field(default_factory=list)
    done: bool = False

    def take(self, event: Wrote) -> None:
        """New text; what is taken back goes first, with the tokens that began in it."""
        if event.dropped:
            self.text = self.text[: len(self.text) - event.dropped]
            while self.starts and self.starts[-1] >= len(self.text):
                for kept in (self.starts, self.logprobs, self.entropy):
                    kept.pop()
        self.text += event.text
        self.part, self.done = event.part, event.done
        self.starts += event.starts
        self.logprobs += event.logprobs
        self.entropy += event.entropy


@dataclass(slots=True)
class Transcript:
    """The traces of one request while they are written, by their number."""

    traces: dict[int, Growing] = field(default_factory=dict)
    attempt: int = 0

    def take(self, event: Wrote) -> Growing:
        """Add what was told; the trace as it is now."""
        if event.attempt != self.attempt:
            self.attempt = event.attempt
            self.traces.clear()
        growing = self.traces.setdefault(event.trace, Growing())
        growing.take(event)
        return growing
