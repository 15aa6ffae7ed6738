"""The app's own values: frozen, without Qt and SQL."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from trainer.contract.records import FinishReason, Message, Rating, Step


class Topic(StrEnum):
    """Kinds of things that can change."""

    PROJECTS = "projects"
    ANNOTATORS = "annotators"
    TRACES = "traces"
    ANNOTATIONS = "annotations"
    SCORES = "scores"
    FLAGS = "flags"  # findings, what people say of them, and how monitors score traces
    MONITORS = "monitors"  # which monitor counts, and the thresholds
    FAILURES = "failures"  # why traces are wrong, rubrics and what they found
    BOOKMARKS = "bookmarks"  # stretches of traces that people marked
    EVALUATIONS = "evaluations"  # regression tests; results come with the batch of their run
    RUNS = "runs"
    MODELS = "models"
    EVERYTHING = "everything"  # another process wrote


@dataclass(frozen=True, slots=True)
class Changes:
    """What a write changed, and who asked for it, so that each view decides whether to reload."""

    topics: frozenset[Topic] = frozenset()
    traces: frozenset[int] = frozenset()
    runs: frozenset[int] = frozenset()
    initiator: str = ""

    def __or__(self, other: Changes) -> Changes:
        return Changes(
            self.topics | other.topics,
            self.traces | other.traces,
            self.runs | other.runs,
            self.initiator or other.initiator,
        )

    def touches(self, *topics: Topic) -> bool:
        """Whether any of these topics changed."""
        return Topic.EVERYTHING in self.topics or not self.topics.isdisjoint(topics)


def changed(*topics: Topic, traces: tuple[int, ...] = (), runs: tuple[int, ...] = (), initiator: str = "") -> Changes:
    """Short way to name what a write changed."""
    return Changes(frozenset(topics), frozenset(traces), frozenset(runs), initiator)


class AnnotationState(StrEnum):
    """Where an annotation stands."""

    OPEN = "open"
    SUBMITTED = "submitted"
    VOID = "void"  # its making was undone: it holds nothing, and only its uid and revision remain for lineage


@dataclass(frozen=True, slots=True)
class Annotator:
    """A person who rates."""

    id: int
    uid: str
    name: str
    role: str = "annotator"
    origin: str = "here"

    @property
    def changes(self) -> Changes:
        """What a write that returns a person changed."""
        return changed(Topic.ANNOTATORS)


@dataclass(frozen=True, slots=True)
class Project:
    """Traces under one guideline, mode and overlap."""

    id: int
    uid: str
    name: str
    mode: str = "phase 2"
    overlap: int = 1
    guideline: str = ""
    guideline_version: int = 1
    traces: int = 0

    @property
    def changes(self) -> Changes:
        """What a write that returns a project changed."""
        return changed(Topic.PROJECTS)


@dataclass(frozen=True, slots=True)
class Problem:
    """A prompt with its reference answer."""

    id: int
    uid: str
    prompt: str
    reference_answer: str | None
    source: str
    fold: str


@dataclass(frozen=True, slots=True)
class Segmentation:
    """One version of the steps of a trace; `method` names who or what cut it."""

    id: int
    version: int
    steps: tuple[Step, ...]
    method: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """One recorded response with its current segmentation."""

    id: int
    uid: str
    problem: Problem
    text: str
    messages: tuple[Message, ...]
    segmentation: Segmentation
    model: str = ""
    answer: str | None = None
    outcome: int | None = None

    def step_text(self, ordinal: int) -> str:
        """The text of the step at this position."""
        step = self.segmentation.steps[ordinal]
        return self.text[step.start : step.end]


@dataclass(frozen=True, slots=True)
class StepRating:
    """What one annotator said of one step (option 0) or candidate."""

    ordinal: int
    option: int
    value: Rating | None
    unsure: bool = False
    flagged: bool | None = None


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotator's work on one trace in one project."""

    id: int
    uid: str
    project_id: int
    trace_id: int
    segmentation_id: int
    annotator_id: int | None
    kind: str
    state: str
    revision: int
    ratings: tuple[StepRating, ...] = ()
    finish_reason: FinishReason | None = None
    reason: str | None = None
    current_step: int = 0
    total_time_ms: int | None = None
    comment: str | None = None
    imported: bool = False

    @property
    def first_negative(self) -> int | None:
        """Position of the first step rated negative, None when there is none."""
        return min((r.ordinal for r in self.ratings if r.option == 0 and r.value == Rating.NEGATIVE), default=None)

    @property
    def counted(self) -> tuple[StepRating, ...]:
        """The ratings that count: all of an imported annotation, else those up to the first negative step.

        Ratings behind it can be there when an earlier step was corrected later; they are kept in case it is
        corrected back, but the annotation ends at the first negative.
        """
        end = None if self.imported else self.first_negative
        return self.ratings if end is None else tuple(r for r in self.ratings if r.ordinal <= end)

    def value(self, ordinal: int, option: int = 0) -> Rating | None:
        """The rating of a step, None when unrated."""
        return next((r.value for r in self.ratings if r.ordinal == ordinal and r.option == option), None)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the append-only history. `old` and `new` hold what changed: see `studio.store.history`."""

    id: int
    at: str
    annotator_id: int | None
    project_id: int | None
    trace_id: int | None
    annotation_id: int | None
    role: str
    verb: str
    ordinal: int | None
    option: int | None
    old: dict[str, Any]
    new: dict[str, Any]
    reverts: int | None
    device: str
    shown_ms: int | None

    def __str__(self) -> str:
        """What was done, for a person: "rating of step 3", "comment"."""
        what = {"rate": "rating", "unsure": "unsure mark"}.get(self.verb, self.verb)
        if self.ordinal is None:
            return what
        of_option = f", option {self.option}" if self.option else ""
        return f"{what} of step {self.ordinal + 1}{of_option}"


@dataclass(frozen=True, slots=True)
class StepScores:
    """What one scorer gave a trace, in step order."""

    scorer: str
    version: str
    domain: str
    segmentation_id: int
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class TraceRow:
    """A line of a list of traces."""

    id: int
    uid: str
    title: str
    steps: int
    reference: str | None
    annotations: int
    first_error: int | None
    low_score: float | None
    project_ids: tuple[int, ...] = field(default=())
    log: str = ""
    sample: str = ""
    epoch: int | None = None
    model: str = ""
    outcome: int | None = None
    tokens: int | None = None  # used, as the source counts
    ended: str = ""


def new_uid() -> str:
    """A fresh random name for a thing."""
    return uuid.uuid4().hex


def now() -> str:
    """The present moment, UTC, ISO-8601 with microseconds and without a zone, as PRM800K writes it."""
    return datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
