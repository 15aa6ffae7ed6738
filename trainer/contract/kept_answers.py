"""The cache of answers on the disk: a folder a model, in it one file a key; for any number of processes at once.

    FOLDER/MODEL/about.json      which model this is
    FOLDER/MODEL/counts.json     hits and misses, and what the hits saved
    FOLDER/MODEL/ab/ab12...      a checksum, a line break, and the answer as JSON

A file appears whole or not at all; one whose checksum disagrees is no answer, and is told. Nothing in it is ever run.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from trainer.contract.generated import Spent

STALE_SECONDS = 3600.0  # a file that was being written for so long is of a process that was killed
_ASIDE = ".aside-"
DAY = 86400.0


class About(msgspec.Struct, frozen=True):
    """about.json: what people call the model, and all that makes it another one."""

    name: str
    identity: str


class Counts(msgspec.Struct, frozen=True):
    """counts.json: lookups, and what was spent the first time on what the hits gave again."""

    hits: int = 0
    misses: int = 0
    saved_cost: float = 0.0
    saved_seconds: float = 0.0
    saved_tokens: int = 0


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One answer: its key, when it was kept (Unix seconds), what it had cost, and itself as JSON."""

    key: str
    at: float
    spent: Spent
    value: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Found:
    """What a lookup gave; `problem` says what is wrong with a file that is there and no answer."""

    kept: Kept | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """What a cache holds of one model, and how often it helped."""

    name: str
    identity: str
    answers: int
    bytes: int
    counts: Counts


class KeptAnswers:
    """The answers of one model in a cache's folder."""

    def __init__(self, folder: Path, name: str, identity: str) -> None:
        self.path = folder / hashlib.sha256(identity.encode()).hexdigest()[:16]
        self._about = About(name, identity)

    def get(self, key: str) -> Found:
        """The answer of a key, if it is there and whole."""
        path = self._file(key)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return Found(None)
        except OSError as error:
            return Found(None, f"{path} cannot be read: {error}")
        head, _, body = data.partition(b"\n")
        if head != hashlib.sha256(body).hexdigest().encode():
            return Found(None, f"{path} is damaged; its answer is asked for again")
        try:
            kept = msgspec.json.decode(body, type=Kept)
        except msgspec.MsgspecError as error:
            return Found(None, f"{path} is of another version ({error}); its answer is asked for again")
        return Found(kept if kept.key == key else None, "" if kept.key == key else f"{path} holds another key")

    def put(self, kept: Kept) -> None:
        """Keep an answer in the place of what was there. Raises OSError."""
        body = msgspec.json.encode(kept)
        if not (self.path / "about.json").exists():
            self._write(self.path / "about.json", msgspec.json.encode(self._about))
        self._write(self._file(kept.key), hashlib.sha256(body).hexdigest().encode() + b"\n" + body)

    def count(self, more: Counts) -> None:
        """Add to the counts. Raises OSError."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            now = _counts(self.path)
            total = Counts(*(getattr(now, name) + getattr(more, name) for name in Counts.__struct_fields__))
            self._write(self.path / "counts.json", msgspec.json.encode(total))

    def _file(self, key: str) -> Path:
        return self.path / key[:2] / key

    @staticmethod
    def _write(path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f"{_ASIDE}{uuid.uuid4().hex}")
        try:
            aside.write_bytes(data)
            aside.replace(path)
        except OSError:
            aside.unlink(missing_ok=True)
            raise


def statistics(folder: Path) -> tuple[ModelStatistics, ...]:
    """Every model of a cache, by name."""
    found = []
    for path in _models(folder):
        sizes = [size for file in _answers(path) if (size := _size(file)) is not None]
        about = _about(path)
        found.append(ModelStatistics(about.name, about.identity, len(sizes), sum(sizes), _counts(path)))
    return tuple(sorted(found, key=lambda each: (each.name, each.identity)))


def remove(folder: Path, *, model: str | None = None, older_than_days: float = 0.0) -> int:
    """Remove answers: of a model's name or identity (None = of all), older than so many days (0 = all); how many."""
    before, removed = time.time() - older_than_days * DAY, 0
    for path in _models(folder):
        about = _about(path)
        if model is not None and model not in (about.name, about.identity):
            continue
        for file in _answers(path):
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                if not older_than_days or file.stat().st_mtime < before:
                    file.unlink()
                    removed += 1
        for aside in path.rglob(f"{_ASIDE}*"):
            with contextlib.suppress(FileNotFoundError):
                if aside.stat().st_mtime < time.time() - STALE_SECONDS:
                    aside.unlink()
    return removed


def _models(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _answers(model: Path) -> Iterator[Path]:
    for part in model.iterdir():
        if part.is_dir():
            yield from (file for file in part.iterdir() if not file.name.startswith(_ASIDE))


def _size(file: Path) -> int | None:
    try:
        return os.stat(file).st_size
    except FileNotFoundError:
        return None  # removed since it was listed


def _about(model: Path) -> About:
    try:
        return msgspec.json.decode((model / "about.json").read_bytes(), type=About)
    except (OSError, msgspec.MsgspecError):
        return About(model.name, model.name)  # its answers are whole without it


def _counts(model: Path) -> Counts:
    try:
        return msgspec.json.decode((model / "counts.json").read_bytes(), type=Counts)
    except (OSError, msgspec.MsgspecError):
        return Counts()  # counted anew: they are figures, not answers
