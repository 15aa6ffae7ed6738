"""What a resident run is asked: one JSON line a request in requests.jsonl, each answered once by an `Answered` event.

Any number of studios append; the worker alone reads. A request that nobody has answered when a worker ends waits for
the next attempt.
"""

from __future__ import annotations

import fcntl
from pathlib import Path

import msgspec

from trainer.contract import events
from trainer.contract.generated import Settings
from trainer.contract.records import InputRow
from trainer.contract.run_folder import RunFolder, complete_lines, cut_torn_line

WAITING = "waiting for requests"
"""The phase of a resident run that has nothing to do; its idle time counts from this word on."""
CANCELLED = "cancelled"
"""The error of an answer that its asker no longer wanted."""


class Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Something asked; `id` (32 hex digits) is its own in the run."""

    id: str


class ScoreRequest(Request, frozen=True, kw_only=True, tag="score"):
    """Score this row; its record's id comes of the row's id, so the same row is scored once."""

    row: InputRow


class GenerateRequest(Request, frozen=True, kw_only=True, tag="generate"):
    """Write traces for this row's problem. `settings` are those of the recipe's spec that differ from the run's own.

    `prefix` is text of the response to continue from, `forked_from` the trace it was cut from; with `next_step` each
    trace stops after one step.
    """

    row: InputRow
    settings: Settings = {}
    prefix: str = ""
    forked_from: str = ""
    next_step: bool = False


class SearchRequest(Request, frozen=True, kw_only=True, tag="search"):
    """Search for this row's answer; `settings`, `prefix` and `forked_from` as in `GenerateRequest`.

    A prefix is where every trace of the search begins; it ends with a whole step.
    """

    row: InputRow
    settings: Settings = {}
    prefix: str = ""
    forked_from: str = ""


class RouteRequest(Request, frozen=True, kw_only=True, tag="route"):
    """Answer this row's problem by the router; `settings` as in `GenerateRequest`."""

    row: InputRow
    settings: Settings = {}


class CancelRequest(Request, frozen=True, kw_only=True, tag="cancel"):
    """Nobody wants the answer of `target` any more. It gets no answer of its own."""

    target: str


AnyRequest = ScoreRequest | GenerateRequest | SearchRequest | RouteRequest | CancelRequest

decoder = msgspec.json.Decoder(AnyRequest)
encoder = msgspec.json.Encoder()


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What every request has, of whatever kind and version."""

    id: str
    kind: str = ""
    target: str = ""


head_decoder = msgspec.json.Decoder(Head)


def append(path: Path, *asked: AnyRequest) -> None:
    """Add requests. What a killed writer left of a line is cut first: under the lock no other can be writing it."""
    with path.open("ab", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        cut_torn_line(path)
        file.write(b"".join(encoder.encode(each) + b"\n" for each in asked))


def answered(path: Path) -> set[str]:
    """The requests that events.jsonl says were answered, in whatever attempt."""
    found: set[str] = set()
    offset, lines = 0, [b""]
    while lines:
        lines, offset = complete_lines(path, offset)
        for line in lines:
            if b'"answered"' in line:
                event = events.decoder.decode(line)
                if isinstance(event, events.Answered):
                    found.add(event.request)
    return found


def unanswered(folder: RunFolder) -> tuple[str, ...]:
    """The requests that wait for an answer, oldest first, without those that were cancelled."""
    waiting: dict[str, None] = {}
    offset, lines = 0, [b""]
    while lines:
        lines, offset = complete_lines(folder.requests, offset)
        for line in lines:
            try:
                head = head_decoder.decode(line)
            except msgspec.MsgspecError:
                continue  # nobody can answer it; the worker says so
            if head.kind == CancelRequest.__struct_config__.tag:
                waiting.pop(head.target, None)
            else:
                waiting[head.id] = None
    done = answered(folder.events) if waiting else set()
    return tuple(each for each in waiting if each not in done)
