"""A trace with all that people and PRMs said of it, read in one go off the GUI thread."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sqlalchemy import Connection

from studio.domain import Annotation, Entry, StepScores, Trace
from studio.store import annotations as verbs
from studio.store import projects, scores, traces
from studio.ui.widgets.step_model import StepRow
from studio.ui.widgets.trace_values import ScoreLine, StepSigns
from trainer.contract.records import Rating

LOW = 0.5  # a step with a lower score is a hit: the PRM thinks it is wrong


@dataclass(frozen=True, slots=True)
class Voice:
    """One annotation with the name of who made it."""

    annotation: Annotation
    name: str
    mine: bool
    stale: bool  # made for another version of the steps
    values: tuple[Rating | None, ...]  # that count, by step
    unsure: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Moment:
    """A line of the trace's history."""

    at: str
    name: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class Opened:
    """What the Inspect page shows of a trace."""

    trace: Trace
    texts: tuple[str, ...]
    voices: tuple[Voice, ...]
    lines: tuple[ScoreLine, ...]  # those that count here first, then newest first
    history: tuple[Moment, ...]  # newest first
    projects: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of steps."""
        return len(self.texts)

    def mine(self, ordinal: int) -> Rating | None:
        """My own rating of a step."""
        return next((v.values[ordinal] for v in self.voices if v.mine and v.values[ordinal] is not None), None)

    def others(self, ordinal: int) -> tuple[Rating, ...]:
        """What other people said of a step."""
        found = (voice.values[ordinal] for voice in self.voices if not voice.mine)
        return tuple(value for value in found if value is not None)

    def standing(self, ordinal: int) -> Rating | None:
        """The rating that stands for a step: my own, else what most people said, the lower one of two."""
        if (own := self.mine(ordinal)) is not None:
            return own
        counted = Counter(self.others(ordinal))
        return max(counted, key=lambda value: (counted[value], -value), default=None)

    def score(self, ordinal: int) -> float | None:
        """The first scorer's score of a step."""
        return self.lines[0].values[ordinal] if self.lines and ordinal < len(self.lines[0].values) else None

    def is_disputed(self, ordinal: int) -> bool:
        """Whether people contradict each other, or the first scorer contradicts them."""
        said = {*self.others(ordinal), self.mine(ordinal)} - {None}
        if len(said) > 1:
            return True
        score, rating = self.score(ordinal), self.standing(ordinal)
        if score is None or rating in (None, Rating.NEUTRAL) or self.lines[0].note:
            return False
        return (score < LOW) == (rating is Rating.POSITIVE)

    def is_hit(self, ordinal: int) -> bool:
        """Whether n stops here: a low score, a disagreement or a negative rating."""
        score = self.score(ordinal)
        low = score is not None and score < LOW
        return low or self.is_disputed(ordinal) or self.standing(ordinal) is Rating.NEGATIVE

    def signs(self) -> tuple[StepSigns, ...]:
        """The steps for the map."""
        return tuple(StepSigns(self.standing(n), self.score(n), self.is_disputed(n)) for n in range(self.count))

    def rows(self) -> tuple[StepRow, ...]:
        """The steps for the list."""
        note = self.lines[0].note if self.lines else ""
        return tuple(
            StepRow(
                ordinal,
                text,
                rating=self.standing(ordinal),
                unsure=any(voice.unsure[ordinal] for voice in self.voices),
                score=self.score(ordinal),
                score_note=note,
                others=self.others(ordinal),
            )
            for ordinal, text in enumerate(self.texts)
        )


def read_trace(c: Connection, trace_id: int, annotator_id: int) -> Opened:
    """Read a trace with its annotations, scores and history. Raises NotFoundError."""
    trace = traces.load(c, trace_id)
    names = {person.id: person.name for person in projects.annotators(c)}
    said = verbs.of_trace(c, trace_id)
    known = {project.id: project.name for project in projects.all_projects(c)}
    of = tuple(known[i] for i in projects.of_trace(c, trace_id) if i in known)
    history = [entry for annotation in said for entry in verbs.timeline(c, annotation.id)]
    history.sort(key=lambda entry: entry.id, reverse=True)
    lines = [_line(each, trace, of) for each in reversed(scores.of_trace(c, trace_id))]
    count = len(trace.segmentation.steps)
    return Opened(
        trace,
        tuple(trace.step_text(ordinal) for ordinal in range(count)),
        tuple(_voice(a, trace, names, annotator_id) for a in said),
        tuple(sorted(lines, key=lambda line: bool(line.note))),
        tuple(Moment(entry.at, names.get(entry.annotator_id or 0, "unknown"), entry) for entry in history),
        of,
    )


def _voice(annotation: Annotation, trace: Trace, names: dict[int, str], me: int) -> Voice:
    count = len(trace.segmentation.steps)
    values: list[Rating | None] = [None] * count
    unsure = [False] * count
    stale = annotation.segmentation_id != trace.segmentation.id
    for rating in () if stale else annotation.counted:
        if rating.option == 0 and rating.ordinal < count:
            values[rating.ordinal] = rating.value
            unsure[rating.ordinal] = rating.unsure
    name = names.get(annotation.annotator_id or 0, "unknown annotator")
    return Voice(annotation, name, annotation.annotator_id == me, stale, tuple(values), tuple(unsure))


def _line(scored: StepScores, trace: Trace, of: tuple[str, ...]) -> ScoreLine:
    note = ""
    if scored.segmentation_id != trace.segmentation.id:
        note = "scored on another version of the steps"
    elif scored.domain and of and not set(of) & set(scored.domain.split(", ")):
        note = f"trained on {scored.domain}: this trace is of {' and '.join(of)}"
    count = len(trace.segmentation.steps)
    values = (*scored.values[:count], *(None,) * (count - len(scored.values)))
    return ScoreLine(scored.scorer, values, scored.version, note)
