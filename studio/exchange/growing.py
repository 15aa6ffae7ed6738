"""Files and run folders that are still being written: what is whole is read, a torn last line waits. No Qt, no store.

A conversation may come message by message, as pieces of a stream, or again and again under one name; a run writes a
record a trace and a file an update. Whoever writes may be killed at any moment: what was whole stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import msgspec

from studio.domain import Problem, Segmentation, Trace
from studio.exchange import chat_log, formats
from studio.exchange.chat_messages import is_message
from studio.exchange.foreign import ForeignMessage, ForeignTrace, Json, steps_of
from studio.exchange.formats import Told
from studio.exchange.reading import BrokenRecord, parse
from studio.store.conversations import Conversation, Turn, budget_of
from trainer.contract import rollouts
from trainer.contract.records import Record, Step, TraceRecord
from trainer.contract.rollouts import PackedTrace
from trainer.contract.run_folder import RunFolderError, complete_lines

PIECE = 1 << 22  # bytes read at once
UPDATES_HELD = 4  # of a run's updates, the newest: a run writes thousands


@dataclass(frozen=True, slots=True)
class Grown:
    """A trace as far as it has been written. `scores` are what a run's own PRM gave its steps."""

    trace: Trace
    conversation: Conversation
    scores: tuple[float | None, ...] = ()
    scorer: str = ""


@dataclass(frozen=True, slots=True)
class News:
    """What has come since the last look: these traces are new or longer."""

    traces: tuple[Grown, ...] = ()
    remark: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing has come."""
        return not self.traces


class Source(Protocol):
    """Something that grows."""

    name: str

    def read(self) -> News:
        """What has come since the last call. Raises nothing for what is torn or unknown: `remark` says it."""
        ...


class GrowingFile:
    """A JSONL file, read from where the last look ended."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name
        self._offset = self._line = 0
        self._messages: list[Any] = []
        self._events: list[Json] = []
        self._messages_new = self._events_new = False
        self._trouble = ""

    def read(self) -> News:
        """The whole lines that have come. A file that was begun anew is read from its beginning."""
        try:
            size = self.path.stat().st_size
        except OSError as error:
            return News(remark=f"{self.path}: {error.strerror or error}")
        if size < self._offset:
            self._forget()
        touched: dict[str, Grown] = {}
        while True:
            lines, behind = complete_lines(self.path, self._offset, PIECE)
            if behind == self._offset:
                break
            self._offset = behind
            for line in lines:
                self._line += 1
                if line.strip():
                    touched |= self._taken(line)
        if self._messages_new:
            self._messages_new = False
            touched |= self._keyed(chat_log.read(self._messages, 1).traces, "messages")
        if self._events_new:
            self._events_new = False
            touched |= self._keyed(formats.read_stream(self._events).traces, "stream")
        torn = size - self._offset
        remark = f"the last line is not whole yet: {torn:,} bytes wait" if torn > 0 else ""
        return News(tuple(touched.values()), "; ".join(part for part in (self._trouble, remark) if part))

    def _forget(self) -> None:
        self._offset = self._line = 0
        self._messages, self._events = [], []
        self._messages_new = self._events_new = False
        self._trouble = ""

    def _taken(self, line: bytes) -> dict[str, Grown]:
        """The traces of one line; pieces of a conversation are gathered first."""
        try:
            value = parse(line)
            if isinstance(value, dict) and value.get("type") == "trace" and "row" in value:
                record = msgspec.convert(value, TraceRecord)
                return {record.id: of_record(record)}
            if formats.is_stream_event(value):
                self._events.append(value)
                self._events_new = True
                return {}
            if is_message(value):
                self._messages.append(value)
                self._messages_new = True
                return {}
            return self._keyed(formats.read(value, Told({}), self._line).traces, f"line {self._line}")
        except (BrokenRecord, msgspec.MsgspecError) as error:
            self._trouble = f"line {self._line}: {error}"
            return {}

    def _keyed(self, traces: Iterable[ForeignTrace], key: str) -> dict[str, Grown]:
        found = {}
        for number, each in enumerate(traces):
            name = f"{each.sample}:{each.epoch}" if each.sample is not None else f"{key}:{number}"
            found[name] = of_foreign(each, f"{self.path}:{name}")
        return found


class GrowingRun:
    """The folder of a run of ours: the traces of its records, and those of its newest updates."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self._offset = 0
        self._stamps: dict[int, int] = {}
        self._decoder = msgspec.json.Decoder(Record)

    def read(self) -> News:
        """Records that have come, and updates that are new or written anew."""
        found: list[Grown] = []
        remark = ""
        records = self.folder / "records.jsonl"
        lines, self._offset = complete_lines(records, self._offset, PIECE)
        for line in lines:
            if not line.strip():
                continue
            try:
                record = self._decoder.decode(line)
            except msgspec.MsgspecError as error:
                remark = f"{records}: {error}"
                continue
            if isinstance(record, TraceRecord):
                found.append(of_record(record))
        for update in rollouts.updates(self.folder)[-UPDATES_HELD:]:
            try:
                path = rollouts.path_of(self.folder, update)
                stamp = path.stat().st_mtime_ns
                if self._stamps.get(update) == stamp:
                    continue
                batch = rollouts.load(path)
            except (FileNotFoundError, RunFolderError):  # pruned between the two looks
                continue
            self._stamps[update] = stamp
            found += [of_rollout(each, update, self.name) for each in batch.traces]
        return News(tuple(found), remark)


def of_foreign(said: ForeignTrace, name: str) -> Grown:
    """A trace of a file that is not imported; its uid is made of `name`, so that it is the same when it has grown."""
    spans = said.steps if said.steps is not None else steps_of(said.text, said.messages)
    steps = tuple(Step(k, span.start, span.end) for k, span in enumerate(spans))
    turns = tuple(map(_turn, said.messages))
    trace = _trace(name, said.problem, said.reference, said.text, steps, said.model, said.answer, said.outcome)
    conversation = Conversation(turns, said.source, said.sample or "", said.epoch, budget_of(said.budget))
    return Grown(trace, conversation)


def _turn(message: ForeignMessage) -> Turn:
    extra = message.extra
    start, end = extra.get("span", (None, None))
    words = {name: str(extra.get(name) or "") for name in ("name", "at", "until", "first")}
    return Turn(message.role, message.blocks, start=start, end=end, **words)


def of_record(record: TraceRecord) -> Grown:
    """A trace of a run's records."""
    trace = _trace(
        record.id, record.problem, record.reference, record.text, record.steps, record.model, None, record.outcome
    )
    trace = replace(trace, uid=record.id)  # under which it will be stored
    turns = tuple(Turn(message.role, message.blocks) for message in record.messages)
    return Grown(trace, Conversation(turns, sample=record.row))


def of_rollout(packed: PackedTrace, update: int, run: str) -> Grown:
    """A trace of one update of a run, with the scores it was paid by."""
    steps = tuple(Step(k, start, end) for k, (start, end) in enumerate(packed.step_spans))
    outcome = None if packed.correct is None else int(packed.correct)
    name = f"{run}, update {update}"
    trace = _trace(
        f"{name}:{packed.id}", packed.problem, packed.reference, packed.text, steps, name, packed.answer, outcome
    )
    budget: Json = {"granted": packed.budget, "used": packed.length, "thinking": packed.thinking_tokens}
    budget |= {"answer": packed.answer_tokens, "ended": packed.thinking_ended or packed.ended}
    return Grown(trace, Conversation((), name, packed.row, None, budget_of(budget)), packed.scores, "the run's PRM")


def _trace(
    name: str,
    problem: str,
    reference: str | None,
    text: str,
    steps: tuple[Step, ...],
    model: str,
    answer: str | None,
    outcome: int | None,
) -> Trace:
    uid = sha256(name.encode()).hexdigest()[:32]
    number = -1 - int(uid[:7], 16)  # never the number of a stored trace; fits 32 bits
    asked = Problem(0, "", problem, reference, "", "")
    return Trace(number, uid, asked, text, (), Segmentation(0, 1, steps), model, answer, outcome)
