"""The run folder: its layout, atomic writes, torn lines, control and heartbeat. Both sides use it; neither owns it."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path

import msgspec

from trainer.contract import events
from trainer.contract.records import InputRow, Record
from trainer.contract.spec import RunSpec

HEARTBEAT_SECONDS = 5.0


class RunFolderError(Exception):
    """A run folder that is not what it should be; the message names the file and what to do."""


class Control(StrEnum):
    """What the studio may ask of a worker."""

    CANCEL = "cancel"
    PAUSE = "pause"


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """process.json: which process writes this folder."""

    host: str
    boot: str
    pid: int
    created: float
    attempt: int


class RunFolder:
    """Paths and file operations of one run. Makes nothing until asked."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.spec = self.path / "spec.json"
        self.input = self.path / "input.jsonl"
        self.inputs = self.path / "inputs"
        self.process = self.path / "process.json"
        self.requests = self.path / "requests.jsonl"
        self.control = self.path / "control"
        self.alive = self.path / "alive"
        self.events = self.path / "events.jsonl"
        self.records = self.path / "records.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model"
        self.log = self.path / "worker.log"

    def create(self, spec: RunSpec, rows: Iterable[InputRow]) -> RunSpec:
        """Write the snapshot and the frozen spec; returns the spec with the snapshot's sha256 and row count."""
        self.path.mkdir(parents=True, exist_ok=False)
        for folder in (self.inputs, self.checkpoints):
            folder.mkdir()
        digest, count = hashlib.sha256(), 0
        encoder = msgspec.json.Encoder()
        with self.input.open("wb") as out:
            for row in rows:
                line = encoder.encode(row) + b"\n"
                digest.update(line)
                out.write(line)
                count += 1
            sync(out.fileno())
        frozen = msgspec.structs.replace(spec, input_sha256=digest.hexdigest(), input_rows=count)
        self.write_spec(frozen)
        return frozen

    def write_spec(self, spec: RunSpec) -> None:
        """Write spec.json, whole or not at all. Only where no worker is on the folder."""
        write_atomic(self.spec, msgspec.json.format(msgspec.json.encode(spec), indent=1))

    def read_spec(self) -> RunSpec:
        """The frozen spec. Raises RunFolderError."""
        try:
            return msgspec.json.decode(self.spec.read_bytes(), type=RunSpec)
        except FileNotFoundError:
            raise RunFolderError(f"{self.path} is not a run folder: it has no spec.json") from None
        except msgspec.MsgspecError as error:
            raise RunFolderError(f"{self.spec}: {error}; the run must be created again") from None

    def read_input(self) -> Iterator[InputRow]:
        """The rows, one by one. Raises RunFolderError with file:line."""
        decoder = msgspec.json.Decoder(InputRow)
        with self.input.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    yield decoder.decode(line)
                except msgspec.MsgspecError as error:
                    raise RunFolderError(f"{self.input}:{number}: {error}; create the run again") from None

    def verify_input(self, spec: RunSpec) -> None:
        """Compare input.jsonl with the checksum in the spec. Raises RunFolderError."""
        found = sha256_of(self.input)
        if found != spec.input_sha256:
            raise RunFolderError(
                f"{self.input}: sha256 {found[:12]} is not {spec.input_sha256[:12]} of spec.json; create the run again"
            )

    def ask(self, control: Control) -> None:
        """Ask the worker to cancel or pause; effective within 5 s."""
        write_atomic(self.control, control.value.encode())

    def asked(self) -> Control | None:
        """What the studio asks now."""
        try:
            text = self.control.read_text().strip()
        except FileNotFoundError:
            return None
        return Control(text) if text in (Control.CANCEL, Control.PAUSE) else None

    def clear_control(self) -> None:
        """Forget what was asked, before a new attempt."""
        self.control.unlink(missing_ok=True)

    def write_process(self, process: Process) -> None:
        """Name the writing process."""
        write_atomic(self.process, msgspec.json.encode(process))

    def read_process(self) -> Process | None:
        """The writing process, None when none was started."""
        try:
            return msgspec.json.decode(self.process.read_bytes(), type=Process)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise RunFolderError(f"{self.process}: {error}; delete it if no worker runs") from None

    def beat(self) -> None:
        """The heartbeat: touch `alive`."""
        self.alive.touch()

    def last_beat(self) -> float | None:
        """Unix time of the last heartbeat."""
        try:
            return self.alive.stat().st_mtime
        except FileNotFoundError:
            return None

    def tail_of_log(self, lines: int = 40) -> str:
        """The last lines of worker.log, at most 64 KiB."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, self.log.stat().st_size - 65536))
                return "\n".join(log.read().decode("utf-8", "replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""


def complete_lines(path: Path, offset: int = 0, limit: int = 1 << 22) -> tuple[list[bytes], int]:
    """Whole lines of an append-only file from a byte offset, and the offset behind the last; a torn last line waits."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(limit)
    except FileNotFoundError:
        return [], offset
    end = data.rfind(b"\n") + 1
    if end == 0 and len(data) == limit:
        return complete_lines(path, offset, limit * 4)
    return data[:end].splitlines(), offset + end


def read_events(path: Path, offset: int = 0) -> tuple[list[events.AnyEvent], int]:
    """Events from a byte offset on, and the offset behind them."""
    lines, behind = complete_lines(path, offset)
    return [events.decoder.decode(line) for line in lines if line.strip()], behind


def last_attempt(path: Path) -> int:
    """The highest attempt in an events file, 0 when there is none. Attempts are appended, so the last lines have it."""
    return max((events.decoder.decode(line).attempt for line in _last_lines(path)), default=0)


def last_event(path: Path) -> events.AnyEvent | None:
    """The last whole event of an events file, None where there is none. Raises msgspec.MsgspecError."""
    lines = _last_lines(path)
    return events.decoder.decode(lines[-1]) if lines else None


def _last_lines(path: Path, window: int = 1 << 20) -> list[bytes]:
    """Whole lines of the end of a file, at least one where it has any: a line may be longer than the window."""
    size = path.stat().st_size if path.exists() else 0
    offset = max(0, size - window)
    lines = [line for line in complete_lines(path, offset, window + 1)[0][1 if offset else 0 :] if line.strip()]
    return lines if lines or not offset else _last_lines(path, 4 * window)


def all_events(path: Path) -> Iterator[events.AnyEvent]:
    """Every whole event of a file, in order, a piece of the file at a time."""
    offset, lines = 0, [b""]
    while lines:
        lines, offset = complete_lines(path, offset)
        yield from (events.decoder.decode(line) for line in lines if line.strip())


STREAMED = tuple(f'{{"kind":"{kind.__struct_config__.tag}"'.encode() for kind in (events.Wrote, events.Grew))
"""How lines begin that tell of an answer while it is made; when it is over, they are of no use."""
WORTH_DROPPING = 1 << 20  # bytes of such lines, under which a file stays as it is


def drop_streamed(path: Path) -> int:
    """Take what earlier attempts told of answers out of an events file, if it is much; returns the bytes.

    For the one writer, before it opens the file. It is a new file then, by which those who follow it know.
    """
    if not path.exists() or path.stat().st_size < WORTH_DROPPING:
        return 0
    with path.open("rb") as lines:
        dropped = sum(len(line) for line in lines if line.startswith(STREAMED))
    if dropped < WORTH_DROPPING:
        return 0
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with path.open("rb") as lines, aside.open("wb") as out:
        out.writelines(line for line in lines if not line.startswith(STREAMED))
        out.flush()
        sync(out.fileno())
    aside.replace(path)
    return dropped


def file_number(path: Path) -> int:
    """Changes when another file takes the place of this one; 0 where there is none."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


record_decoder = msgspec.json.Decoder(Record)


def read_records(path: Path, offset: int = 0) -> tuple[list[Record], int]:
    """Records from a byte offset on, and the offset behind them."""
    lines, behind = complete_lines(path, offset)
    return [record_decoder.decode(line) for line in lines if line.strip()], behind


def all_records(path: Path) -> Iterator[Record]:
    """Every whole record of a file, in order, a piece of the file at a time."""
    offset, lines = 0, [b""]
    while lines:
        lines, offset = complete_lines(path, offset)
        yield from (record_decoder.decode(line) for line in lines if line.strip())


def known_records(path: Path) -> set[str]:
    """The ids of all records of a file: what earlier attempts made."""
    return {record.id for record in all_records(path)}


def cut_torn_line(path: Path) -> int:
    """Cut an append-only file behind its last newline; returns the bytes cut."""
    if not path.exists():
        return 0
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        position = size
        while position > 0:
            start = max(0, position - 65536)
            file.seek(start)
            found = file.read(position - start).rfind(b"\n")
            if found >= 0:
                file.truncate(start + found + 1)
                return size - (start + found + 1)
            position = start
        file.truncate(0)
        return size


def write_atomic(path: Path, data: bytes) -> None:
    """Write aside, flush to disk, rename: a reader sees the old file or the new one."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with aside.open("wb") as file:
        file.write(data)
        file.flush()
        sync(file.fileno())
    aside.replace(path)


def sync(descriptor: int) -> None:
    """Flush a file to the disk."""
    os.fsync(descriptor)


def sha256_of(path: Path) -> str:
    """The sha256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def sha256_of_folder(path: Path) -> str:
    """One checksum over a model folder: relative names and contents in order, without the card that names it."""
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file() and p.name != "MODEL_CARD.md"):
        digest.update(f"{file.relative_to(path).as_posix()}\0{sha256_of(file)}\n".encode())
    return digest.hexdigest()


def checksum_of(path: Path) -> str:
    """The checksum of a model, which is a folder or a file."""
    return sha256_of_folder(path) if path.is_dir() else sha256_of(path)


def boot_id() -> str:
    """This boot of this machine; a process from another boot cannot live."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"boot-{int(time.time() - time.monotonic())}"


def host_name() -> str:
    """This machine's name."""
    return socket.gethostname()
