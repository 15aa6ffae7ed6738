"""Files and run folders that are still being written: whole lines are read once, torn ones wait, nothing is lost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest

from studio.exchange import growing
from studio.exchange.growing import GrowingFile, GrowingRun, News
from tests.e2e.rollouts_made import trace
from tests.unit.exchange.archives import DEFLATE, ZSTD, archive, sample
from trainer.contract import rollouts
from trainer.contract.records import Block, BlockKind, Message, Step, TraceRecord
from trainer.contract.rollouts import RolloutBatch


def message(role: str, content: str, **more: str) -> str:
    return json.dumps({"role": role, "content": content, **more}) + "\n"


def write(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def batch_of(update: int) -> RolloutBatch:
    traces = tuple(trace(f"{update}-{k}", (0.9, 0.2 + k / 10), [0.0] * 8) for k in range(2))
    return RolloutBatch(update=update, policy_version=update, traces=traces)


def only(news: News) -> str:
    (grown,) = news.traces
    return grown.trace.text


def test_a_conversation_grows_message_by_message(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    write(path, message("user", "What is 2+2?"))
    file = GrowingFile(path)
    first = file.read()
    assert only(first) == "What is 2+2?"
    assert file.read().is_empty
    whole = message("assistant", "4.", reasoning_content="Two and two.\nSo four.")
    write(path, whole[:30])
    torn = file.read()
    assert torn.is_empty
    assert torn.remark == "the last line is not whole yet: 30 bytes wait"
    write(path, whole[30:])
    second = file.read()
    assert second.remark == ""
    (grown,) = second.traces
    assert grown.trace.uid == first.traces[0].trace.uid
    assert grown.trace.id == first.traces[0].trace.id < 0
    assert grown.trace.text.startswith(first.traces[0].trace.text)
    assert [turn.role for turn in grown.conversation.turns] == ["user", "assistant"]
    steps = [grown.trace.step_text(n) for n in range(len(grown.trace.segmentation.steps))]
    assert steps == ["Two and two.", "So four.", "4."]


def test_however_the_bytes_arrive_the_end_is_the_same(tmp_path: Path) -> None:
    lines = [
        message("user", "Sum é𝔸?"),
        message("assistant", "One.\nTwo."),
        message("tool", "ok"),
        message("user", "?"),
    ]
    data = "".join(lines).encode()
    whole = tmp_path / "whole.jsonl"
    whole.write_bytes(data)
    wanted = only(GrowingFile(whole).read())
    for size in (1, 7, 64):
        path = tmp_path / f"by-{size}.jsonl"
        path.touch()
        file, last = GrowingFile(path), ""
        for at in range(0, len(data), size):
            with path.open("ab") as target:
                target.write(data[at : at + size])
            news = file.read()
            if news.traces:
                assert only(news).startswith(last)
                last = only(news)
        assert last == wanted


def test_a_conversation_that_is_written_again_under_its_name_is_the_same_trace(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    said = [{"role": "user", "content": "Hi"}]
    write(path, json.dumps({"id": "a", "messages": said}) + "\n")
    file = GrowingFile(path)
    first = file.read().traces[0]
    said.append({"role": "assistant", "content": "Hello."})
    write(path, json.dumps({"id": "a", "messages": said}) + "\n" + json.dumps({"id": "b", "messages": said}) + "\n")
    second = {grown.conversation.sample: grown for grown in file.read().traces}
    assert second["a"].trace.uid == first.trace.uid
    assert second["b"].trace.uid != first.trace.uid


def test_a_stream_of_pieces_becomes_one_trace(tmp_path: Path) -> None:
    path = tmp_path / "stream.jsonl"
    file = GrowingFile(path)
    path.touch()
    for number, piece in enumerate(("So ", "four", ".")):
        chunk = {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": piece}}]}
        write(path, json.dumps(chunk) + "\n")
        assert only(file.read()) == "So four."[: (3, 7, 8)[number]]


def test_a_file_that_is_begun_anew_is_read_anew_and_broken_lines_are_told(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    assert "No such file" in GrowingFile(path).read().remark
    write(path, message("user", "One long question that is later gone."))
    file = GrowingFile(path)
    file.read()
    path.write_text(message("user", "Two"))
    assert only(file.read()) == "Two"
    write(path, '{"not": "a trace"}\n{broken\n')
    news = file.read()
    assert news.is_empty
    assert news.remark.startswith("line 3: ")


def record(said: str) -> str:
    return json.dumps({"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": said}]}) + "\n"


@pytest.mark.parametrize("how", ["renamed", "copied and emptied", "replaced by a longer one"])
def test_a_file_that_is_rotated_loses_nothing(tmp_path: Path, how: str) -> None:
    path = tmp_path / "log.jsonl"
    write(path, record("one"))
    file = GrowingFile(path)
    seen = {grown.trace.uid: grown.trace.text for grown in file.read().traces}
    if how == "renamed":
        write(path, record("unread when it was moved"))
        path.rename(tmp_path / "log.jsonl.1")
    elif how == "copied and emptied":
        path.write_text("")
        assert file.read().is_empty
    else:
        path.unlink()
    write(path, record("new one") + record("new two"))
    news = file.read()
    assert news.remark == ""
    seen |= {grown.trace.uid: grown.trace.text for grown in news.traces}
    between = ["unread when it was moved"] if how == "renamed" else []
    assert [text.removeprefix("Q\n\n") for text in seen.values()] == ["one", *between, "new one", "new two"]
    write(path, record("later"))
    assert [grown.trace.text[3:] for grown in file.read().traces] == ["later"]


def test_a_log_in_progress_is_read_sample_by_sample_and_a_killed_writer_leaves_what_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "log.eval"
    follower = growing.growing(path)
    assert "No such file" in follower.read().remark
    start = {"_journal/start.json": {"version": 2, "eval": {"task": "sums", "model": "a/b"}}}
    members = {f"samples/{at}_epoch_1.json": sample(at, f"four {at}") for at in range(3)}
    whole = archive(start | members, ZSTD, directory=False)
    path.write_bytes(whole[:-20])  # within the last sample
    first = follower.read()
    assert [grown.trace.text[11:] for grown in first.traces] == ["four 0", "four 1"]
    assert first.traces[0].trace.model == "a/b"
    assert first.remark == "in progress"
    assert follower.read() == News((), "in progress")
    path.write_bytes(archive({**start, **members, "header.json": {"version": 2, "eval": {}}}, DEFLATE))
    last = follower.read()
    assert [grown.trace.text[11:] for grown in last.traces] == ["four 2"]
    assert last.remark == ""
    members["samples/0_epoch_1.json"] = sample(0, "scored anew")
    path.write_bytes(archive({**start, **members, "header.json": {"version": 2, "eval": {"model": "a/b"}}}, DEFLATE))
    (again,) = follower.read().traces
    assert again.trace.uid == first.traces[0].trace.uid
    path.write_bytes(b"PK\3\4 torn")
    assert "looked at again" in follower.read().remark


def test_a_long_log_comes_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "SAMPLES", 2)
    path = tmp_path / "log.eval"
    members = {f"samples/{at}_epoch_1.json": sample(at, "4") for at in range(5)}
    path.write_bytes(archive({**members, "header.json": {"version": 2}}))
    follower = growing.growing(path)
    looks = [follower.read() for _ in range(4)]
    assert [len(news.traces) for news in looks] == [2, 2, 1, 0]
    assert [news.remark for news in looks] == ["3 more follow", "1 more follow", "", ""]


def test_a_run_gives_the_traces_of_its_records_and_of_its_newest_updates(tmp_path: Path) -> None:
    text = "<think>\nOne.\nTwo.\n</think>\n2"
    blocks = (Block(BlockKind.THINKING, 8, 18), Block(BlockKind.ANSWER, 27, 28))
    steps = (Step(1, 8, 12), Step(2, 13, 17))
    record = TraceRecord(
        id="f" * 32,
        row="r1",
        problem="1+1?",
        reference="2",
        text=text,
        messages=(Message("assistant", blocks),),
        steps=steps,
        model="policy",
        outcome=1,
    )
    (tmp_path / "records.jsonl").write_bytes(msgspec.json.encode(record) + b"\n" + msgspec.json.encode(record)[:20])
    run = GrowingRun(tmp_path, "rl-07")
    (grown,) = run.read().traces
    assert (grown.trace.uid, grown.trace.text, grown.trace.outcome) == ("f" * 32, text, 1)
    assert run.read().is_empty
    batch = batch_of(3)
    rollouts.save(tmp_path, batch)
    found = run.read().traces
    assert [grown.trace.text for grown in found] == [each.text for each in batch.traces]
    for grown, each in zip(found, batch.traces, strict=True):
        assert grown.scores == each.scores
        assert grown.conversation.budget.thinking == each.thinking_tokens
        spans = tuple((step.start, step.end) for step in grown.trace.segmentation.steps)
        assert spans == each.step_spans
    assert run.read().is_empty
    rollouts.save(tmp_path, msgspec.structs.replace(batch, traces=batch.traces[:1]))
    again = run.read().traces
    assert [grown.trace.uid for grown in again] == [found[0].trace.uid]


def test_only_the_newest_updates_of_a_run_are_read(tmp_path: Path) -> None:
    for update in range(1, 8):
        rollouts.save(tmp_path, batch_of(update))
    names = {grown.conversation.log for grown in GrowingRun(tmp_path, "rl").read().traces}
    assert names == {f"rl, update {update}" for update in (4, 5, 6, 7)}


def test_what_a_run_wrote_broken_is_told_until_it_is_whole(tmp_path: Path) -> None:
    path = rollouts.save(tmp_path, batch_of(1))
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    os.utime(path, ns=(1, 1))
    run = GrowingRun(tmp_path, "rl")
    for _ in range(2):
        news = run.read()
        assert (news.traces, str(path) in news.remark) == ((), True)
    path.write_bytes(whole)
    news = run.read()
    assert (len(news.traces), news.remark) == (len(batch_of(1).traces), "")
    (tmp_path / "records.jsonl").write_bytes(b'{"a record": "of no kind"}\n')
    for _ in range(2):
        assert "records.jsonl" in run.read().remark


@pytest.mark.parametrize("name", ["records.jsonl", "rollouts"])
def test_an_empty_run_folder_has_no_news(tmp_path: Path, name: str) -> None:
    assert GrowingRun(tmp_path / name, "none").read() == News()


def test_records_with_fields_of_their_own_are_followed_as_they_are_imported(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    write(path, json.dumps({"id": 7, "prompt": "2+1?", "response": "<think>Two.</think>3", "target": "3"}) + "\n")
    file = GrowingFile(path)
    (grown,) = file.read().traces
    assert (grown.trace.problem.prompt, grown.trace.problem.reference_answer) == ("2+1?", "3")
    assert [block.kind for turn in grown.conversation.turns for block in turn.blocks if turn.role == "assistant"] == [
        BlockKind.THINKING,
        BlockKind.ANSWER,
    ]
    write(path, json.dumps({"note": "nothing of a model"}) + "\n" + json.dumps({"id": 8, "response": "4"}) + "\n")
    news = file.read()
    assert [each.conversation.sample for each in news.traces] == ["8"]
    assert "line 2: no known format" in news.remark
