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
from studio.exchange import chat_log, formats, mapped
from studio.exchange.archive import SIGN
from studio.exchange.chat_messages import is_message
from studio.exchange.foreign import ForeignMessage, ForeignTrace, Json, steps_of
from studio.exchange.formats import Told
from studio.exchange.inspect_log import InspectLog
from studio.exchange.mapped import FieldMap
from studio.exchange.reading import BrokenRecord, parse
from studio.store.conversations import Conversation, Turn, budget_of
from trainer.contract import rollouts
from trainer.contract.records import Record, Step, TraceRecord
from trainer.contract.rollouts import PackedTrace
from trainer.contract.run_folder import RunFolderError, complete_lines

PIECE = 1 << 22  # bytes read at once
KNOWN_BY = 256  # bytes before the place read up to: other ones there mean that the file was begun anew
SAMPLES = 200  # of a log, read in one look
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


def growing(path: Path) -> Source:
    """What reads this file while it grows: a log of Inspect, or lines of JSON."""
    try:
        with path.open("rb") as stream:
            packed = stream.read(4) == SIGN
    except OSError:  # it may be still to come
        packed = False
    return GrowingLog(path) if packed or path.suffix.lower() == ".eval" else GrowingFile(path)


class GrowingFile:
    """A JSONL file, read from where the last look ended; one that was rotated or begun anew, from its beginning."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name
        self._offset = self._line = self._times = self._moved = 0
        self._file = (0, 0)  # device and number of the file that was read
        self._known = b""
        self._messages: list[Any] = []
        self._events: list[Json] = []
        self._messages_new = self._events_new = False
        self._fields: FieldMap | None = None
        self._trouble = ""

    def read(self) -> News:
        """The whole lines that have come, first those of a file that has made room for this one since."""
        touched: dict[str, Grown] = {}
        try:
            found = self.path.stat()
            file, size = (found.st_dev, found.st_ino), found.st_size
            if self._offset and (size < self._offset or file != self._file or self._bytes_before() != self._known):
                if (before := self._renamed()) is not None:
                    touched |= self._lines_of(before)
                    self._moved += 1
                self._forget()
            self._file = file
            touched |= self._lines_of(self.path)
            self._known = self._bytes_before()
        except OSError as error:
            return News(tuple(touched.values()), f"{self.path}: {error.strerror or error}")
        torn = size - self._offset
        remark = f"the last line is not whole yet: {torn:,} bytes wait" if torn > 0 else ""
        return News(tuple(touched.values()), "; ".join(part for part in (self._trouble, remark) if part))

    def _bytes_before(self) -> bytes:
        start = max(0, self._offset - KNOWN_BY)
        with self.path.open("rb") as stream:
            stream.seek(start)
            return stream.read(self._offset - start)

    def _renamed(self) -> Path | None:
        """Where the file that was read up to now lies, if it was moved aside in its folder."""
        for each in self.path.parent.iterdir():
            found = each.lstat()
            if (found.st_dev, found.st_ino) == self._file and each != self.path and found.st_size >= self._offset:
                return each
        return None

    def _lines_of(self, path: Path) -> dict[str, Grown]:
        touched: dict[str, Grown] = {}
        while True:
            lines, behind = complete_lines(path, self._offset, PIECE)
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
        return touched

    def _forget(self) -> None:
        self._offset = self._line = 0
        self._times += 1
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
            told = Told({}, self._fields_of(value))
            return self._keyed(formats.read(value, told, self._line).traces, f"line {self._line}")
        except (BrokenRecord, msgspec.MsgspecError) as error:
            self._trouble = f"line {self._line}: {error}"
            return {}

    def _fields_of(self, value: object) -> FieldMap | None:
        """What the fields of a record of no known format mean, as their names suggest: what an import would take."""
        if not isinstance(value, dict) or formats.format_of(value) is not None:
            return None
        if self._fields is None or not mapped.fits(value, self._fields):
            guessed = mapped.guess([value])
            self._fields = guessed if guessed.is_enough else self._fields
        return self._fields

    def _keyed(self, traces: Iterable[ForeignTrace], key: str) -> dict[str, Grown]:
        found = {}
        times = self._times if key.startswith("line") else self._moved  # a talk begun anew is shown in its place
        key = f"{key}#{times}" if times else key  # else what stood there before stays beside it
        for number, each in enumerate(traces):
            name = f"{each.sample}:{each.epoch}" if each.sample is not None else f"{key}:{number}"
            found[name] = of_foreign(each, f"{self.path}:{name}")
        return found


class GrowingLog:
    """A log of Inspect (.eval) in progress: its samples as they come, with or without a directory yet."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name
        self._stamp, self._remark = (0, 0), ""
        self._seen: dict[str, tuple[int, ...]] = {}  # sample -> checksums of its members

    def read(self) -> News:
        """The samples that are new or were written anew, at most `SAMPLES` at once."""
        try:
            found = self.path.stat()
            stamp = found.st_size, found.st_mtime_ns
            if stamp == self._stamp:
                return News(remark=self._remark)
            log = InspectLog.open(self.path)
        except BrokenRecord as error:
            return News(remark=f"{self.path}: {error.what}; it is looked at again")
        except OSError as error:
            return News(remark=f"{self.path}: {error.strerror or error}")
        with log.archive:
            grown, trouble, left = self._samples(log)
        if not left:
            self._stamp = stamp
        parts = (trouble, f"{left:,} more follow" if left else "", "in progress" * log.in_progress)
        self._remark = "; ".join(part for part in parts if part)
        return News(tuple(grown), self._remark)

    def _samples(self, log: InspectLog) -> tuple[list[Grown], str, int]:
        """Samples that were not read yet, what was wrong with one, and how many are left."""
        members, trouble = log.archive.members, ""
        sums = {name: tuple(members[part].crc for part in log.parts_of(name)) for name in log.members()}
        fresh = [name for name, said in sums.items() if self._seen.get(name) != said]
        grown: list[Grown] = []
        for name in fresh[:SAMPLES]:
            self._seen[name] = sums[name]
            try:
                traces = formats.read(log.read(name), Told(log.header)).traces
            except BrokenRecord as error:
                trouble = f"{name}: {error}"
                del self._seen[name]  # it may only not be whole yet: tried again when the file has changed
                continue
            grown += [of_foreign(each, f"{self.path}:{name}:{at}") for at, each in enumerate(traces)]
        return grown, trouble, len(fresh[SAMPLES:])


class GrowingRun:
    """The folder of a run of ours: the traces of its records, and those of its newest updates."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self._offset = 0
        self._stamps: dict[int, int] = {}
        self._broken: dict[Path, str] = {}  # told until it can be read, not for one look
        self._decoder = msgspec.json.Decoder(Record)

    def read(self) -> News:
        """Records that have come, and updates that are new or written anew."""
        found: list[Grown] = []
        records = self.folder / "records.jsonl"
        lines, self._offset = complete_lines(records, self._offset, PIECE)
        for line in lines:
            if not line.strip():
                continue
            try:
                record = self._decoder.decode(line)
            except msgspec.MsgspecError as error:
                self._broken[records] = f"{records}: {error}"
                continue
            if isinstance(record, TraceRecord):
                found.append(of_record(record))
        for update in rollouts.updates(self.folder)[-UPDATES_HELD:]:
            found += self._of_update(update)
        return News(tuple(found), "; ".join(self._broken.values()))

    def _of_update(self, update: int) -> list[Grown]:
        """Its traces if its file is new or written anew."""
        path = rollouts.path_of(self.folder, update)
        try:
            stamp = path.stat().st_mtime_ns
        except FileNotFoundError:  # pruned between the two looks
            return []
        if self._stamps.get(update) == stamp:
            return []
        try:
            batch = rollouts.load(path)
        except RunFolderError as error:
            if path.exists():  # else pruned by now
                self._stamps[update], self._broken[path] = stamp, str(error)
            return []
        self._stamps[update] = stamp
        self._broken.pop(path, None)
        return [of_rollout(each, update, self.name) for each in batch.traces]


def of_foreign(said: ForeignTrace, name: str) -> Grown:
    """A trace of a file that is not imported; its uid is made of `name`, so that it is the same when it has grown."""
    steps = tuple(Step(k, span.start, span.end) for k, span in enumerate(steps_of(said)))
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
