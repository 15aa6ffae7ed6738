"""Inspect logs in an archive: the header, the list of samples at once, and each sample from its own place.

A log in progress has a journal in place of header and list. New logs may cut a large sample into chunks
(`samples/ID_epoch_N/messages/0.json` ...); a log may hold both shapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.exchange.archive import Archive
from studio.exchange.foreign import Json
from studio.exchange.inspect_sample import title_of
from studio.exchange.reading import BrokenRecord, object_of, outcome_of, parse

_SAMPLE = re.compile(r"samples/(?P<id>.+)_epoch_(?P<epoch>\d+)(?:\.json|/(?P<part>.+)\.json)")
_CHUNK = re.compile(r"(?P<list>messages|events|calls|attachments)/(?P<start>\d+)")
MOST_TOGETHER = 1 << 30  # bytes of all chunks of one sample


def is_sample(member: str) -> bool:
    """Whether this member of a log is a whole sample; its name may hold slashes, as the sample's id does."""
    found = _SAMPLE.fullmatch(member)
    return found is not None and found["part"] is None


@dataclass(frozen=True, slots=True)
class SampleRow:
    """A sample as the list shows it, known without reading it; `member` is its file, or the folder of its chunks."""

    sample: str
    epoch: int
    member: str
    title: str = ""
    outcome: int | None = None
    scores: str = ""
    error: str = ""


def header_of(path: Path) -> tuple[Json, int, bool]:
    """Header, number of samples and whether the log is in progress, without taking the directory apart.

    Raises BrokenRecord, OSError.
    """
    with Archive.unread(path) as archive:
        found = archive.last("header.json")
        names = archive.directory
        if found is not None and b"/sample.json" not in names:
            header = object_of(parse(archive.read_member(found)))
            return header, names.count(b"samples/") - names.count(b"/samples/"), False
    log = InspectLog.open(path)
    with log.archive:
        return log.header, len(log.members()), log.in_progress


@dataclass(slots=True)
class InspectLog:
    """An open log. Raises BrokenRecord where it is damaged."""

    archive: Archive
    header: Json = field(default_factory=dict)
    in_progress: bool = False
    _chunks: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> InspectLog:
        """Open a log and read its header. Raises BrokenRecord, OSError."""
        archive = Archive(path)
        try:
            log = cls(archive)
            names = archive.members
            begin = next((name for name in ("header.json", "_journal/start.json") if name in names), None)
            if begin is None and not any(name.startswith("samples/") for name in names):
                raise BrokenRecord("an archive without header.json and samples", "a log of Inspect has them")
            log.in_progress = "header.json" not in names
            log.header = {} if begin is None else object_of(parse(archive.read(begin)))
            for name in names:
                found = _SAMPLE.fullmatch(name)
                if found is not None and found["part"] is not None:
                    log._chunks.setdefault(name[: -len(found["part"]) - 5], []).append(name)
            return log
        except BaseException:
            archive.close()
            raise

    def members(self) -> list[str]:
        """Every sample's file or folder, in the order of the archive."""
        return [*filter(is_sample, self.archive.members), *self._chunks]

    def rows(self) -> list[SampleRow]:
        """The list of samples from the summaries; a sample without one is known by its name alone."""
        said: dict[tuple[str, int], Json] = {}
        for summary in self._summaries():
            said[str(summary.get("id")), _whole(summary.get("epoch"))] = summary
        rows = []
        for member in self.members():
            found = _SAMPLE.fullmatch(member if member.endswith(".json") else f"{member}x.json")
            assert found is not None
            known = said.get((found["id"], int(found["epoch"])), {})
            rows.append(_row(found["id"], int(found["epoch"]), member, known))
        return rows

    def read(self, member: str) -> Json:
        """One sample, its chunks put together. Raises BrokenRecord, KeyError."""
        if member in self._chunks:
            return self._join(member)
        return object_of(parse(self.archive.read(member)))

    def parts_of(self, member: str) -> tuple[str, ...]:
        """The files of the archive that a sample is made of."""
        return tuple(self._chunks.get(member, (member,)))

    def _summaries(self) -> list[Json]:
        names = self.archive.members
        if "summaries.json" in names:
            said = parse(self.archive.read("summaries.json"))
            return [each for each in said if isinstance(each, dict)] if isinstance(said, list) else []
        journal = [name for name in names if name.startswith("_journal/summaries/")]
        journal.sort(key=lambda name: (len(name), name))
        found: list[Json] = []
        for name in journal:
            said = parse(self.archive.read(name))
            found += [each for each in (said if isinstance(said, list) else [said]) if isinstance(each, dict)]
        return found

    def _join(self, folder: str) -> Json:
        """A sample from its chunks: single values from sample.json and metadata.json, lists in order of their start."""
        names = self._chunks[folder]
        if sum(self.archive.members[name].size for name in names) > MOST_TOGETHER:
            raise BrokenRecord(f"its chunks are over {MOST_TOGETHER:,} bytes", "open the log with its own viewer")
        return joined(folder, {name: parse(self.archive.read(name)) for name in names})


def joined(folder: str, parts: Mapping[str, Any]) -> Json:
    """A sample from its chunks: single values from sample.json and metadata.json, lists in the order of their start."""
    sample: Json = {}
    lists: dict[str, list[tuple[int, list[Any]]]] = {}
    for name in sorted(parts):
        part, value = name[len(folder) : -len(".json")], parts[name]
        chunk = _CHUNK.fullmatch(part)
        if chunk is not None:
            piece = value if isinstance(value, list) else [value]
            lists.setdefault(chunk["list"], []).append((int(chunk["start"]), piece))
        elif part == "sample" and isinstance(value, dict):
            sample = value | sample
        elif part == "metadata" and isinstance(value, dict):
            sample.setdefault("metadata", value)
    for name, pieces in lists.items():
        whole = [each for _, piece in sorted(pieces, key=lambda piece: piece[0]) for each in piece]
        if name == "calls":
            sample["events_data"] = object_of(sample.get("events_data")) | {"calls": whole}
        else:
            sample[name] = whole
    if isinstance(sample.get("attachments"), list):
        sample["attachments"] = _flat(sample["attachments"])
    return sample


def _flat(pieces: list[Any]) -> Any:  # noqa: ANN401
    """Attachments of chunks: texts by number, or parts of one mapping."""
    if pieces and all(isinstance(each, dict) for each in pieces):
        return {key: value for each in pieces for key, value in each.items()}
    return pieces


def _row(sample: str, epoch: int, member: str, summary: Mapping[str, Any]) -> SampleRow:
    scores = object_of(summary.get("scores"))
    shown, outcome = [], None
    for name, score in scores.items():
        value = score.get("value") if isinstance(score, dict) else score
        outcome = outcome_of(value) if outcome is None else outcome
        shown.append(f"{name} {value}"[:40])
    error = summary.get("error")
    title = title_of(summary)
    return SampleRow(sample, epoch, member, title, outcome, ", ".join(shown), str(error)[:200] if error else "")


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 1
