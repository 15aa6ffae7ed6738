"""The shared values: written once, used by the studio and by the worker.

Identifiers that cross the wall are strings (`uid`, 32 hex digits), so that a run folder can be copied
to another machine and back. Spans count Unicode code points of the trace's text, end exclusive.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum, StrEnum
from typing import Any

import msgspec

from trainer.contract.generated import RouteStep, SearchNode, Settings, Spent, TokenBytes, TraceBudget, Vote
from trainer.contract.rubrics import RubricRecord

CONTRACT_VERSION = 1


class Rating(IntEnum):
    """One annotator's judgement of a step or candidate (PRM800K: Bad, Okay, Great)."""

    NEGATIVE = -1
    NEUTRAL = 0
    POSITIVE = 1


class FinishReason(StrEnum):
    """Why an annotation ended (PRM800K's four)."""

    FOUND_ERROR = "found_error"
    SOLUTION = "solution"
    BAD_PROBLEM = "bad_problem"
    GIVE_UP = "give_up"


class BlockKind(StrEnum):
    """What a span of a message is."""

    THINKING = "thinking"
    ANSWER = "answer"
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"
    REDACTED = "redacted"
    SUMMARY = "summary"
    OTHER = "other"


class Split(StrEnum):
    """Which part of the problems a row belongs to; see `trainer.reasoning.split`."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class RunState(StrEnum):
    """Every state a run can be in, as the window shows it."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    SILENT = "silent"
    LOST = "lost contact"
    PAUSED = "paused"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"
    CRASHED = "crashed"

    @property
    def is_final(self) -> bool:
        """Whether the run can only go on by being resumed or started anew."""
        return self in _FINAL

    @property
    def holds_device(self) -> bool:
        """Whether a worker may stand on the device."""
        return self in _ON_DEVICE


_FINAL = {RunState.FINISHED, RunState.CANCELLED, RunState.FAILED, RunState.CRASHED}
_ON_DEVICE = {RunState.STARTING, RunState.RUNNING, RunState.SILENT, RunState.LOST}


class Step(msgspec.Struct, frozen=True, gc=False):
    """A span that one idea fills. `id` is stable over versions of the segmentation of its trace."""

    id: int
    start: int
    end: int


class Block(msgspec.Struct, frozen=True, gc=False):
    """A span of one kind within a message."""

    kind: BlockKind
    start: int
    end: int


class Message(msgspec.Struct, frozen=True):
    """One turn: role and its blocks, in order."""

    role: str
    blocks: tuple[Block, ...]


class Votes(msgspec.Struct, frozen=True, array_like=True):
    """How much weight of annotators stands behind each rating of one step; when resolved, one of them is 1."""

    negative: float = 0.0
    neutral: float = 0.0
    positive: float = 0.0

    @property
    def total(self) -> float:
        """Sum of the three weights."""
        return self.negative + self.neutral + self.positive


class Said(msgspec.Struct, frozen=True):
    """What a person said of a category in a trace: true = it is there, at [start, end); false = it is not.

    `start` and `end` are None where the whole trace was called clean.
    """

    category: str
    true: bool
    start: int | None = None
    end: int | None = None


class SourceRef(msgspec.Struct, frozen=True):
    """Lineage: the annotation and its revision a row was made from."""

    annotation: str
    revision: int


class InputRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of input.jsonl: a trace under one segmentation, with what people said of its steps.

    `votes[i]` belongs to `steps[i]`; None = nobody rated it. `votes` None = a row to be scored, not learned from.
    `response` is the trace's whole text, thinking and answer, which the steps are the segmentation of; None = the steps
    are all there is.
    Only steps from `labelled_from` on teach: those before are taught by another row, whose start this one shares.
    `repairs[i]` is the step that `steps[i]` repairs, as people said; `outcome` is 1 for a right answer, 0 for a wrong.
    Rows for a monitor bring the messages whose blocks lie in `response`, what people said of findings, and the model.
    `extra` is what the suite of an evaluation needs besides problem and reference: tests, grids, labels.
    """

    id: str
    trace: str
    segmentation: int
    problem: str
    steps: tuple[str, ...]
    step_ids: tuple[int, ...]
    reference: str | None = None
    votes: tuple[Votes | None, ...] | None = None
    response: str | None = None
    split: Split = Split.TRAIN
    project: str = ""
    origin: str = ""
    sources: tuple[SourceRef, ...] = ()
    labelled_from: int = 0
    repairs: tuple[int | None, ...] = ()
    outcome: int | None = None
    messages: tuple[Message, ...] = ()
    said: tuple[Said, ...] = ()
    model: str = ""
    extra: dict[str, Any] = {}

    @property
    def has_reference(self) -> bool:
        """Whether there is an answer to grade against; a blank one is none."""
        return bool((self.reference or "").strip())


class ModelRef(msgspec.Struct, frozen=True, kw_only=True):
    """A model that a run uses: where it lies in the run folder and what must lie there.

    Of several with one role, the one with the greatest `from_step` up to the present optimiser step is in force.
    """

    role: str
    path: str
    checksum: str
    name: str = ""
    from_step: int = 0


class ScorerRef(msgspec.Struct, frozen=True, kw_only=True):
    """Who scored: name, version (checksum of the weights) and the domain it was trained on."""

    name: str
    version: str
    domain: str = ""


class ScoreRecord(msgspec.Struct, frozen=True, kw_only=True, tag="score"):
    """Step scores of one trace: P(step is correct) in step order; None where the scorer gave none."""

    id: str
    row: str
    trace: str
    segmentation: int
    scorer: ScorerRef
    values: tuple[float | None, ...]


class MachineLabelRecord(msgspec.Struct, frozen=True, kw_only=True, tag="machine_label"):
    """Step values from a rule or rollouts, with method and version; never a rating."""

    id: str
    row: str
    trace: str
    segmentation: int
    method: str
    version: str
    values: tuple[float | None, ...]


class MonitorRef(msgspec.Struct, frozen=True, kw_only=True):
    """Who looks for what is unsafe: kind (rules, classifier, judge), name, hashes of its parameters and its labels."""

    kind: str
    name: str
    version: str
    training: str = ""


class FlagRecord(msgspec.Struct, frozen=True, kw_only=True, tag="flag"):
    """A safety finding with its verbatim evidence span; `counterpart` is the span it clashes with.

    `category`, `part` and `severity` are those of `trainer.reasoning.safety`; `step` is the id of the step it lies in.
    """

    id: str
    row: str
    trace: str
    segmentation: int
    step: int | None
    category: str
    severity: int
    start: int
    end: int
    quote: str
    monitor: MonitorRef
    score: float = 1.0
    part: str = "thinking"
    why: str = ""
    counterpart: tuple[int, int] | None = None


class MonitorRecord(msgspec.Struct, frozen=True, kw_only=True, tag="monitor"):
    """What a monitor thinks of one trace, by category in the order of `trainer.reasoning.safety.CATEGORIES`.

    `scores` holds three rows: hybrid, thinking, answer; None = not scored. `steps` is float16 [steps, 7] in
    little-endian order, empty where it does not score steps; `gap` says why the trace cannot be assessed whole, ""
    when it can; `evidence` are the categories with a quoted span.
    """

    id: str
    row: str
    trace: str
    segmentation: int
    monitor: MonitorRef
    scores: tuple[tuple[float | None, ...], ...]
    gap: str = ""
    evidence: tuple[str, ...] = ()
    steps: bytes = b""


class TraceRecord(msgspec.Struct, frozen=True, kw_only=True, tag="trace"):
    """A trace that a run wrote.

    `source` is the trace (uid) whose first `forked_at` code points it was continued from, "" for none.
    """

    id: str
    row: str
    problem: str
    reference: str | None
    text: str
    messages: tuple[Message, ...]
    steps: tuple[Step, ...]
    model: str
    outcome: int | None = None
    tokens: TokenBytes | None = None
    budget: TraceBudget | None = None
    settings: Settings = {}
    source: str = ""
    forked_at: int | None = None


class SearchRecord(msgspec.Struct, frozen=True, kw_only=True, tag="search"):
    """What a search tried for one problem. `traces` are the ids of its finished traces, records of their own.

    `chosen` is the place of the returned one among them, -1 when none answered; `votes` are the groups of equal
    answers, best first; `outcome` grades the answer, None without a reference.
    """

    id: str
    row: str
    problem: str
    reference: str | None
    strategy: str
    settings: Settings
    nodes: tuple[SearchNode, ...]
    traces: tuple[str, ...]
    votes: tuple[Vote, ...]
    chosen: int
    answer: str | None
    spent: Spent
    model: str
    scorer: ScorerRef | None = None
    outcome: int | None = None


class RouteRecord(msgspec.Struct, frozen=True, kw_only=True, tag="route"):
    """Which model answered one problem and why: every model asked on the way, in order.

    `answered_by` is the place in `asked` of the one whose answer stands, -1 when none answered. `level` is simple,
    medium or hard, "" when nobody judged it; `marked` says what the answer lacks, "" when nothing. `audited` are models
    that were asked afterwards, only to measure what they would have said: they cost nothing in `spent`. `router` is
    the version of the learned router, "" for none.
    """

    id: str
    row: str
    problem: str
    reference: str | None
    task: str
    difficulty: float | None
    settings: Settings
    asked: tuple[RouteStep, ...]
    answer: str | None
    spent: Spent
    outcome: int | None = None
    answered_by: int = -1
    level: str = ""
    marked: str = ""
    audited: tuple[RouteStep, ...] = ()
    router: str = ""


class EvaluationRecord(msgspec.Struct, frozen=True, kw_only=True, tag="evaluation"):
    """One sample of one problem of a suite. `strict` and `lenient` are the two graders; None = could not be decided.

    `correct` is what the suite counts; `trace` the id of the trace, "" where the suite has none; `detail` holds what
    only this suite knows (first error predicted and labelled, failing test, strategy's picks).
    `sample` counts from 0; -1 is what the strategy chose among the samples, with the cost of them all. `row` names the
    problem by its content, so that two runs with equal rows had the same problem. `budget` is the cap on thinking in
    tokens, None = none; `version` the checksum of the model, `prm` the name of the PRM that the strategy listened to.
    """

    id: str
    row: str
    suite: str
    problem: str
    sample: int
    model: str
    strategy: str
    compute: str
    answer: str | None
    correct: bool | None
    strict: bool | None = None
    lenient: bool | None = None
    trace: str = ""
    thinking_tokens: int = 0
    answer_tokens: int = 0
    truncated: bool = False
    seed: int = 0
    spent: Spent = Spent()
    why: str = ""
    detail: Settings = {}
    reference: str | None = None
    budget: int | None = None
    version: str = ""
    prm: str = ""


Record = (
    ScoreRecord
    | MachineLabelRecord
    | FlagRecord
    | MonitorRecord
    | TraceRecord
    | SearchRecord
    | RouteRecord
    | EvaluationRecord
    | RubricRecord
)


def record_id(run: str, row: str, index: int) -> str:
    """The id (32 hex digits) of what a run made of an input row: the same in every attempt."""
    return hashlib.sha256(f"{run}\0{row}\0{index}".encode()).hexdigest()[:32]
