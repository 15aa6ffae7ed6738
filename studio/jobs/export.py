"""Every figure of runs as files that other programs read: one CSV, or event files of TensorBoard."""

from __future__ import annotations

import argparse
import csv
import os
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO

import msgspec

from studio.errors import CancelledError, RunError
from studio.exchange.telling import CANCELLED, Teller, cancellable
from studio.jobs.compare import Side, named_runs, read_side
from studio.store import runs
from studio.store.runs import StoredRun
from studio.workspace import Workspace
from trainer.contract import events
from trainer.contract.run_folder import RunFolder, complete_lines

COLUMNS = ("run", "split", "step", "name", "value")
Progress = Callable[[str, int, int], None]


class ExportFormat(StrEnum):
    """What the figures of runs can be written as."""

    CSV = "csv"
    TENSORBOARD = "tensorboard"


@dataclass(frozen=True, slots=True)
class ExportedRuns:
    """What was written where."""

    folder: str
    format: str
    runs: int
    points: int

    def sentences(self) -> Iterator[str]:
        """For a person."""
        yield f"{self.points:,} points of {self.runs} run(s) written to {self.folder}"
        if self.format == ExportFormat.TENSORBOARD:
            yield f"to look at them: tensorboard --logdir {self.folder}"


def export_runs(
    workspace: Workspace,
    found: Sequence[StoredRun],
    folder: Path,
    format: ExportFormat,
    progress: Progress | None = None,
) -> ExportedRuns:
    """Write every figure of these runs into `folder`; files of an export before are replaced whole. Raises RunError."""
    tell = progress or (lambda _phase, _done, _total: None)
    write = _write_csv if format is ExportFormat.CSV else _write_tensorboard
    try:
        folder.mkdir(parents=True, exist_ok=True)
        points = write(workspace, found, folder, tell)
    except OSError as error:
        raise RunError(f"{error.filename or folder}: {error.strerror}; choose a folder you may write to") from error
    return ExportedRuns(str(folder), format.value, len(found), points)


def _write_csv(workspace: Workspace, found: Sequence[StoredRun], folder: Path, tell: Progress) -> int:
    """metrics.csv: run (its uid), split, step, name, value; runs.csv: what each uid is."""
    points = 0
    with _whole_text(folder / "metrics.csv") as metrics, _whole_text(folder / "runs.csv") as about:
        rows, heads = csv.writer(metrics), csv.writer(about)
        rows.writerow(COLUMNS)
        heads.writerow(("run", "name", "recipe", "state", "device", "created_at", "parameters", "summary"))
        for number, run in enumerate(found):
            tell("writing runs", number, len(found))
            side = read_side(workspace, run)
            said = (msgspec.json.encode(x).decode() for x in (side.spec.parameters, dict(run.summary)))
            heads.writerow((run.uid, run.name, run.recipe, run.state.value, run.device, run.created_at, *said))
            for series, curve in side.curves.items():
                split, _, name = series.partition("/")
                pairs = zip(curve.steps.tolist(), curve.values.tolist(), strict=True)
                rows.writerows((run.uid, split, step, name, repr(value)) for step, value in pairs)
                points += len(curve.steps)
    return points


def _write_tensorboard(workspace: Workspace, found: Sequence[StoredRun], folder: Path, tell: Progress) -> int:
    """A folder for each run, as TensorBoard wants it, with one event file."""
    points = 0
    for number, run in enumerate(found):
        tell("writing runs", number, len(found))
        side = read_side(workspace, run)
        times = times_of(RunFolder(workspace.path / run.folder))
        own = folder / f"{_plain(run.name)}-{run.uid[:8]}"
        own.mkdir(exist_ok=True)
        with _whole(own / f"events.out.tfevents.{int(min(times.values(), default=0))}.steplens") as out:
            points += write_event_file(out, side, times)
    return points


def write_event_file(out: IO[bytes], side: Side, times: dict[tuple[str, int], float]) -> int:
    """One event for all figures of a split at a step, by time; values become float32. How many points."""
    by_event: dict[tuple[str, int], list[tuple[str, float]]] = {}
    for series, curve in side.curves.items():
        split = series.partition("/")[0]
        for step, value in zip(curve.steps.tolist(), curve.values.tolist(), strict=True):
            by_event.setdefault((split, step), []).append((series, value))
    ordered = sorted(by_event, key=lambda key: (times.get(key, 0.0), key[1], key[0]))
    out.write(record(version_event(times[ordered[0]] if ordered and ordered[0] in times else 0.0)))
    for key in ordered:
        out.write(record(scalar_event(times.get(key, 0.0), key[1], by_event[key])))
    return sum(map(len, by_event.values()))


def times_of(folder: RunFolder) -> dict[tuple[str, int], float]:
    """Unix time at which each (split, step) was last told of, by the newest attempt that told it."""
    times: dict[tuple[str, int], float] = {}
    attempt, offset = 0, 0
    while True:
        lines, behind = complete_lines(folder.events, offset)
        if behind == offset:
            return times
        offset = behind
        for line in lines:
            try:
                event = events.decoder.decode(line)
            except msgspec.MsgspecError:  # Track tells of such a line
                continue
            if event.attempt < attempt:  # a worker that was given up
                continue
            attempt = event.attempt
            if isinstance(event, events.Metrics):
                times[event.split, event.step] = event.at


# -- TensorBoard's file: records of (length, masked CRC-32C, Event, masked CRC-32C); see tensorflow/core/lib/io --------


def record(data: bytes) -> bytes:
    """A TFRecord around some bytes."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc(length)) + data + struct.pack("<I", masked_crc(data))


def masked_crc(data: bytes) -> int:
    """CRC-32C, rotated right by 15 bits and added to a constant, as a TFRecord wants it."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """CRC-32 of Castagnoli (reflected polynomial 0x82F63B78)."""
    crc, table = 0xFFFFFFFF, _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _entry(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value


_TABLE = tuple(_entry(value) for value in range(256))


def version_event(at: float) -> bytes:
    """The Event that every file begins with: wall_time = 1, file_version = 3."""
    return _double(1, at) + _bytes(3, b"brain.Event:2")


def scalar_event(at: float, step: int, values: Sequence[tuple[str, float]]) -> bytes:
    """An Event with scalars: wall_time = 1, step = 2, summary = 5 of Values with tag = 1, simple_value = 2."""
    summary = b"".join(_bytes(1, _bytes(1, tag.encode()) + _float(2, value)) for tag, value in values)
    return _double(1, at) + _varint(2 << 3) + _varint(step & 0xFFFFFFFFFFFFFFFF) + _bytes(5, summary)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _float(field: int, value: float) -> bytes:
    try:
        packed = struct.pack("<f", value)
    except OverflowError:  # beyond float32
        packed = struct.pack("<f", float("inf") if value > 0 else float("-inf"))
    return _varint(field << 3 | 5) + packed


# -- files ---------------------------------------------------------------------------------------------------------


@contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """Write aside and rename at the end: nobody sees half a file."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("wb") as out:
            yield out
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def _whole_text(path: Path) -> Iterator[IO[str]]:
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("w", newline="", encoding="utf-8") as out:
            yield out
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")[:60] or "run"


def verb(args: argparse.Namespace) -> int:
    """`steplens runs --export DIR`: the named runs, or all."""
    teller = Teller(args.progress)
    try:
        with Workspace.open(args.workspace) as workspace, cancellable() as stop:
            with workspace.database.read() as c:
                found = named_runs(c, args.run) if args.run else runs.all_runs(c)

            def tell(phase: str, done: int, total: int) -> None:
                if stop():
                    raise CancelledError("cancelled; files that were complete are kept")
                teller(phase, done, total, "")

            teller.report(export_runs(workspace, found, args.export, ExportFormat(args.format), tell))
    except CancelledError as error:
        teller.say(str(error))
        return CANCELLED
    return 0
