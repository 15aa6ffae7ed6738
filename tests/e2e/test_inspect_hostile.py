"""Traces that mean harm, imported as files and looked at in the window: nothing runs, loads, hangs or escapes."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QLabel, QWidget
from sqlalchemy import select

from studio.cli import main
from studio.exchange.transfer import import_files
from studio.store import schema as s
from studio.ui.inspect.page import InspectPage
from studio.workspace import Workspace
from tests.e2e.inspecting import go_to_inspect
from tests.e2e.seat import Seat
from tests.unit.exchange.archives import DEFLATE, archive, log, sample

SCRIPT = "<script>alert(1)</script><img src='http://example.org/x.png' onerror='go()'><b>bold</b>"
LINKS = "[here](javascript:go()) <a href='http://example.org'>there</a> file:///etc/passwd http://example.org/?a=1"
BIDI = "\u202eexe.gnp\u202c and \u2066x\u2069 and \u05e9\u05dc\u05d5\u05dd $x$ \x1b[31m\x07 zero\u200bwidth"
LONG = "<think>" + "wait, " * 1_700_000 + "</think>4"
NUMBERS = [float("nan"), float("inf"), -1e308, 10**400]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace into which one file of every sort was imported; the tests here only read it."""
    tmp_path = tmp_path_factory.mktemp("hostile")
    rows = [
        {"id": "<i>1</i>", "prompt": SCRIPT, "response": f"<think>{SCRIPT}\nSo.</think>{SCRIPT}", "model": SCRIPT},
        {"id": "2", "prompt": LINKS, "response": f"{LINKS}\n```\n{SCRIPT}\n```\n# {LINKS}", "model": LINKS},
        {"id": "3", "prompt": BIDI, "response": f"<think>{BIDI}</think>{BIDI}", "model": BIDI},
        {"id": "4", "prompt": "long?", "response": LONG},
        {"id": "5", "prompt": "numbers?", "response": "r", "loss": NUMBERS[0], "output_tokens": NUMBERS[1]},
        {"id": "6", "prompt": "numbers?", "response": "s", "output_tokens": NUMBERS[2], "is_correct": NUMBERS[0]},
    ]
    lines = tmp_path / "<b>lines.jsonl"
    lines.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    outside = tmp_path / "evil.json"
    names = {"../evil.json": {"id": 1}, str(outside): {"id": 1}, "samples/../../evil_epoch_1.json": sample(7, "seven")}
    paths = log(tmp_path / "names.eval", {**names, "samples/8_epoch_1.json": sample(8, SCRIPT)})
    bomb = tmp_path / "bomb.eval"
    members = {"samples/9_epoch_1.json": sample(9, "0" * 50_000_000), "samples/10_epoch_1.json": sample(10, "ten")}
    lies = {"samples/9_epoch_1.json": 500}
    bomb.write_bytes(archive({**members, "header.json": {"version": 2}}, DEFLATE, sizes=lies))
    before = {path.name for path in tmp_path.iterdir()}
    with Workspace.open(tmp_path / "workspace", create=True) as workspace:
        report = import_files(workspace, [lines, paths, bomb])
        assert (report.broken, "checksum" in report.errors[0].what) == (1, True)
    assert {path.name for path in tmp_path.iterdir()} == before | {"workspace"}
    return tmp_path / "workspace"


CONTAINS, RECURSIVE = Qt.MatchFlag.MatchContains, Qt.MatchFlag.MatchRecursive


def shows(page: InspectPage, trace_id: int) -> bool:
    return page.shown is not None and page.shown.trace.id == trace_id and page.gate.is_open


def is_marked_up(widget: QWidget) -> bool:
    """Whether a widget takes a trace's words for markup: in its text, or in the tip that comes up under the mouse."""
    if isinstance(widget, QLabel) and any(mark in widget.text() for mark in ("<script", "<a href", "<b>")):
        rich = widget.textFormat() is Qt.TextFormat.RichText
        if rich or (widget.textFormat() is Qt.TextFormat.AutoText and Qt.mightBeRichText(widget.text())):
            return True
    return any(mark in widget.toolTip() for mark in ("<script", "<a href", "<b>bold"))


def test_every_sort_is_shown_as_it_stands(folder: Path, sit_down: Callable[[], Seat]) -> None:
    with Workspace.open(folder) as workspace, workspace.database.read() as c:
        texts = {row.id: row.text for row in c.execute(select(s.trace.c.id, s.trace.c.text))}
    assert len(texts) == 9, "six lines, and three samples that are no bomb; a name that leads out is a name"
    with sit_down() as seat:
        page = go_to_inspect(seat)
        for trace_id, text in texts.items():
            page.show_trace(trace_id)
            seat.wait(partial(shows, page, trace_id))
            assert page.shown is not None
            assert page.shown.trace.text == text
            QApplication.processEvents()
            assert not page.grab().isNull()
            marked = [widget for widget in seat.window.findChildren(QWidget) if is_marked_up(widget)]
            assert marked == [], [(type(each).__name__, each.objectName(), each.toolTip()[:80]) for each in marked]
            tips = [item.toolTip(1) for item in page.evidence.findItems("", CONTAINS | RECURSIVE)]
            assert any("lines.jsonl" in tip or ".eval" in tip for tip in tips)
            assert not any("<b>" in tip for tip in tips)
            index = page.left.currentWidget()
            assert index is not None
        seat.picture("inspect hostile")


class Tags(HTMLParser):
    """The tags of a page and the names of their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_no_report_of_them_runs_or_loads(folder: Path) -> None:
    out = folder.parent / "r.html"
    for form in ("html", "markdown", "jsonl", "inspect", "otlp"):
        assert main(["report", "--workspace", str(folder), str(out), "--form", form]) == 0
        said = out.read_text(encoding="utf-8")
        if form == "html":
            tags = Tags()
            tags.feed(said)
            assert not tags.tags & {"script", "img", "a", "iframe", "object", "link", "svg", "form"}
            assert not {name for name in tags.attributes if name.startswith("on") or name in ("src", "href")}
        elif form == "jsonl":
            assert all(json.loads(line, parse_constant=pytest.fail) for line in said.splitlines())
        elif form != "markdown":
            assert json.loads(said, parse_constant=pytest.fail)
