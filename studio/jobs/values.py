"""What the window sees of runs: frozen values, without SQL, Qt and torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.store.rows import Counts, Selection
from trainer.contract.launch import Launch
from trainer.contract.records import RunState


class RunTopic(StrEnum):
    """What of a run changed."""

    STATE = "state"  # state, place in the queue, message, host, model, stale, ingested
    PROGRESS = "progress"  # phase, done, total, eta, last metrics
    CURVES = "curves"
    EXAMPLES = "examples"
    NOTICES = "notices"


@dataclass(frozen=True, slots=True)
class RunUpdate:
    """Something of one run changed; delivered in the follower's thread, at most ten times a second a run."""

    run_id: int
    topics: frozenset[RunTopic]


@dataclass(frozen=True, slots=True)
class RunOrder:
    """What is asked for: a recipe, its parameters (missing ones take their defaults) and the rows."""

    recipe: str
    parameters: dict[str, Any] = field(default_factory=dict)
    selection: Selection = field(default_factory=Selection)
    name: str = ""
    device: str = "cpu"
    group: str = ""  # what the runs of one grid have in common
    launch: Launch = Launch()  # where, and in how many processes
    consents: tuple[str, ...] = ()  # sha256 of each file of the user's own code that may run
    rows: tuple[str, ...] = ()  # files with the rows of an evaluation's suite


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run will need, and in words what the figures rest on. None = nobody can say."""

    seconds: float | None
    memory_bytes: int | None
    disk_bytes: int | None
    basis: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What goes in, what is left out and why, and what it will take, before Start."""

    counts: Counts
    estimate: Estimate
    problems: tuple[str, ...] = ()  # sentences that forbid a start; empty = it can start
    warnings: tuple[str, ...] = ()  # what a person should know before a start
    facts: Mapping[str, int] = field(default_factory=dict)  # what else is known of the rows, in words
    runs: int = 1  # how many runs the estimate is of


class Stage(StrEnum):
    """How far a request to a resident run is."""

    WAITING = "waiting"
    DONE = "done"  # what it made is in the store
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Reply:
    """Something new of a request: what it waits for, or why it failed. Delivered in a thread of the jobs."""

    request: str
    run_id: int
    stage: Stage
    text: str = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """One figure over optimiser steps; both arrays have the same length and are read-only."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Example:
    """A row as the model saw it last: scores in [0, 1] beside the targets (None = not supervised)."""

    row: str
    step: int
    problem: str
    steps: tuple[str, ...]
    scores: tuple[float | None, ...]
    targets: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class RunNotice:
    """Something a person should know of a run; `level` is info, warning or error."""

    level: str
    code: str
    message: str
    step: int
    at: float
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as it stands. Times of the table are ISO-8601 UTC text; `eta` and `silent_seconds` in seconds."""

    id: int
    uid: str
    name: str
    recipe: str
    state: RunState
    device: str
    done: int = 0
    total: int = 0
    phase: str = ""
    eta: float | None = None
    message: str = ""  # why it failed or crashed, why it waits; one sentence a person can act on
    created_at: str = ""
    started_at: str | None = None
    ended_at: str | None = None
    host: str = ""
    silent_seconds: float | None = None  # since the last sign of life, while a worker should live
    last_metrics: Mapping[str, float] = field(default_factory=dict)  # "validation/auc" -> newest value
    summary: Mapping[str, float] = field(default_factory=dict)
    model_folder: str | None = None  # relative to the workspace, once registered
    stale: bool = False  # an annotation it learned from has a newer revision
    place: float = 0.0  # order in the device's queue, lowest first
    attempts: int = 0
    ingested: bool = False  # what this run made is in the store
    records: int = 0  # how many records of it were stored
    rows: int = 0
    folder: str = ""  # relative to the workspace
    resident: bool = False  # it stays and answers requests
    idle_end: float | None = None  # Unix time at which it ends when nothing is asked; None while it is not idle
    group: str = ""  # the same for all runs of one grid
    alarm: str = ""  # what the alarm says that paused it, until it is resumed
    scheduler: str = ""  # of a run elsewhere: its scheduler's last word
    elsewhere: str = ""  # of a run elsewhere: the machine that its template speaks to
    asked: str = ""  # "pause" or "cancel" while the worker has not yet obeyed

    @property
    def can_pause(self) -> bool:
        """Whether Pause makes sense now."""
        return self.state in _PAUSABLE and not self.asked

    @property
    def can_cancel(self) -> bool:
        """Whether Cancel makes sense now."""
        return not self.state.is_final

    @property
    def can_resume(self) -> bool:
        """Whether Resume makes sense now; the launcher still refuses while another writer may live."""
        return self.state in _RESUMABLE

    @property
    def can_run_now(self) -> bool:
        """Whether it waits and could be put first."""
        return self.state in (RunState.QUEUED, RunState.PAUSED)


_PAUSABLE = {RunState.QUEUED, RunState.STARTING, RunState.RUNNING, RunState.SILENT}
_RESUMABLE = {RunState.PAUSED, RunState.CANCELLED, RunState.FAILED, RunState.CRASHED, RunState.LOST}
