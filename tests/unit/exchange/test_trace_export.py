"""Traces go out as Inspect, OTLP and JSON Lines and come back as they were; what others changed counts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from studio.cli import main
from studio.exchange import foreign_export, own_traces, trace_export
from studio.exchange.own_traces import OwnTrace
from studio.exchange.transfer import import_files
from studio.store import schema as s
from studio.workspace import Workspace
from tests.e2e.conversing import fill_talk

FIXTURES = Path(__file__).parents[2] / "fixtures" / "formats"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with every fixture, a conversation with token values, and rated steps."""
    folder = tmp_path_factory.mktemp("out")
    fill_talk(folder / "w")
    files = Path(shutil.copytree(FIXTURES, folder / "files"))
    with Workspace.open(folder / "w") as workspace:
        assert import_files(workspace, [files]).traces > 40
    return folder / "w"


def own(folder: Path) -> list[OwnTrace]:
    """Everything of every trace, sorted so that order does not count, numbers that are none as words."""
    with Workspace.open(folder) as workspace, workspace.database.read() as c:
        ids = c.scalars(select(s.trace.c.id).order_by(s.trace.c.id)).all()
        made = [own_traces.of_trace(c, trace_id) for trace_id in ids]
    said = [msgspec.convert(own_traces.carried(one), OwnTrace) for one in made]
    return sorted(said, key=lambda one: msgspec.json.encode(one))


@pytest.mark.parametrize("form", trace_export.FORMS)
def test_everything_comes_back_as_it_was(source: Path, tmp_path: Path, form: str) -> None:
    out = tmp_path / f"out.{'jsonl' if form == 'jsonl' else 'json'}"
    words = ["export", str(out), "--workspace", str(source), "--format", form, "--progress", "none"]
    assert main(words) == 0
    with Workspace.open(tmp_path / "back", create=True) as workspace:
        report = import_files(workspace, [out])
        assert report.broken == 0
        with workspace.database.read() as c:
            (log,) = foreign_export.logs(c)
            again = b"".join(foreign_export.rebuilt(c, log))
            said = out.read_bytes()
            split = (lambda data: [json.loads(line) for line in data.splitlines()]) if form == "jsonl" else json.loads
            assert split(again) == split(said), "what came back can be given back once more"
    before, after = own(source), own(tmp_path / "back")
    assert len(before) > 40
    assert any(one.tokens is not None and one.tokens.logprob for one in before)
    assert any(len(one.messages) > 2 for one in before)
    assert after == before


def test_what_somebody_changed_counts(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert main(["export", str(out), "--workspace", str(source), "--format", "inspect", "--trace", "1"]) == 0
    log = json.loads(out.read_bytes())
    (sample,) = log["samples"]
    sample["messages"][-1]["content"] = [{"type": "text", "text": "Somebody else's words."}]
    out.write_text(json.dumps(log))
    with Workspace.open(tmp_path / "back", create=True) as workspace:
        assert import_files(workspace, [out]).imported == 1
    (one,) = own(tmp_path / "back")
    assert one.text.endswith("Somebody else's words.")


def line(**changes: Any) -> bytes:
    said = {"version": 1, "problem": "p", "text": "abc", "steps": [[0, 1]], "messages": []}
    return json.dumps({"steplens": said | changes}).encode()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"steps": [[0, 4]]}, "does not lie in its text"),
        ({"steps": [[2, 3], [0, 1]]}, "does not lie in its text"),
        ({"steps": [[-1, 2]]}, "does not lie in its text"),
        ({"messages": [{"role": "a", "blocks": [["thinking", 2, 99]]}]}, "does not lie in its text"),
        ({"messages": [{"role": "a", "blocks": [["thought", 0, 1]]}]}, "cannot be read"),
        ({"text": 7}, "cannot be read"),
        ({"version": 2}, "version 2"),
        ({"outcome": 5}, "outcome 5"),
        ({"tokens": {"starts": [0, 2], "logprob": [1.0]}}, "do not fit"),
        ({"tokens": {"starts": [0, 9]}}, "do not fit"),
    ],
)
def test_a_line_that_lies_is_refused_and_the_next_is_read(tmp_path: Path, changes: dict[str, Any], what: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(line() + b"\n" + line(**changes) + b"\n" + line(text="def"))
    with Workspace.open(tmp_path / "w", create=True) as workspace:
        report = import_files(workspace, [path])
    assert (report.imported, report.broken) == (2, 1)
    assert what in report.errors[0].what


def test_a_file_that_cannot_be_written_leaves_nothing(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "none" / "out.json"
    assert main(["export", str(out), "--workspace", str(source), "--format", "otlp"]) == 1
    assert not out.parent.exists()
    words = ["export", str(tmp_path / "o.jsonl"), "--workspace", str(source), "--format", "jsonl", "--find", "no such"]
    assert main(words) == 0
    assert (tmp_path / "o.jsonl").read_bytes() == b""
