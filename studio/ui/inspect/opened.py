"""A trace with all that people and PRMs said of it, read in one go off the GUI thread."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from studio.domain import Annotation, Entry, StepScores, Trace
from studio.exchange import foreign_export
from studio.exchange.foreign_export import Standing
from studio.store import annotations as verbs
from studio.store import (
    bookmarks,
    conversations,
    flags,
    machine_labels,
    projects,
    run_traces,
    scores,
    segmentations,
    token_values,
    traces,
)
from studio.store.conversations import Conversation
from studio.store.flags import Flag, FlagState
from studio.store.schema import candidate
from studio.store.token_values import TokenArrays
from studio.ui.inspect.clock import Clock, clock_of
from studio.ui.inspect.structure import Structure, structure
from studio.ui.widgets.step_model import StepRow
from studio.ui.widgets.trace_values import NO_RATING, ScoreLine
from trainer.contract.records import Rating
from trainer.reasoning.segment import Span

LOW = 0.5  # a step with a lower score is a hit: the PRM thinks it is wrong
COMPARED = 4 << 20  # bytes: a source that was written to is compared up to here while somebody waits for a trace


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
class Marks:
    """By step, as arrays [steps]: the rating that stands (NO_RATING = none), the first scorer's score (NaN = none)."""

    standing: NDArray[np.int8]
    score: NDArray[np.float32]
    disputed: NDArray[np.bool_]
    flagged: NDArray[np.bool_]
    branched: NDArray[np.bool_]
    bookmarked: NDArray[np.bool_]

    @property
    def hits(self) -> NDArray[np.bool_]:
        """Where n stops: a low score, a disagreement, a negative rating or a flag."""
        found: NDArray[np.bool_] = (self.score < LOW) | (self.standing == Rating.NEGATIVE)
        return found | self.disputed | self.flagged


@dataclass(frozen=True, slots=True)
class Source:
    """The imported file that a trace came from, as it stands now."""

    path: str
    sha256: str
    standing: Standing


@dataclass(frozen=True, slots=True)
class Opened:
    """What the Inspect page shows of a trace."""

    trace: Trace
    voices: tuple[Voice, ...]
    lines: tuple[ScoreLine, ...]  # those that count here first, then newest first
    history: tuple[Moment, ...]  # newest first
    projects: tuple[str, ...]
    conversation: Conversation
    structure: Structure
    clock: Clock
    marks: Marks
    tokens: TokenArrays | None = None
    flags: tuple[Flag, ...] = ()
    source: Source | None = None

    @property
    def count(self) -> int:
        """Number of steps."""
        return self.structure.steps

    @property
    def texts(self) -> tuple[str, ...]:
        """The steps' texts."""
        return tuple(self.trace.step_text(ordinal) for ordinal in range(self.count))

    @property
    def token_starts(self) -> NDArray[np.int64] | None:
        """Where tokens begin; None when the source has none."""
        return None if self.tokens is None else self.tokens.starts.astype(np.int64)

    def mine(self, ordinal: int) -> Rating | None:
        """My own rating of a step."""
        return next((v.values[ordinal] for v in self.voices if v.mine and v.values[ordinal] is not None), None)

    def others(self, ordinal: int) -> tuple[Rating, ...]:
        """What other people said of a step."""
        found = (voice.values[ordinal] for voice in self.voices if not voice.mine)
        return tuple(value for value in found if value is not None)

    def standing(self, ordinal: int) -> Rating | None:
        """The rating that stands for a step: my own, else what most people said, the lower one of two."""
        value = int(self.marks.standing[ordinal])
        return None if value == NO_RATING else Rating(value)

    def score(self, ordinal: int) -> float | None:
        """The first scorer's score of a step."""
        return self.lines[0].values[ordinal] if self.lines and ordinal < len(self.lines[0].values) else None

    def is_disputed(self, ordinal: int) -> bool:
        """Whether people contradict each other, or the first scorer contradicts them."""
        return bool(self.marks.disputed[ordinal])

    def is_hit(self, ordinal: int) -> bool:
        """Whether n stops here: a low score, a disagreement, a negative rating or a flag."""
        return bool(self.marks.hits[ordinal])

    def row(self, ordinal: int) -> StepRow:
        """A step for the transcript."""
        return StepRow(
            ordinal,
            self.trace.step_text(ordinal),
            rating=self.standing(ordinal),
            unsure=any(voice.unsure[ordinal] for voice in self.voices),
            score=self.score(ordinal),
            score_note=self.lines[0].note if self.lines else "",
            others=self.others(ordinal),
        )


def read_trace(c: Connection, trace_id: int, annotator_id: int) -> Opened:
    """Read a trace with its annotations, scores, tokens, flags and history. Raises NotFoundError."""
    trace = traces.load(c, trace_id)
    names = {person.id: person.name for person in projects.annotators(c)}
    said = verbs.of_trace(c, trace_id)
    known = {project.id: project.name for project in projects.all_projects(c)}
    of = tuple(known[i] for i in projects.of_trace(c, trace_id) if i in known)
    history = [entry for annotation in said for entry in verbs.timeline(c, annotation.id)]
    history.sort(key=lambda entry: entry.id, reverse=True)
    domains = run_traces.domains_of(c, trace_id)
    lines = [_line(c, each, trace, domains) for each in reversed(scores.of_trace(c, trace_id))]
    made = assemble(
        trace,
        conversations.read(c, trace_id),
        voices=tuple(_voice(a, trace, names, annotator_id) for a in said),
        lines=(*sorted(lines, key=lambda line: bool(line.note)), *_labels(c, trace)),
        history=tuple(Moment(entry.at, names.get(entry.annotator_id or 0, "unknown"), entry) for entry in history),
        projects=of,
        tokens=token_values.read(c, trace_id, alternatives=False),
        found=flags.of_trace(c, trace_id),
        marked=tuple(span for mark in bookmarks.of_trace(c, trace_id) if (span := mark.span_in(trace.text))),
        branches=tuple(c.scalars(select(candidate.c.ordinal).where(candidate.c.trace_id == trace_id).distinct())),
    )
    return replace(made, source=_source(c, trace_id))


def _source(c: Connection, trace_id: int) -> Source | None:
    log = foreign_export.of_trace(c, trace_id)
    return None if log is None else Source(str(log.path), log.sha256, log.standing(most=COMPARED))


def assemble(
    trace: Trace,
    conversation: Conversation,
    *,
    voices: tuple[Voice, ...] = (),
    lines: tuple[ScoreLine, ...] = (),
    history: tuple[Moment, ...] = (),
    projects: tuple[str, ...] = (),
    tokens: TokenArrays | None = None,
    found: tuple[Flag, ...] = (),
    branches: tuple[int, ...] = (),
    marked: tuple[Span, ...] = (),
) -> Opened:
    """What the page shows, of parts read from a store or from a file that is not imported."""
    turns = conversations.turns_of(trace.text, conversation.turns or trace.messages)
    shape = structure(trace.text, turns, trace.segmentation.steps)
    starts = None if tokens is None else tokens.starts.astype(np.int64)
    clock = clock_of(len(trace.text), turns, _turn_starts(shape), starts)
    marks = replace(_marks(shape, voices, lines, found, branches), bookmarked=_within(shape, marked))
    return Opened(
        trace, voices, lines, history, projects, conversation, shape, clock, marks, tokens=tokens, flags=found
    )


def _turn_starts(shape: Structure) -> NDArray[np.int64]:
    first = np.searchsorted(shape.turn, np.arange(len(shape.turns)), side="left")
    begins = np.concatenate([shape.start, [len(shape.text)]])[first]
    begins[:1] = 0
    return np.asarray(begins, dtype=np.int64)


def _marks(
    shape: Structure,
    voices: tuple[Voice, ...],
    lines: tuple[ScoreLine, ...],
    found: tuple[Flag, ...],
    branches: tuple[int, ...],
) -> Marks:
    count = shape.steps
    standing = np.full(count, NO_RATING, np.int8)
    disputed, flagged, branched = (np.zeros(count, np.bool_) for _ in range(3))
    score = np.full(count, np.nan, np.float32)
    if lines:
        score[:] = [np.nan if value is None else value for value in lines[0].values]
    for ordinal, said in _said(voices).items():
        standing[ordinal] = said.stands
        disputed[ordinal] = said.differs
    if lines and not lines[0].note:
        disputed |= (score < LOW) & (standing == Rating.POSITIVE)
        disputed |= (score >= LOW) & (standing == Rating.NEGATIVE)
    for each in found:
        if each.state is not FlagState.REJECTED:
            flagged[max(shape.step_at(each.start), 0) : shape.step_at(max(each.start, each.end - 1)) + 1] = True
    branched[[ordinal for ordinal in branches if 0 <= ordinal < count]] = True
    return Marks(standing, score, disputed, flagged, branched, np.zeros(count, np.bool_))


def _within(shape: Structure, spans: tuple[Span, ...]) -> NDArray[np.bool_]:
    """The steps that have a part in one of these spans."""
    found = np.zeros(shape.steps, np.bool_)
    for span in spans:
        found |= (shape.step_starts < span.end) & (shape.step_ends > span.start)
    return found


@dataclass(frozen=True, slots=True)
class _Said:
    stands: Rating
    differs: bool


def _said(voices: tuple[Voice, ...]) -> dict[int, _Said]:
    """What people said of the steps of which anybody said something."""
    by_step: dict[int, list[Rating]] = {}
    own: dict[int, Rating] = {}
    for voice in voices:
        for ordinal, value in enumerate(voice.values):
            if value is not None:
                by_step.setdefault(ordinal, []).append(value)
                if voice.mine:
                    own.setdefault(ordinal, value)
    found = {}
    for ordinal, given in by_step.items():
        counted = Counter(given)
        most = max(counted, key=lambda value: (counted[value], -value))
        found[ordinal] = _Said(own.get(ordinal, most), len(counted) > 1)
    return found


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


def _labels(c: Connection, trace: Trace) -> tuple[ScoreLine, ...]:
    """What machine labels say of the present steps, the newest of each method and version, as lines of their own."""
    found = {
        (label.method, label.version): ScoreLine(label.method, label.values, label.version)
        for label in machine_labels.of_trace(c, trace.id)
        if label.segmentation_id == trace.segmentation.id
    }
    return tuple(reversed(found.values()))


def _line(c: Connection, scored: StepScores, trace: Trace, of: tuple[str, ...]) -> ScoreLine:
    """A scorer's scores of the present steps; of another version those of the steps that are in both."""
    note = ""
    if scored.segmentation_id != trace.segmentation.id:
        known = dict(zip(segmentations.spans_of(c, scored.segmentation_id), scored.values, strict=False))
        kept = tuple(known.get((step.start, step.end)) for step in trace.segmentation.steps)
        note = f"scored on another version of the steps, {sum(v is not None for v in kept)} of {len(kept)} are in both"
        return ScoreLine(scored.scorer, kept, scored.version, note)
    if scored.domain and of and not set(of) & set(scored.domain.split(", ")):
        note = f"trained on {scored.domain}: this trace is of {' and '.join(of)}"
    count = len(trace.segmentation.steps)
    values = (*scored.values[:count], *(None,) * (count - len(scored.values)))
    return ScoreLine(scored.scorer, values, scored.version, note)
