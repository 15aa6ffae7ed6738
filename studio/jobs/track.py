"""What one run has said so far: its events folded into curves, examples, notices and progress, read piece by piece."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from studio.jobs.values import Curve, Example, RunNotice, RunTopic
from trainer.contract import events
from trainer.contract.run_folder import STREAMED, RunFolder, complete_lines, file_number
from trainer.reasoning.alarms import ALARM

PIECE = 1 << 18
"""Bytes of one reading: 256 KiB are decoded in a few milliseconds, so that other threads stay quick."""
MOST_EXAMPLES = 200
MOST_NOTICES = 2000


class Series:
    """Points of one figure in arrays that grow by doubling. Steps rise strictly; a repeated step replaces."""

    def __init__(self) -> None:
        self._steps: NDArray[np.int64] = np.empty(64, dtype=np.int64)
        self._values: NDArray[np.float64] = np.empty(64, dtype=np.float64)
        self._size = 0

    def add(self, step: int, value: float) -> None:
        """Append a point; points at this step and beyond, of an attempt before, go."""
        if self._size and step <= self._steps[self._size - 1]:
            self.cut(step - 1)
        if self._size == len(self._steps):
            self._steps = np.concatenate([self._steps, np.empty_like(self._steps)])
            self._values = np.concatenate([self._values, np.empty_like(self._values)])
        self._steps[self._size], self._values[self._size] = step, value
        self._size += 1

    def cut(self, last: int) -> None:
        """Drop the points beyond step `last`. Curves that were handed out keep theirs."""
        size = int(np.searchsorted(self._steps[: self._size], last, side="right"))
        if size < self._size:
            self._steps, self._values, self._size = self._steps.copy(), self._values.copy(), size

    def curve(self) -> Curve:
        """The points so far, read-only, without a copy."""
        steps, values = self._steps[: self._size], self._values[: self._size]
        steps.flags.writeable = values.flags.writeable = False
        return Curve(steps, values)


class Track:
    """The folded events of one run folder. `read` belongs to one thread; the rest may be asked by any."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.attempt = 0
        self.begun = False  # the newest attempt has its model and rows
        self.ended: events.Ended | None = None  # the last word of the newest attempt
        self.progress: events.Progress | None = None
        self.last_at = 0.0  # Unix time of the newest event
        self.last_metrics: dict[str, float] = {}
        self.alarm = ""  # what the newest alarm of the newest attempt said
        self.at_end = False
        self.offset = 0
        self._file = 0
        self._sequence = 0
        self._series: dict[str, Series] = {}
        self._examples: dict[str, Example] = {}
        self._notices: list[RunNotice] = []

    def read(self, limit: int = PIECE) -> frozenset[RunTopic]:
        """Take in what was appended, at most about `limit` bytes; what changed. `at_end`: nothing more is there."""
        file = file_number(self.folder.events)
        if file != self._file:  # a run that stays begins an attempt with a smaller file; what is known is passed over
            self._file, self.offset = file, 0
        lines, behind = complete_lines(self.folder.events, self.offset, limit)
        if file_number(self.folder.events) != file:
            self.at_end = False
            return frozenset()
        self.at_end = behind - self.offset < limit // 2
        self.offset = behind
        topics: set[RunTopic] = set()
        for line in lines:
            if line.strip() and not line.startswith(STREAMED):
                topics |= self._take(line)
        return frozenset(topics)

    def read_all(self) -> None:
        """Take in everything that is there."""
        self.read()
        while not self.at_end:
            self.read()

    def curves(self) -> dict[str, Curve]:
        """Every figure by name, in the order in which they were first heard of."""
        return {name: series.curve() for name, series in list(self._series.items())}

    def examples(self) -> tuple[Example, ...]:
        """The newest example of each row."""
        return tuple(self._examples.values())

    def notices(self) -> tuple[RunNotice, ...]:
        """Notices, oldest first."""
        return tuple(self._notices)

    def _take(self, line: bytes) -> set[RunTopic]:
        try:
            event = events.decoder.decode(line)
        except msgspec.MsgspecError as error:
            text = f"{self.folder.events} has a line that is no event: {error}"
            self._note(RunNotice("error", "unreadable event", text, 0, self.last_at))
            return {RunTopic.NOTICES}
        if event.attempt < self.attempt or (event.attempt == self.attempt and event.sequence <= self._sequence):
            return set()
        topics: set[RunTopic] = set()
        if event.attempt > self.attempt:
            self.attempt, self.begun, self.ended, self.alarm = event.attempt, False, None, ""
            topics.add(RunTopic.STATE)
        self._sequence = event.sequence
        self.last_at = max(self.last_at, event.at)
        return topics | _HANDLERS[type(event)](self, event)

    def _note(self, notice: RunNotice) -> None:
        self._notices = [*self._notices, notice][-MOST_NOTICES:]

    def _on_started(self, _event: events.Started) -> set[RunTopic]:
        self.begun = True
        return {RunTopic.STATE}

    def _on_progress(self, event: events.Progress) -> set[RunTopic]:
        self.progress = event
        return {RunTopic.PROGRESS}

    def _on_metrics(self, event: events.Metrics) -> set[RunTopic]:
        named = {f"{event.split}/{name}": value for name, value in event.values.items()}
        for name, value in named.items():
            self._series.setdefault(name, Series()).add(event.step, value)
        self.last_metrics = self.last_metrics | named
        return {RunTopic.CURVES, RunTopic.PROGRESS}

    def _on_example(self, event: events.Example) -> set[RunTopic]:
        example = Example(event.row, event.step, event.problem, event.steps, event.scores, event.targets)
        kept = self._examples | {event.row: example}
        while len(kept) > MOST_EXAMPLES:
            del kept[next(iter(kept))]
        self._examples = kept
        return {RunTopic.EXAMPLES}

    def _on_checkpoint(self, _event: events.Checkpoint) -> set[RunTopic]:
        return set()

    def _on_notice(self, event: events.Notice) -> set[RunTopic]:
        self._note(RunNotice(event.level.value, event.code, event.message, event.step, event.at, event.counts))
        if event.code.startswith(ALARM):
            self.alarm = event.message
        return {RunTopic.NOTICES}

    def _on_resumed(self, event: events.Resumed) -> set[RunTopic]:
        """Events of older attempts beyond the step from which this one goes on no longer count."""
        for series in self._series.values():
            series.cut(event.from_step)
        curves = self.curves()
        self.last_metrics = {name: float(curve.values[-1]) for name, curve in curves.items() if len(curve.values)}
        self._examples = {row: each for row, each in self._examples.items() if each.step <= event.from_step}
        self._notices = [each for each in self._notices if each.step <= event.from_step]
        return {RunTopic.CURVES, RunTopic.EXAMPLES, RunTopic.NOTICES, RunTopic.PROGRESS}

    def _on_answered(self, _event: events.Answered) -> set[RunTopic]:
        return {RunTopic.PROGRESS}

    def _on_ended(self, event: events.Ended) -> set[RunTopic]:
        self.ended = event
        return {RunTopic.STATE}


_HANDLERS: dict[type, Callable[..., set[RunTopic]]] = {
    events.Started: Track._on_started,
    events.Progress: Track._on_progress,
    events.Metrics: Track._on_metrics,
    events.Example: Track._on_example,
    events.Checkpoint: Track._on_checkpoint,
    events.Notice: Track._on_notice,
    events.Resumed: Track._on_resumed,
    events.Answered: Track._on_answered,
    events.Ended: Track._on_ended,
}
