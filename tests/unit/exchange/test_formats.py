"""Every fixture of a foreign format: read as it must be, and given back from the tables by value, or byte by byte."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from studio.exchange import foreign_export, langfuse, opening, otel_spans
from studio.exchange.archive import Archive
from studio.exchange.files import Kind
from studio.exchange.foreign_export import Standing
from studio.exchange.transfer import import_files
from studio.store import schema as s
from studio.store import schema_inspect as i
from studio.store import token_values, traces
from studio.workspace import Workspace

FOLDER = Path(__file__).parents[2] / "fixtures" / "formats"
EXPECTED: dict[str, Any] = json.loads(FOLDER.with_name("expected_blocks.json").read_text(encoding="utf-8"))
NAMES = sorted(EXPECTED)
each_fixture = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, Path]]:
    """A workspace with every fixture; the files, copies of them, are gone since."""
    folder = tmp_path_factory.mktemp("formats")
    files = Path(shutil.copytree(FOLDER, folder / "files"))
    with Workspace.open(folder / "workspace", create=True) as workspace:
        report = import_files(workspace, [files])
        assert (report.broken, report.traces) == (0, sum(map(len, EXPECTED.values())))
        assert import_files(workspace, [files]).imported == 0
        shutil.rmtree(files)
        yield workspace, files


def test_there_is_a_fixture_of_every_shape() -> None:
    assert len(NAMES) >= 40
    assert sorted(path.name for path in FOLDER.iterdir()) == NAMES
    assert sum(name.startswith("think_") for name in NAMES) >= 14


@each_fixture
def test_its_messages_and_blocks(name: str) -> None:
    opened = opening.open_file(FOLDER / name)
    talks = [row for row in opened.rows if row.title != "no conversation"]
    assert len(talks) == len(EXPECTED[name]), "a row a trace, whatever holds several"
    found = [trace for at in range(len(opened.rows)) for trace in opened.traces(at)]
    said = [
        [[m.role, *([b.kind.value, trace.text[b.start : b.end]] for b in m.blocks)] for m in trace.messages]
        for trace in found
    ]
    assert said == EXPECTED[name]


@each_fixture
def test_blocks_and_markup_are_the_text(name: str, imported: tuple[Workspace, Path]) -> None:
    """Messages stand one after the other without a gap; blocks within them, in order; steps within blocks."""
    workspace, files = imported
    with workspace.database.read() as c:
        log = foreign_export.by_name(c, str(files / name))
        rows = c.execute(select(s.trace).where(s.trace.c.log_id == log.id).order_by(s.trace.c.id)).all()
        assert len(rows) == len(EXPECTED[name])
        for row, expected in zip(rows, EXPECTED[name], strict=True):
            messages = c.execute(select(s.message).where(s.message.c.trace_id == row.id).order_by(s.message.c.ordinal))
            at, inside, said = 0, set[int](), []
            for message in messages.all():
                start, end = message.extra["span"]
                assert start == at
                at = end
                said.append([message.role, *([kind, row.text[first:last]] for kind, first, last in message.blocks)])
                for _, first, last in message.blocks:
                    assert start <= first < last <= end
                    start = last
                    inside.update(range(first, last))
            assert at == len(row.text)
            assert said == expected
            loaded = traces.load(c, row.id)
            assert all(step.start < step.end and step.start in inside for step in loaded.segmentation.steps)
            assert loaded.segmentation.steps


@each_fixture
def test_it_comes_back_by_value_from_the_tables_alone(name: str, imported: tuple[Workspace, Path]) -> None:
    workspace, files = imported
    with workspace.database.read() as c:
        log = foreign_export.by_name(c, str(files / name))
        assert log.standing() is Standing.MOVED
        assert foreign_export.raw(c, log) is None
        assert not c.execute(select(i.raw_record).limit(1)).all()
        again = b"".join(foreign_export.rebuilt(c, log))
    assert values(name, again, log.kind) == values(name, (FOLDER / name).read_bytes(), log.kind)


def values(name: str, data: bytes, kind: Kind) -> Any:
    """What a file says, as JSON text with every key in its place: NaN is equal to itself there."""
    if kind is Kind.ARCHIVE:
        if not data.startswith((FOLDER / name).read_bytes()[:40]):
            with zipfile.ZipFile(BytesIO(data)) as opened:
                return {each: json.dumps(json.loads(opened.read(each))) for each in sorted(opened.namelist())}
        archive = Archive(FOLDER / name)
        with archive:
            return {each: json.dumps(json.loads(archive.read(each))) for each in sorted(archive.members)}
    text = data.decode()
    if kind is Kind.STREAM:
        events = [
            line.removeprefix("data:").strip() for line in text.splitlines() if line and not line.startswith("event:")
        ]
        names = [line for line in text.splitlines() if line.startswith("event:")]
        return names, [each if each == "[DONE]" else json.dumps(json.loads(each)) for each in events]
    if kind is Kind.LINES:
        return [json.dumps(json.loads(line)) for line in text.splitlines()]
    return json.dumps(json.loads(text))


def test_a_copy_comes_back_byte_by_byte(tmp_path: Path) -> None:
    files = Path(shutil.copytree(FOLDER, tmp_path / "files"))
    with Workspace.open(tmp_path / "workspace", create=True) as workspace:
        import_files(workspace, [files], copy=True)
        shutil.rmtree(files)
        with workspace.database.read() as c:
            for name in NAMES:
                log = foreign_export.by_name(c, str(files / name))
                kept = foreign_export.raw(c, log)
                assert kept is not None
                assert b"".join(kept) == (FOLDER / name).read_bytes()


def test_token_values_equal_the_source(imported: tuple[Workspace, Path]) -> None:
    workspace, files = imported
    said = json.loads((FOLDER / "openai_logprobs.jsonl").read_text())["choices"][0]["logprobs"]["content"]
    with workspace.database.read() as c:
        log = foreign_export.by_name(c, str(files / "openai_logprobs.jsonl"))
        row = c.execute(select(s.trace).where(s.trace.c.log_id == log.id)).one()
        tokens = token_values.read(c, row.id)
    assert tokens is not None
    assert tokens.logprob is not None
    assert np.abs(tokens.logprob - [each["logprob"] for each in said]).max() < 1e-6
    spelled = [row.text[a:b] for a, b in zip(tokens.starts, [*tokens.starts[1:], len(row.text)], strict=True)]
    assert spelled == ["It", " is", " 51", " €", "."]  # a character that two tokens share belongs to the first
    assert tokens.alternatives is not None
    assert tokens.alternatives[0] == (("It", -0.25), ("The", -1.5))


def test_when_the_first_token_came_is_taken_over() -> None:
    asked = {"id": "o", "traceId": "t", "type": "GENERATION", "input": "17 × 3?", "output": "51"}
    times = {"startTime": "2026-01-01T00:00:00Z", "completionStartTime": "2026-01-01T00:00:01.5Z"}
    (trace,) = langfuse.read(asked | times).traces
    assert (trace.messages[-1].extra["at"], trace.messages[-1].extra["first"]) == tuple(times.values())
    attributes = {"gen_ai.output.messages": '[{"role": "assistant", "parts": [{"type": "text", "content": "51"}]}]'}
    span = {"traceId": "a", "spanId": "b", "startTimeUnixNano": "1760000000000000000"}
    said = attributes | {"gen_ai.response.time_to_first_chunk": 0.25}
    (trace,) = otel_spans.read(span | {"attributes": said}).traces
    at, first = (datetime.fromisoformat(trace.messages[-1].extra[name]) for name in ("at", "first"))
    assert (first - at).total_seconds() == 0.25
    (trace,) = otel_spans.read(span | {"attributes": attributes}).traces
    assert "first" not in trace.messages[-1].extra
