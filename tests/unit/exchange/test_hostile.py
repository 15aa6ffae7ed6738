"""Files that mean harm, or were harmed: none hangs, escapes or brings the rest down; every loss is said."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from studio.errors import ImportFormatError
from studio.exchange import archive as zips
from studio.exchange import foreign_export, opening
from studio.exchange.report import ImportReport
from studio.exchange.transfer import import_files
from studio.store import schema as s
from studio.workspace import Workspace
from tests.unit.exchange.archives import DEFLATE, STORED, ZSTD, archive, log, sample

GOOD = {"prompt": "2 + 2?", "response": "4"}


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path / "workspace", create=True) as opened:
        yield opened


def texts(workspace: Workspace) -> list[str]:
    with workspace.database.read() as c:
        return list(c.scalars(select(s.trace.c.text).order_by(s.trace.c.id)))


def lines(workspace: Workspace, path: Path, rows: list[bytes]) -> ImportReport:
    path.write_bytes(b"\n".join(rows))
    return import_files(workspace, [path])


def good(uid: int) -> bytes:
    return json.dumps(GOOD | {"id": uid}).encode()


def test_scripts_and_bidi_text_are_kept_as_they_are(workspace: Workspace, tmp_path: Path) -> None:
    said = "<script>alert(1)</script><img src=x onerror=go()> [a](javascript:b) \u202eevil\u202c \u2066x\u2069 \x00 \a"
    report = lines(workspace, tmp_path / "a.jsonl", [json.dumps(GOOD | {"response": said}).encode()])
    assert report.broken == 0
    assert texts(workspace)[0].endswith(said)


def test_half_characters_are_marked_in_the_text_and_kept_in_the_record(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines(workspace, path, [b'{"prompt": "p", "response": "a\\ud800b"}'])
    assert texts(workspace)[0].endswith("a\ufffdb")
    with workspace.database.read() as c:
        again = b"".join(foreign_export.rebuilt(c, foreign_export.by_name(c, "a.jsonl")))
    assert json.loads(again)["response"] == "a\ud800b"


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (b'{"prompt": "x", "response": "y"', "Expecting"),
        (b'{"prompt": "x", "response": "\xff\xfe"}', "not UTF-8"),
        ("{'prompt': 'é'}".encode("latin-1"), "not UTF-8"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"response": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001, "nested too deeply"),
        (b'{"n": ' + b"9" * 5_000 + b', "response": "a"}', "digits"),
        (b'"a text alone"', "no known format"),
        (b'{"other": 1}', "no known format"),
        (b'{"messages": [{"role": "user", "content": 3}], "model": NaN, "choices": 7, "attributes": "x"}', ""),
        (b'{"type": "message", "role": "assistant", "content": [1, null, {"type": 5}]}', ""),
        (b'{"resourceSpans": [3, {"scopeSpans": [{"spans": [{"attributes": [{"value": {}}]}]}]}]}', ""),
        (b'{"object": "response", "output": [{"type": "reasoning", "summary": 3, "content": "x"}]}', ""),
        (b'{"schema_version": "ATIF-v1", "steps": [1, {"source": 4, "tool_calls": 3}]}', ""),
        (b'{"choices": [{"message": {"content": {"a": 1}, "tool_calls": "x", "reasoning_details": [3]}}]}', ""),
    ],
)
def test_a_broken_line_is_listed_and_the_rest_goes_on(
    workspace: Workspace, tmp_path: Path, bad: bytes, what: str
) -> None:
    report = lines(workspace, tmp_path / "a.jsonl", [good(1), bad, good(2)])
    assert [text.endswith("4") for text in texts(workspace)].count(True) == 2
    if what:
        assert report.broken == 1
        assert str(report.errors[0]).startswith(f"{tmp_path / 'a.jsonl'}:2: ")
        assert what in str(report.errors[0])
    assert report.rows == 3


def test_keys_that_stand_twice_are_said(workspace: Workspace, tmp_path: Path) -> None:
    report = lines(workspace, tmp_path / "a.jsonl", [b'{"prompt": "p", "response": "old", "response": "new"}'])
    assert texts(workspace)[0].endswith("new")
    assert any("twice" in trap for trap in report.traps)


def test_not_a_number_is_a_value(workspace: Workspace, tmp_path: Path) -> None:
    report = lines(workspace, tmp_path / "a.jsonl", [b'{"prompt": "p", "response": "r", "loss": NaN, "x": -Infinity}'])
    assert (report.imported, report.broken) == (1, 0)


def test_other_encodings_with_their_mark_are_read(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(json.dumps([{"prompt": "Größe?", "response": "sehr groß"}], ensure_ascii=False).encode("utf-16"))
    assert import_files(workspace, [path]).imported == 1
    assert texts(workspace)[0].endswith("sehr groß")


def test_a_line_of_ten_megabytes(workspace: Workspace, tmp_path: Path) -> None:
    big = "<think>" + "wait, " * 1_700_000 + "</think>4"
    report = lines(workspace, tmp_path / "a.jsonl", [good(1), json.dumps(GOOD | {"response": big}).encode(), good(2)])
    assert (report.imported, report.broken) == (3, 0)
    assert texts(workspace)[1].endswith(big)


@pytest.mark.parametrize("method", [STORED, DEFLATE, ZSTD])
def test_an_archive_cut_off_gives_what_is_whole(workspace: Workspace, tmp_path: Path, method: int) -> None:
    members = {f"samples/{at}_epoch_1.json": sample(at, f"four {at} " + os.urandom(200).hex()) for at in range(5)}
    data = archive({"_journal/start.json": {"version": 2, "eval": {"task": "t"}}, **members}, method, directory=False)
    path = tmp_path / "cut.eval"
    path.write_bytes(data[:-150])
    report = import_files(workspace, [path])
    assert (report.imported, report.broken) == (4, 1)
    assert f"{path}!samples/4_epoch_1.json: the file ends within it" in str(report.errors[0]).replace(":0:", ":")
    assert any("no whole directory" in trap for trap in report.traps)
    assert opening.listed(path).status == "in progress"


@pytest.mark.parametrize("damage", ["sign", "count", "name"])
def test_a_damaged_directory_of_an_archive_hides_no_sample(workspace: Workspace, tmp_path: Path, damage: str) -> None:
    path = log(tmp_path / "a.eval", {f"samples/{at}_epoch_1.json": sample(at, "4") for at in range(3)})
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"samples/2_epoch_1.json") - 46
    data[{"sign": entry, "count": len(data) - 12, "name": entry + 46}[damage]] ^= 1
    path.write_bytes(data)
    report = import_files(workspace, [path])
    assert (report.imported, report.broken) == ((3, 0) if damage != "name" else (2, 1))
    if damage == "name":
        assert "its name is not that of the archive's directory" in str(report.errors[0])
    else:
        assert any("no whole directory" in trap for trap in report.traps)


def test_what_stands_among_samples_and_is_none_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    """Read as a mere list of messages it would come in without what its attachments hold."""
    nameless = sample(1, "attachment://a", attachments={"a": "long"})
    del nameless["epoch"]
    report = import_files(workspace, [log(tmp_path / "a.eval", {"samples/1_epoch_1.json": nameless})])
    assert (report.imported, report.broken) == (0, 1)
    assert "it needs id, epoch, and messages or events" in str(report.errors[0])


def test_a_bomb_is_not_unpacked(workspace: Workspace, tmp_path: Path) -> None:
    bomb = b'{"id": 1, "epoch": 1, "messages": [], "x": "' + b"0" * (zips.SMALL + 10) + b'"}'
    for method in (DEFLATE, ZSTD):
        path = log(
            tmp_path / f"bomb{method}.eval",
            {"samples/1_epoch_1.json": bomb, "samples/2_epoch_1.json": sample(2, "4")},
            method,
        )
        report = import_files(workspace, [path])
        assert (report.broken, report.imported) == (1, int(method == DEFLATE))  # the good sample is known by then
        assert "would unpack" in report.errors[0].what
        assert "samples/1_epoch_1.json" in report.errors[0].file


@pytest.mark.parametrize("method", [DEFLATE, ZSTD])
def test_a_member_that_lies_about_its_size_is_left_out(workspace: Workspace, tmp_path: Path, method: int) -> None:
    members = {
        "samples/1_epoch_1.json": sample(1, "0" * 100_000_000),
        "samples/2_epoch_1.json": sample(2, "4"),
        "header.json": {"version": 2},
    }
    path = tmp_path / "lies.eval"
    path.write_bytes(archive(members, method, sizes={"samples/1_epoch_1.json": 500}))
    report = import_files(workspace, [path])
    assert (report.imported, report.broken) == (1, 1)
    assert "checksum" in report.errors[0].what


def test_names_that_lead_out_of_an_archive_lead_nowhere(workspace: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "evil.json"
    members = {
        "../evil.json": {"id": 1},
        str(outside): {"id": 1},
        "samples/../../evil_epoch_1.json": sample(1, "x"),
        "samples/..\\..\\evil_epoch_1.json": sample(3, "x"),
        "samples/2_epoch_1.json": sample(2, "4"),
    }
    before = sorted(tmp_path.iterdir())
    path = log(tmp_path / "names.eval", members)
    report = import_files(workspace, [path])
    assert sorted(tmp_path.iterdir()) == sorted([*before, path])
    assert not outside.exists()
    assert "Problem 2\n\n4" in texts(workspace)
    assert report.broken == 0


def test_ids_with_slashes_and_folders_of_their_own_come_back(workspace: Workspace, tmp_path: Path) -> None:
    members = {
        "samples/": b"",
        "samples/repo/issue_epoch_2.json": sample(1, "four") | {"id": "repo/issue", "epoch": 2},
        "samples/a_epoch_3/messages/0.json": sample(2, "four")["messages"],
        "samples/a_epoch_3/sample.json": {"id": "a", "epoch": 3, "input": "Problem 2", "target": "4"},
    }
    path = log(tmp_path / "slashes.eval", members)
    assert [(row.sample, row.epoch) for row in opening.open_file(path).rows] == [("repo/issue", 2), ("a", 3)]
    report = import_files(workspace, [path])
    assert (report.imported, report.broken) == (2, 0)
    with workspace.database.read() as c:
        again = b"".join(foreign_export.rebuilt(c, foreign_export.by_name(c, "slashes.eval")))
    with zipfile.ZipFile(io.BytesIO(again)) as opened:
        found = {name: opened.read(name) for name in opened.namelist()}
    assert {name: json.loads(found[name]) if found[name] else b"" for name in members} == members
    assert len(found) == len(members) + 2


def test_a_sample_that_stands_twice_in_an_archive_is_said(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "twice.eval"
    other = {"samples/1_epoch_1.jsoN": sample(1, "new"), "header.jsoN": {"version": 2}}
    data = archive({"samples/1_epoch_1.json": sample(1, "old"), "header.json": {"version": 2}, **other})
    path.write_bytes(data.replace(b".jsoN", b".json"))
    report = import_files(workspace, [path])
    assert [text.split()[-1] for text in texts(workspace)] == ["new"]
    assert (report.imported, report.broken, sum(report.traps.values())) == (1, 1, 1)
    assert "twice.eval!samples/1_epoch_1.json" in str(report.errors[0])


@pytest.mark.parametrize("wrong", [[], {}, 7, True, None, float("nan")])
@pytest.mark.parametrize("events", ["chunks", "messages"])
def test_a_stream_with_fields_of_other_types_comes_in(
    workspace: Workspace, tmp_path: Path, events: str, wrong: object
) -> None:
    call = {"index": wrong, "function": {"name": "f", "arguments": "{}"}}
    chunk = {"object": "chat.completion.chunk", "id": wrong}
    made: dict[str, list[dict[str, object]]] = {
        "chunks": [
            chunk | {"choices": [{"index": wrong, "delta": {"content": "four", "tool_calls": [call]}}]},
            chunk | {"choices": wrong},
            chunk | {"choices": [{"index": wrong, "delta": {"tool_calls": wrong, "reasoning_details": wrong}}]},
        ],
        "messages": [
            {"type": "message_start", "message": wrong},
            {"type": "content_block_start", "index": wrong, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": wrong, "delta": {"type": "text_delta", "text": "four"}},
            {"type": wrong},
        ],
    }
    path = tmp_path / "a.sse"
    path.write_text("".join(f"data: {json.dumps(event)}\n\n" for event in made[events]))
    report = import_files(workspace, [path])
    assert (report.imported, report.broken) == (1, 0)
    assert texts(workspace)[0].startswith("four")
    assert ("events of unknown kinds in a stream: kept, not shown" in report.traps) == (events == "messages")


def test_names_that_cannot_be_stored_are_marked_and_kept_in_the_record(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    said = {"role": "assistant", "name": "n\ud800", "content": "4"}
    row = {"id": "i\ud800", "model": "m\ud800", "messages": [{"role": "r\ud800", "content": "2 + 2?"}, said]}
    lines(workspace, path, [json.dumps(row).encode()])
    uid = {"id": 2**70, "epoch": 2**70, "messages": [said]}
    import_files(workspace, [log(tmp_path / "b.eval", {"samples/1_epoch_1.json": uid})])
    with workspace.database.read() as c:
        rows = c.execute(select(s.trace.c.sample, s.trace.c.model, s.trace.c.epoch).order_by(s.trace.c.id)).all()
        roles = c.execute(select(s.message.c.role, s.message.c.extra).order_by(s.message.c.trace_id)).all()
        again = b"".join(foreign_export.rebuilt(c, foreign_export.by_name(c, "a.jsonl")))
    assert [tuple(row) for row in rows] == [("i\ufffd", "m\ufffd", None), (str(2**70), "a/b", None)]
    assert [(role, extra.get("name")) for role, extra in roles] == [
        ("r\ufffd", None),
        *[("assistant", "n\ufffd")] * 2,
    ]
    assert json.loads(again) == row


def test_thinking_of_a_speaker_that_is_not_known_is_shown(workspace: Workspace, tmp_path: Path) -> None:
    messages = [
        {"role": "user", "content": "2 + 2?", "thinking": "of a user"},
        {"role": "critic", "content": "4", "reasoning_content": "of a critic"},
        {"role": "assistant", "tool_calls": [{"function": ""}]},
    ]
    lines(workspace, tmp_path / "a.jsonl", [json.dumps({"messages": messages}).encode()])
    with workspace.database.read() as c:
        text = c.scalars(select(s.trace.c.text)).one()
        blocks = c.scalars(select(s.message.c.blocks).order_by(s.message.c.ordinal)).all()
    said = [[(kind, text[first:last]) for kind, first, last in each] for each in blocks]
    assert said == [
        [("other", "of a user"), ("other", "2 + 2?")],
        [("thinking", "of a critic"), ("other", "4")],
        [("tool_call", "tool")],
    ]


def test_a_stream_with_ends_of_lines_within_its_words_and_bytes_that_are_none(
    workspace: Workspace, tmp_path: Path
) -> None:
    def chunk(said: str) -> str:
        value = {"id": "1", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": said}}]}
        return f"data: {json.dumps(value, ensure_ascii=False)}\r\n\r\n"

    path = tmp_path / "a.sse"
    path.write_bytes((chunk("a\u2028b\x85") + chunk("c") + chunk("d")).encode().replace(b'"c"', b'"\xff"'))
    report = import_files(workspace, [path])
    assert texts(workspace) == ["a\u2028b\x85d"]
    assert [(error.line, "not UTF-8" in error.what) for error in report.errors] == [(3, True)]


def test_damage_within_an_archive_costs_one_sample(workspace: Workspace, tmp_path: Path) -> None:
    path = log(tmp_path / "a.eval", {f"samples/{at}_epoch_1.json": sample(at, "4" * 400) for at in range(3)}, STORED)
    data = bytearray(path.read_bytes())
    at = data.index(b"Problem 1")
    data[at : at + 3] = b"\x00\xff\x00"
    path.write_bytes(data)
    report = import_files(workspace, [path])
    assert (report.imported, report.broken) == (2, 1)


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        ("a.eval", b"PK\x03\x04 and no more", "without header.json"),
        ("a.eval", archive({"readme.txt": b"hello"}), "without header.json"),
        ("a.jsonl", b"", "empty"),
        ("a.json", b"{}", "looked for"),
        ("a.json", b'{"a": ', "JSON value"),
        ("a.txt", b"Just some words.\nMore of them.", "JSON value"),
        ("a.bin", bytes(range(256)) * 20, "looked for|UTF|JSON"),
        ("a.jsonl", b'{"colour": "red"}\n{"colour": "blue"}\n', "colour.*--map"),
    ],
)
def test_a_file_of_no_format_says_what_was_looked_for(
    workspace: Workspace, tmp_path: Path, name: str, data: bytes, what: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ImportFormatError, match=what):
        import_files(workspace, [path])
    assert opening.listed(path).problem


def test_files_of_a_folder_that_are_none_are_said_and_the_others_come_in(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(good(1))
    (folder / "b.json").write_bytes(b'{"colour": "red"}')
    (folder / "c.eval").write_bytes(b"PK\x03\x04 and no more")
    (folder / "d.jsonl").write_bytes(good(2))
    report = import_files(workspace, [folder])
    assert (report.rows, report.imported, report.broken) == (4, 2, 2)
    assert [Path(error.file).name for error in report.errors] == ["b.json", "c.eval"]
    assert all("left out" in error.what and error.remedy for error in report.errors)
    assert report.files == [str(folder / "a.jsonl"), str(folder / "d.jsonl")]
    with pytest.raises(ImportFormatError, match="none of the other 1 files"):
        import_files(workspace, [folder / "b.json", folder / "c.eval"])


def test_attachments_and_pools_that_lead_nowhere(workspace: Workspace, tmp_path: Path) -> None:
    message = {"role": "assistant", "content": "attachment://none"}
    event = {"event": "model", "input_refs": [[0, 10**9], [-5, 2], "x"], "output": {"choices": []}}
    members = {
        "samples/1_epoch_1.json": sample(1, "x", attachments=[], messages=[message]),
        "samples/2_epoch_1.json": {"id": 2, "epoch": 1, "events": [event], "events_data": {"messages": "no"}},
        "samples/3_epoch_1.json": {"id": 3, "epoch": 1, "messages": 3, "input": "p", "scores": 7, "output": []},
    }
    report = import_files(workspace, [log(tmp_path / "a.eval", members)])
    assert (report.imported, report.broken, report.rows) == (2, 0, 3)
    assert report.traps == {"records without a conversation, kept": 1}
    assert "attachment://none" in texts(workspace)


@pytest.mark.parametrize("ends", [True, False])
def test_a_stream_that_was_cut_off_says_so(workspace: Workspace, tmp_path: Path, *, ends: bool) -> None:
    choice = {"index": 0, "delta": {"content": "4"}, "finish_reason": "stop" if ends else None}
    path = tmp_path / "a.sse"
    path.write_text(f"data: {json.dumps({'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n")
    report = import_files(workspace, [path])
    assert (report.traces, any("may have been cut off" in trap for trap in report.traps)) == (1, not ends)
