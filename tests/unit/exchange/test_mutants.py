"""Damaged fixtures of every format: each comes in, or is refused with what and remedy, and nothing is lost.

`STEPLENS_MUTANTS` says how many are made of each file; all kinds are drawn by a seed.
"""

from __future__ import annotations

import copy
import gzip
import hashlib
import json
import os
import random
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from studio.errors import ImportFormatError
from studio.exchange import file_records, files, opening, skeleton
from studio.exchange.archive import Archive
from studio.exchange.files import Kind, Refusal, Result
from studio.exchange.foreign_writer import ReadyRecord
from studio.exchange.reading import BrokenRecord, parse
from studio.exchange.transfer import import_files
from studio.workspace import Workspace

FOLDER = Path(__file__).parents[2] / "fixtures" / "formats"
EACH = int(os.environ.get("STEPLENS_MUTANTS", "18"))
OTHER: tuple[Any, ...] = (None, True, 7, -1, 2**70, float("nan"), "", "x", "\ud800", [], {}, [None], {"x": None}, [[]])


def places(value: object, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*at, key))


def other_value(text: bytes, rng: random.Random) -> bytes:
    """One value of a record is another one, is missing, or has its key twice."""
    value = json.loads(text)
    at = rng.choice(list(places(value)))
    if not at:
        return json.dumps(rng.choice(OTHER)).encode()
    inside = value = copy.deepcopy(value)
    for key in at[:-1]:
        inside = inside[key]
    how = rng.randrange(8)
    if how == 0:
        del inside[at[-1]]
    elif how == 1 and isinstance(inside, dict):
        inside["@twice"] = inside[at[-1]]
    else:
        inside[at[-1]] = rng.choice(OTHER)
    return json.dumps(value).replace('"@twice"', json.dumps(at[-1])).encode()


def other_bytes(data: bytes, rng: random.Random) -> bytes:
    """A file cut off, with a bit changed, written twice, or as another program writes it."""
    at = rng.randrange(len(data))
    flipped = bytearray(data)
    flipped[at] ^= 1 << rng.randrange(8)
    kinds = [data[:at], bytes(flipped), bytes(flipped), data + data, data + b"\n" + data, gzip.compress(data)]
    kinds += [data[:at] + b"\0" + data[at:], data[:at] + b"\xff" + data[at:], b"\xef\xbb\xbf" + data]
    if not data.startswith(b"PK"):
        text = data.decode()
        kinds += [text.replace("\n", end).encode() for end in ("\r\n", "\r", "\n\n")]
        kinds += [text.encode(name) for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32")]
    return rng.choice(kinds)


def mutants(path: Path) -> Iterator[bytes]:
    rng = random.Random(f"5 {path.name}")
    data = path.read_bytes()
    for _ in range(EACH):
        if rng.random() < 0.4:
            yield other_bytes(data, rng)
        elif path.suffix == ".eval":
            with Archive(path) as archive:
                members = {name: archive.read(name) for name in archive.members}
            name = rng.choice(list(members))
            made = BytesIO()
            with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as out:
                for each, content in members.items():
                    out.writestr(each, other_value(content, rng) if each == name else content)
            yield made.getvalue()
        elif path.suffix == ".json":
            yield other_value(data, rng)
        else:
            lines = data.split(b"\n")
            at = rng.choice([at for at, line in enumerate(lines) if b"{" in line])
            mark = b"data: " if lines[at].startswith(b"data:") else b""
            lines[at] = mark + other_value(lines[at].removeprefix(b"data:"), rng)
            yield b"\n".join(lines)


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.iterdir()))
def test_a_damaged_file_comes_in_or_is_refused_with_a_remedy(name: str, tmp_path: Path) -> None:
    for number, data in enumerate(mutants(FOLDER / name)):
        path = tmp_path / f"{number} {name}"
        path.write_bytes(data)
        try:
            source = files.look(path)
            found = [
                each for piece in files.pieces(source, hashlib.sha256()) for each in file_records.read_piece(piece)
            ]
        except ImportFormatError as error:
            refused = error.problem, error.remedy
        except BrokenRecord as error:  # the import says it with the file
            refused = error.what, error.remedy
        else:
            check(source, data, found)
            continue
        assert all(refused)


def check(source: files.Source, data: bytes, found: list[Result]) -> None:
    records = [each for each in found if isinstance(each, ReadyRecord)]
    refused = [each for each in found if isinstance(each, Refusal)]
    assert all(each.what and each.remedy for each in refused)
    for record in records:
        for trace in record.traces:
            whole(trace)
    said = {r.ordinal: skeleton.unpack(r.skeleton, [t.columns[3] for t in r.traces]) for r in records if r.ordinal}
    if source.kind is Kind.LINES:
        lines = {at: line.strip(b"\r") for at, line in enumerate(data.split(b"\n"), 1)}
        there = {at: line for at, line in lines.items() if line.removeprefix(b"\xef\xbb\xbf").strip()}
        assert len(records) + len(refused) == len(there)
        assert {at: json.dumps(value) for at, value in said.items()} == {
            at: json.dumps(parse(there[at])) for at in said
        }
    elif source.kind is Kind.DOCUMENT:
        document = parse(data)
        assert len(said) + len(refused) == len(files.parts_of(document)[1])
        around = next(record for record in records if not record.ordinal)
        assert json.dumps(skeleton.unpack(around.skeleton, records=said)) == json.dumps(document)
    elif source.kind is Kind.ARCHIVE:
        with Archive(source.path) as archive:
            left_out = tuple(each.member for each in refused)
            kept = tuple(record.member for record in records)
            assert all(name.startswith((*kept, *left_out)) for name in archive.members)


def whole(trace: Any) -> None:
    """Its messages stand one after the other, blocks and steps within them; every column can be stored."""
    text, at = trace.columns[3], 0
    for _, role, blocks, extra in trace.messages:
        start, end = json.loads(extra)["span"]
        assert role
        assert start == at
        at = end
        for _, first, last in json.loads(blocks):
            assert start <= first < last <= end
            start = last
    assert at == len(text)
    assert all(first < last <= len(text) for first, last in zip(trace.starts, trace.ends, strict=True))
    for value in (*trace.columns, *trace.problem):
        if isinstance(value, str):
            value.encode()
        assert value is None or isinstance(value, str) or -(2**63) <= value < 2**63


HIDDEN = "[encrypted thinking]"
RESPONSE = {"object": "response", "output": [{"encrypted_content": "gA"}, {"type": "message", "content": "4"}]}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"choices": [{"message": {"role": None, "content": "4", "reasoning": "two"}}]}, ["two", "4"]),
        (
            {"choices": [{"message": {"content": "4", "reasoning_details": [{"type": "reasoning.encrypted"}]}}]},
            [HIDDEN, "4"],
        ),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "reasoning", "redacted": True}, "4"]}]},
            ["[redacted thinking]", "4"],
        ),
        (RESPONSE, ["[content of an unknown kind]", "4"]),
    ],
)
def test_thinking_without_its_words_is_shown_as_such(tmp_path: Path, row: dict[str, object], said: list[str]) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row))
    assert opening.open_file(path).traces(0)[0].text == "\n\n".join(said)


@pytest.mark.parametrize("format", ["auto", "prm800k", "traces"])
def test_what_would_be_waited_for_is_no_file(tmp_path: Path, format: str) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    with Workspace.open(tmp_path / "w", create=True) as workspace:
        for path in (tmp_path / "pipe.jsonl", Path("/dev/zero")):
            with pytest.raises(ImportFormatError, match="it is no file"):
                import_files(workspace, [path], format=format)
            with pytest.raises(ImportFormatError, match="it is no file"):
                opening.open_file(path)


def test_names_that_are_no_text_and_packed_files_are_refused_with_a_remedy(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    good = (FOLDER / "think_paired.jsonl").read_bytes()
    (folder / "good.jsonl").write_bytes(good)
    (folder / "packed.jsonl").write_bytes(gzip.compress(good))
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.jsonl")).write_bytes(good)
    with Workspace.open(tmp_path / "w", create=True) as workspace:
        report = import_files(workspace, [folder])
    assert (report.traces, report.broken) == (1, 2)
    assert sorted(error.what for error in report.errors) == [
        "the file is left out: it is packed by gzip",
        "the file is left out: its name is not UTF-8",
    ]
