"""What a policy goes on from in a trace of any format: its response with the marks of thinking, step for step."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from studio.errors import ConflictError
from studio.exchange.transfer import import_files
from studio.jobs.continuing import read_start
from studio.store import conversations, regressions, traces
from studio.store import schema as s
from studio.store.replies import Reply, reply_of
from studio.workspace import Workspace
from trainer.contract.records import BlockKind
from trainer.contract.specs.evaluate import Must
from trainer.reasoning.segment import Span
from trainer.reasoning.thinking import CLOSE, OPEN, split_thinking

FORMATS = Path(__file__).parents[2] / "fixtures" / "formats"
SOLE = (
    "openai_both_names.jsonl", "deepseek_turns.jsonl", "think_close_only.jsonl", "think_harmony.jsonl",
    "think_unclosed.jsonl", "think_literal_prose.jsonl", "inspect_log.json", "anthropic_thinking.jsonl",
    "anthropic_redacted.jsonl", "responses_summary.json", "atif.json",
)  # fmt: skip


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """All that is read in one place."""
    opened = Workspace.open(tmp_path_factory.mktemp("replies") / "workspace", create=True)
    import_files(opened, [FORMATS / name for name in SOLE])
    return opened


def read(workspace: Workspace) -> list[tuple[traces.Trace, tuple[conversations.Turn, ...]]]:
    """Every trace with its turns."""
    with workspace.database.read() as c:
        every = [traces.load(c, number) for number in c.scalars(select(s.trace.c.id))]
        return [(one, conversations.turns_of(one.text, conversations.read(c, one.id).turns)) for one in every]


def test_every_step_and_all_thinking_stand_in_the_reply(workspace: Workspace) -> None:
    replies = 0
    for trace, turns in read(workspace):
        try:
            reply = reply_of(trace.id, trace.text, turns)
        except ConflictError:
            continue
        replies += 1
        for step in trace.segmentation.steps:
            span = reply.span(Span(step.start, step.end))
            assert span is not None
            assert span.of(reply.text) == trace.text[step.start : step.end]
        thinking = [block for block in turns[-1].blocks if block.kind is BlockKind.THINKING and block.start < block.end]
        thought = split_thinking(reply.text).thinking
        assert (thought is not None) == bool(thinking) or OPEN in trace.text
        for block in thinking:
            span = reply.span(Span(block.start, block.end))
            assert thought is not None
            assert span is not None
            assert reply.text.lstrip().startswith(OPEN)
            assert thought.start <= span.start
            assert span.end <= thought.end
    assert replies >= 7


def test_a_question_is_told_apart_and_hidden_thinking_refused(workspace: Workspace) -> None:
    said: dict[str, str] = {}
    found: dict[str, Reply] = {}
    for trace, turns in read(workspace):
        try:
            found[trace.text] = reply_of(trace.id, trace.text, turns)
        except ConflictError as error:
            said[str(error).split(f"trace {trace.id} ")[1].split(";")[0]] = trace.text
    assert "is redacted" in said
    assert "is there as a summary alone" in said
    assert any(words.startswith("is a conversation of") and words.endswith("with tools") for words in said)
    closed = next(text for text in found if CLOSE in text and OPEN not in text)
    assert found[closed].text.startswith(OPEN), "marks that a template wrote are put back"
    assert any(len(turns) > 1 and found[t.text].text != t.text for t, turns in read(workspace) if t.text in found)


def test_an_imported_trace_is_continued_and_made_a_test(workspace: Workspace) -> None:
    trace, _ = next(
        (trace, turns)
        for trace, turns in read(workspace)
        if len(turns) == 2 and turns[0].role == "user" and turns[1].blocks[0].kind is BlockKind.THINKING
    )
    with workspace.database.write() as c:
        start = read_start(c, trace.id)
        assert start.text.startswith(OPEN)
        assert trace.problem.prompt not in start.text
        assert [span.of(start.text) for span in start.steps] == [
            trace.text[step.start : step.end] for step in trace.segmentation.steps
        ]
        last = trace.segmentation.steps[-1]
        made = regressions.add_from_trace(c, trace.id, last.start, last.end, must=Must.ABSENT)
        assert made.prefix == start.text[: start.steps[-1].start]
        assert made.span == trace.text[last.start : last.end]
        assert made.start == last.start
        with pytest.raises(ConflictError, match="is not of its response"):
            regressions.add_from_trace(c, trace.id, 0, 3, must=Must.ABSENT)
