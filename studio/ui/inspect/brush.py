"""A stretch of the trace that somebody chose, and its figures: steps, tokens, seconds, scores, flags. No widget."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QObject, Signal

from studio.store.flags import FlagState
from studio.ui.inspect.opened import LOW, Opened
from studio.ui.widgets.parts import duration, plural


@dataclass(frozen=True, slots=True)
class Stretch:
    """Steps `first` to `last`, both in it."""

    first: int
    last: int

    @property
    def count(self) -> int:
        """How many steps."""
        return self.last - self.first + 1

    def __str__(self) -> str:
        """For a person: "steps 3–5"."""
        if self.count == 1:
            return f"step {self.first + 1:,}"
        return f"steps {self.first + 1:,}–{self.last + 1:,}"


@dataclass(frozen=True, slots=True)
class Figures:
    """What is known of a stretch; None where the source or the scorers do not say."""

    steps: int
    characters: int
    tokens: int | None
    seconds: float
    clock: str
    mean: float | None
    lowest: float | None
    lowest_step: int | None
    low: int
    flags: int
    negative: int

    def __str__(self) -> str:
        """One line for a person."""
        parts = [plural(self.steps, "step")]
        parts.append(plural(self.characters, "character") if self.tokens is None else plural(self.tokens, "token"))
        parts.append(f"{duration(self.seconds)} ({self.clock})")
        if self.mean is not None and self.lowest is not None and self.lowest_step is not None:
            parts.append(f"mean score {self.mean:.2f}, lowest {self.lowest:.2f} at step {self.lowest_step + 1}")
            parts.append(f"{self.low:,} below {LOW:g}")
        parts += [f"{self.negative:,} rated negative"] if self.negative else []
        parts.append(plural(self.flags, "flag"))
        return " · ".join(parts)


def span_of(opened: Opened, stretch: Stretch) -> tuple[int, int]:
    """The code points of a stretch."""
    shape = opened.structure
    return int(shape.step_starts[stretch.first]), int(shape.step_ends[stretch.last])


def seconds_of(opened: Opened, stretch: Stretch) -> tuple[float, float]:
    """When a stretch begins and ends on the trace's clock."""
    start, end = span_of(opened, stretch)
    return opened.clock.time_at(start), opened.clock.time_at(end)


def figures(opened: Opened, stretch: Stretch) -> Figures:
    """The figures of a stretch; scores are the first scorer's, flags those that nobody rejected."""
    start, end = span_of(opened, stretch)
    begins, ends = seconds_of(opened, stretch)
    here = slice(stretch.first, stretch.last + 1)
    score, standing = opened.marks.score[here], opened.marks.standing[here]
    known = ~np.isnan(score)
    place = int(np.nanargmin(score)) if known.any() else None
    starts = opened.token_starts
    tokens = None if starts is None else int(np.searchsorted(starts, end) - np.searchsorted(starts, start))
    return Figures(
        steps=stretch.count,
        characters=end - start,
        tokens=tokens,
        seconds=ends - begins,
        clock=opened.clock.kind.value,
        mean=float(score[known].mean(dtype=np.float64)) if known.any() else None,
        lowest=None if place is None else float(score[place]),
        lowest_step=None if place is None else stretch.first + place,
        low=int((score[known] < LOW).sum()),
        flags=sum(f.state is not FlagState.REJECTED and f.start < end and start < f.end for f in opened.flags),
        negative=int((standing == -1).sum()),
    )


class Brush(QObject):
    """Which stretch is chosen; whoever chooses it, all hear of it.

    Signals:
        changed(Stretch | None): another stretch, or none.
    """

    changed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._opened: Opened | None = None
        self._stretch: Stretch | None = None

    @property
    def stretch(self) -> Stretch | None:
        """What is chosen."""
        return self._stretch

    @property
    def opened(self) -> Opened | None:
        """The trace it is chosen of."""
        return self._opened

    def open(self, opened: Opened | None) -> None:
        """Another trace, or the same one with other figures: the stretch stays while it is of the same trace."""
        before, self._opened = self._opened, opened
        same = before is not None and opened is not None and before.trace.uid == opened.trace.uid
        if self._stretch is None:
            return
        if not same or opened is None or self._stretch.last >= opened.count:
            self._stretch = None
        self.changed.emit(self._stretch)

    def choose(self, one: int, other: int) -> None:
        """Choose the steps between two, both in it."""
        if self._opened is None or not self._opened.count:
            return
        last = self._opened.count - 1
        first, behind = sorted((min(max(one, 0), last), min(max(other, 0), last)))
        self._set(Stretch(first, behind))

    def clear(self) -> None:
        """Choose nothing."""
        self._set(None)

    def _set(self, stretch: Stretch | None) -> None:
        if stretch != self._stretch:
            self._stretch = stretch
            self.changed.emit(stretch)
