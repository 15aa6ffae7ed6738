"""Looking into files before anything is imported: a folder as a list of its files, a file as a list of its traces.

Nothing is copied. Of a log only the directory, the header and, once it is opened, the summaries are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.errors import ImportFormatError, SteplensError
from studio.exchange import files, formats
from studio.exchange.archive import SIGN
from studio.exchange.file_records import events_of
from studio.exchange.files import Kind, Source
from studio.exchange.foreign import ForeignTrace
from studio.exchange.foreign_import import SUFFIXES
from studio.exchange.inspect_log import InspectLog, SampleRow, header_of
from studio.exchange.reading import BrokenRecord, object_of, parse

TITLED = 200  # records of a file of lines whose first words are read for the list
MOST_FILES = 10_000


@dataclass(frozen=True, slots=True)
class Listed:
    """A file of a folder, known by its header. `traces` None: not counted without reading it."""

    path: Path
    size: int
    format: str = ""
    traces: int | None = None
    model: str = ""
    task: str = ""
    status: str = ""
    created: str = ""
    problem: str = ""  # why it cannot be opened

    def as_line(self, root: Path) -> str:
        """The file in one line."""
        name = str(self.path.relative_to(root)) if self.path.is_relative_to(root) else str(self.path)
        if self.problem:
            return f"{name}  {self.problem}"
        count = "" if self.traces is None else f"{self.traces:,} traces"
        words = [name, self.format, count, self.task, self.model, self.status, self.created[:19]]
        return "  ".join(word for word in words if word)


def listed(path: Path) -> Listed:
    """One file by its header; a broken one says what is wrong with it."""
    size = 0
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(4)
        if head == SIGN:
            return _listed_log(path, size)
        source = files.look(path)
        return Listed(path, size, source.format)
    except BrokenRecord as error:
        return Listed(path, size, problem=f"{error.what}; {error.remedy}")
    except ImportFormatError as error:
        return Listed(path, size, problem=f"{error.problem}; {error.remedy}")
    except OSError as error:
        return Listed(path, size, problem=f"cannot be read ({error.strerror}); check your rights")


def _listed_log(path: Path, size: int) -> Listed:
    header, samples, in_progress = header_of(path)
    spec = object_of(header.get("eval"))
    return Listed(
        path,
        size,
        "inspect",
        samples,
        str(spec.get("model") or ""),
        str(spec.get("task") or ""),
        "in progress" if in_progress else str(header.get("status") or ""),
        str(spec.get("created") or ""),
    )


def folder(path: Path) -> Iterator[Listed]:
    """The files under a folder that may hold traces, by name. Raises SteplensError."""
    if not path.is_dir():
        raise SteplensError(f"{path} is no folder; check the path")
    found = sorted(each for each in path.rglob("*") if each.suffix.lower() in SUFFIXES and each.is_file())
    if len(found) > MOST_FILES:
        raise SteplensError(f"{path} holds {len(found):,} files; open a folder of at most {MOST_FILES:,}")
    yield from map(listed, found)


@dataclass(slots=True)
class Opened:
    """A file whose traces can be read one by one, straight from it."""

    source: Source
    rows: tuple[SampleRow, ...]
    _places: list[tuple[int, int]] = field(default_factory=list)
    _records: list[Any] = field(default_factory=list)
    _within: list[tuple[int, int | None]] = field(default_factory=list)

    def traces(self, index: int) -> tuple[ForeignTrace, ...]:
        """The trace of one row; of a line that was not looked into, all. Raises ImportFormatError, also for a file that
        has changed meanwhile.
        """
        source = self.source
        record, within = self._within[index] if self._within else (index, None)
        try:
            if source.kind is Kind.ARCHIVE:
                log = InspectLog.open(source.path)
                with log.archive:
                    value: Any = log.read(self.rows[index].member)
            elif source.kind is Kind.LINES:
                start, length = self._places[record]
                with source.path.open("rb") as stream:
                    stream.seek(start)
                    value = parse(stream.read(length))
            elif source.kind is Kind.STREAM:
                return formats.read_stream(self._records).traces[index : index + 1]
            else:
                value = self._records[record]
            found = formats.read(value, source.told, record + 1).traces
            return found if within is None else found[within : within + 1]
        except BrokenRecord as error:
            raise ImportFormatError(source.path, record + 1, error.what, error.remedy) from error
        except KeyError as error:
            raise ImportFormatError(
                source.path, record + 1, "it is not there any more", "open the file again"
            ) from error
        except OSError as error:
            raise ImportFormatError(source.path, 0, f"cannot be read ({error.strerror})", "check the path") from error


def open_file(path: Path, words: tuple[str, ...] = ()) -> Opened:
    """Open a file to read its traces one by one. Raises ImportFormatError."""
    source = files.look(path, words)
    try:
        if source.kind is Kind.ARCHIVE:
            log = InspectLog.open(path)
            with log.archive:
                return Opened(source, tuple(log.rows()))
        if source.kind is Kind.LINES:
            return _open_lines(source)
        data = path.read_bytes()
        if source.kind is Kind.STREAM:
            events = [value for value in events_of(data) if isinstance(value, dict)]
            read = formats.read_stream(events)
            rows = tuple(_row(str(at + 1), trace) for at, trace in enumerate(read.traces))
            return Opened(source, rows, _records=events)
        _, records = files.parts_of(parse(data))
        values = [value for _, value in records]
        opened = Opened(source, (), _records=values)
        opened.rows = tuple(row for at, value in enumerate(values) for row in _titled(opened, at, str(at + 1), value))
        return opened
    except BrokenRecord as error:
        raise ImportFormatError(path, 1, error.what, error.remedy) from error
    except OSError as error:
        raise ImportFormatError(path, 0, f"cannot be read ({error.strerror})", "check the path and rights") from error


def _open_lines(source: Source) -> Opened:
    opened, rows = Opened(source, ()), list[SampleRow]()
    at = 0
    with source.path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            start, at = at, at + len(line)
            if not line.strip():
                continue
            opened._places.append((start, len(line)))
            place = len(opened._places) - 1
            if len(rows) < TITLED:
                rows += _titled(opened, place, str(number), files.parsed(line))
            else:
                rows.append(SampleRow(str(number), 1, ""))
                opened._within.append((place, None))
    opened.rows = tuple(rows)
    return opened


def _titled(opened: Opened, record: int, name: str, value: object) -> list[SampleRow]:
    """A row for each trace of a record; one that says so where there is none, or none can be read."""
    try:
        found = formats.read(value, opened.source.told, record + 1).traces
    except BrokenRecord as error:
        opened._within.append((record, None))
        return [SampleRow(name, 1, "", error=f"{error.what}; {error.remedy}")]
    if not found:
        opened._within.append((record, None))
        return [SampleRow(name, 1, "", "no conversation")]
    opened._within += [(record, within) for within in range(len(found))]
    return [_row(name, trace) for trace in found]


def _row(name: str, trace: ForeignTrace) -> SampleRow:
    scores = ", ".join(f"{each['scorer']} {each['value']}" for each in trace.scores)
    return SampleRow(
        trace.sample or name, trace.epoch or 1, "", " ".join(trace.problem.split())[:200], trace.outcome, scores[:80]
    )
