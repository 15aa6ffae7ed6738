"""Reports: nothing is lost, nothing runs, nothing that was taken out is there in any form, other readers take them."""

from __future__ import annotations

import base64
import html
import json
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import select

from studio.cli import main
from studio.errors import FindError, StoreError
from studio.exchange.opening import open_file
from studio.exchange.redaction import Redaction
from studio.exchange.reporting import ReportForm, write
from studio.exchange.transfer import import_files
from studio.store import batches, flag_words, traces
from studio.store import schema as s
from studio.store.flag_words import NewFlag
from studio.workspace import Workspace
from tests.e2e.conversing import ANSWER, CODE, THINKING, fill_talk
from trainer.contract.records import BlockKind
from trainer.reasoning.safety import Category

HOSTILE = (
    "<script>alert(1)</script>",
    '<img src="http://example.org/x.png" onerror="alert(1)">',
    "```\n# not a heading\n````` done",
    "[link](javascript:alert(1)) | table | \u202egnp.exe end",
)
SECRET = "Wait, $2\\cdot 7$ is $14$"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A conversation with a flag, and a trace that tries to do harm."""
    folder = tmp_path / "workspace"
    fill_talk(folder)
    with Workspace.open(folder) as opened, opened.database.write() as c:
        batch = batches.begin(c, "sample", None)
        traces.add(c, traces.from_steps("<b>Who?</b>", list(HOSTILE)), batch_id=batch, project_id=None)
        batches.publish(c, batch, {})
        person = annotator(c)
        text = traces.load(c, 1).text
        at = text.index(SECRET)
        flag_words.add(c, NewFlag(1, Category.INCONSISTENCY, at, at + len(SECRET), "turns back <i>late</i>"), person)
    return folder


def annotator(c: object) -> int:
    made = c.execute(  # type: ignore[attr-defined]
        s.annotator.insert().values(uid="a" * 32, name="Ada", created_at="2026-01-05T10:00:00.000000Z")
    )
    return int(made.inserted_primary_key[0])


def written(folder: Path, form: ReportForm, redaction: Redaction | None = None, ids: tuple[int, ...] = (1, 2)) -> str:
    path = folder.parent / f"report-{form}"
    with Workspace.open(folder) as opened, opened.database.read() as c:
        assert write(c, path, ids, form, redaction=redaction).traces == len(ids)
    assert [p.name for p in folder.parent.glob(".*part")] == []
    return path.read_text(encoding="utf-8")


class Page(HTMLParser):
    """The text of a page and its tags."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.tags, self.attributes = "", set(), set()
        self._style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self._style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._style = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self._style else data


def test_the_page_holds_everything_and_runs_nothing(workspace: Path) -> None:
    source = written(workspace, ReportForm.HTML)
    page = Page()
    page.feed(source)
    assert page.tags <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "section", "p", "pre", "div", "span", "b", "bdi",
        "br", "details", "summary",
    }  # fmt: skip
    assert not {name for name in page.attributes if name.startswith("on") or name in ("src", "href")}
    assert "http" not in source.replace("http-equiv", "").replace("http://example.org/x.png", "")
    for said in (THINKING, CODE, ANSWER):
        for line in said.splitlines():
            assert line in page.text
    assert HOSTILE[0] in page.text
    assert "“Wait," in page.text
    assert "turns back <i>late</i>" in page.text


def test_a_page_is_at_most_twice_its_source(tmp_path: Path) -> None:
    folder = tmp_path / "long"
    steps = [f"Step {k}: the sum of {k} and {k} is {2 * k}, which we need later on." for k in range(400)]
    with Workspace.open(folder, create=True) as opened, opened.database.write() as c:
        batch = batches.begin(c, "sample", None)
        traces.add(c, traces.from_steps("How many?", steps), batch_id=batch, project_id=None)
        batches.publish(c, batch, {})
    size = len(written(folder, ReportForm.HTML, ids=(1,)))
    assert size <= 2 * sum(map(len, steps)) + 4_000


def test_lines_of_json_hold_the_text_whole(workspace: Path) -> None:
    lines = [json.loads(line) for line in written(workspace, ReportForm.JSON_LINES).splitlines()]
    with Workspace.open(workspace) as opened, opened.database.read() as c:
        texts = dict(c.execute(select(s.trace.c.id, s.trace.c.text)).all())
    for line in lines:
        pieces = [p["text"] for turn in line["turns"] for block in turn["blocks"] for p in block["steps"]]
        assert "".join(pieces) == texts[line["id"]].encode(errors="replace").decode()


@pytest.mark.parametrize("form", [ReportForm.INSPECT, ReportForm.OTLP])
def test_other_formats_are_read_back(workspace: Path, form: ReportForm) -> None:
    written(workspace, form, ids=(1,))
    path = (workspace.parent / f"report-{form}").rename(workspace.parent / f"{form}.json")
    (trace,) = open_file(path).traces(0)
    kinds = {block.kind: trace.text[block.start : block.end] for m in trace.messages for block in m.blocks}
    assert THINKING.splitlines()[0] in "".join(
        trace.text[b.start : b.end] for m in trace.messages for b in m.blocks if b.kind is BlockKind.THINKING
    )
    assert kinds[BlockKind.ANSWER].endswith(ANSWER.splitlines()[-1])


@pytest.mark.parametrize("form", list(ReportForm))
def test_what_is_taken_out_is_nowhere(workspace: Path, form: ReportForm) -> None:
    redaction = Redaction.of([r"\$?2\\cdot 7\$? is \$14\$", r"alert\(\d\)", "mathematic\\w+"], [SECRET])
    source = written(workspace, form, redaction)
    for gone in (SECRET, "2\\cdot 7$ is", json.dumps("2\\cdot 7$ is")[1:-1], "alert(1)", "mathematician"):
        assert gone not in source
    assert "redacted" in source
    assert "denominator" in source, "the rest stays"
    assert SECRET.split()[0] in written(workspace, form), "without redaction it is there"


def test_a_match_in_one_trace_is_taken_out_of_all(tmp_path: Path) -> None:
    folder = tmp_path / "workspace"
    with Workspace.open(folder, create=True) as opened, opened.database.write() as c:
        batch = batches.begin(c, "sample", None)
        for text in ("The key is K-1234.", "Nobody says K-1234 here", "nothing"):
            traces.add(c, traces.from_steps("Which key?", [text]), batch_id=batch, project_id=None)
        batches.publish(c, batch, {})
    source = written(folder, ReportForm.MARKDOWN, Redaction.of([r"(?<=key is )\S+(?=\.)"]), ids=(1, 2, 3))
    assert "K-1234" not in source
    assert source.count("[redacted]") == 2


def test_what_is_taken_out_is_nowhere_in_whatever_field_and_way_it_stands(tmp_path: Path) -> None:
    secret = 'KEY-9 "ä" <b>\\'
    plain = json.dumps(secret, ensure_ascii=False)
    call = {"function": {"name": secret, "arguments": json.dumps({"a": secret, "inner": json.dumps([secret])})}}
    observation = {
        "id": "1",
        "type": "GENERATION",
        **dict.fromkeys(("traceId", "model", "name", "startTime", "endTime", "statusMessage"), secret),
        "input": [{"role": secret, "content": f"{plain} {quote(secret)} {html.escape(secret)}", "name": secret}],
        "output": {"role": "assistant", "content": "The answer is 4", "tool_calls": [call]},
    }
    source = tmp_path / "a.jsonl"
    source.write_text(json.dumps(observation) + "\n", encoding="utf-8")
    folder = tmp_path / "workspace"
    with Workspace.open(folder, create=True) as opened:
        assert import_files(opened, [source]).imported == 1
    for form in ReportForm:
        said = written(folder, form, Redaction.of(["KEY-9 .+b>.$"], [secret]), ids=(1,))
        assert "KEY" not in said
        assert "The answer is 4" in said
    assert "KEY" in written(folder, ReportForm.HTML, ids=(1,))
    redaction = Redaction.of([], ["no such"]).found_in(["x"])
    with pytest.raises(StoreError, match=r"7 characters .* still in trace 3"):
        redaction.prove(["there is no such thing"], "trace 3")
    with Workspace.open(folder) as opened, opened.database.read() as c:
        write(
            c, tmp_path / "r.html", (1,), ReportForm.HTML, title=f"About {secret}", redaction=Redaction.of([], [secret])
        )
    assert "KEY" not in (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("form", list(ReportForm))
def test_what_is_split_over_blocks_messages_and_steps_is_taken_out(tmp_path: Path, form: ReportForm) -> None:
    secret = "KEY-0123-4567-89ab"
    said = [
        {"role": "user", "content": "Is it right? It begins with KEY-01"},
        {
            "role": "assistant",
            "content": f"<think>23-4567-89ab is the rest. Again KEY-0123\n\n-4567-89ab</think>{secret[:9]}",
        },
        {
            "role": "user",
            "content": f"{secret[9:]} is right, in other words {base64.b64encode(secret.encode()).decode()}",
        },
        {"role": "assistant", "content": "<think>Fine, K\u200bEY-0123-4567-89\u200bab.</think>The answer is 4"},
    ]
    source = tmp_path / "a.jsonl"
    source.write_text(json.dumps({"messages": said}) + "\n", encoding="utf-8")
    folder = tmp_path / "workspace"
    with Workspace.open(folder, create=True) as opened:
        assert import_files(opened, [source]).imported == 1
    for redaction in (Redaction.of([], [secret]), Redaction.of([r"KEY-\d{4}-\d{4}-\w{4}"])):
        text = written(folder, form, redaction, ids=(1,))
        assert "The answer is 4" in text
        for piece in ("KEY", "4567", "89ab", "S0VZ", base64.b64encode(secret.encode()).decode()[:12]):
            assert piece not in text


def test_a_match_in_a_comment_is_taken_out_of_the_trace_too(tmp_path: Path) -> None:
    folder = tmp_path / "workspace"
    with Workspace.open(folder, create=True) as opened, opened.database.write() as c:
        batch = batches.begin(c, "sample", None)
        added = traces.add(c, traces.from_steps("Which?", ["Nobody says K-1234 here"]), batch_id=batch, project_id=None)
        batches.publish(c, batch, {})
        flag_words.add(c, NewFlag(1, Category.DECEPTION, 0, 6, "the key is K-1234."), annotator(c))
    assert added
    source = written(folder, ReportForm.MARKDOWN, Redaction.of([r"(?<=key is )\S+(?=\.)"]), ids=(1,))
    assert "1234" not in source


def test_a_wrong_expression_and_a_place_that_cannot_be_written(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(FindError, match="not a regular expression"):
        Redaction.of(["("])
    assert main(["report", "--workspace", str(workspace), str(workspace / "none" / "r.html")]) == 1
    assert "cannot be written" in capsys.readouterr().err
    assert main(["report", "--workspace", str(workspace), str(workspace / "r.xyz")]) == 1
    assert "--form" in capsys.readouterr().err


def test_the_verb_takes_traces_words_and_flags(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = workspace.parent / "r.html"
    common = ["report", "--workspace", str(workspace), str(out)]
    assert main([*common, "--find", "denominator"]) == 0
    assert "1 traces" in capsys.readouterr().out
    assert "Trace 2" not in out.read_text()
    assert main([*common, "--trace", "1", "--trace", "777"]) == 1
    assert "no trace 777" in capsys.readouterr().err
    assert main([*common, "--redact-flags", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {"path": str(out), "traces": 2, "bytes": out.stat().st_size, "taken_out": 1}
    assert SECRET not in out.read_text()
    assert "Trace 2" in out.read_text()
