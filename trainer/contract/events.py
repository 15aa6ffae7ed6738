"""What a run says: one JSON line an event in events.jsonl, each with (attempt, sequence, step)."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from trainer.contract.generated import SearchNode, Spent


class Outcome(StrEnum):
    """How an attempt ended."""

    FINISHED = "finished"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Level(StrEnum):
    """How loud a notice is."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """The stamp every event carries: attempt, sequence in the attempt, optimiser step, Unix time in seconds."""

    attempt: int
    sequence: int
    step: int
    at: float


class Started(Event, frozen=True, kw_only=True, tag="started"):
    """The worker has its model and rows."""

    recipe: str
    device: str
    total_steps: int
    rows: int
    parameters: int = 0
    trainable: int = 0


class Progress(Event, frozen=True, kw_only=True, tag="progress"):
    """How far a phase is; `eta` in seconds, None while unknown."""

    phase: str
    done: int
    total: int
    unit: str = "steps"
    eta: float | None = None


class Metrics(Event, frozen=True, kw_only=True, tag="metrics"):
    """Named figures of one split ("train", "validation", "test", "system")."""

    split: str
    values: dict[str, float]


class Example(Event, frozen=True, kw_only=True, tag="example"):
    """A row as the model sees it now: step scores in [0, 1] beside the targets (None = not supervised)."""

    row: str
    problem: str
    steps: tuple[str, ...]
    scores: tuple[float | None, ...]
    targets: tuple[float | None, ...]


class Checkpoint(Event, frozen=True, kw_only=True, tag="checkpoint"):
    """A complete checkpoint lies at `path`, relative to the run folder."""

    path: str
    best: bool = False


class Notice(Event, frozen=True, kw_only=True, tag="notice"):
    """Something a person should know; `counts` gives the figures behind it."""

    level: Level
    code: str
    message: str
    counts: dict[str, int] = {}


class Resumed(Event, frozen=True, kw_only=True, tag="resumed"):
    """This attempt goes on from `from_step` (-1 = from the very start): older attempts' events beyond it are void."""

    from_step: int


class Answered(Event, frozen=True, kw_only=True, tag="answered"):
    """A resident run has answered a request: what it made stands in the records, or `error` says why there is nothing.

    `seconds` went by from taking the request up to the answer.
    """

    request: str
    seconds: float
    error: str = ""


class Wrote(Event, frozen=True, kw_only=True, tag="wrote"):
    """New text of a trace that is being written for a request, coalesced over some 30 ms.

    `trace` counts the request's traces from 0; first `dropped` characters of what was told before are taken back;
    `part` is "thinking" or "answer" at the end of the text; `starts` are code points of the trace's text where the new
    tokens begin, `logprobs` and `entropy` their values; `done` when the trace has ended.
    """

    request: str
    trace: int
    text: str
    starts: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    entropy: tuple[float, ...] = ()
    part: str = "thinking"
    dropped: int = 0
    done: bool = False


class Grew(Event, frozen=True, kw_only=True, tag="grew"):
    """A search has tried more: `nodes` are new or changed, by their number; `spent` so far."""

    request: str
    nodes: dict[int, SearchNode]
    spent: Spent


class Ended(Event, frozen=True, kw_only=True, tag="ended"):
    """The last word of an attempt; its absence, with no process, means crashed."""

    outcome: Outcome
    message: str = ""
    traceback: str = ""
    summary: dict[str, float] = {}


AnyEvent = Started | Progress | Metrics | Example | Checkpoint | Notice | Resumed | Answered | Wrote | Grew | Ended

decoder = msgspec.json.Decoder(AnyEvent)
encoder = msgspec.json.Encoder()
