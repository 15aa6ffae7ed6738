"""Traces: adding, loading, listing and counting; nobody sees an unpublished batch."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.errors import NotFoundError
from studio.store import annotations, batches, find, projects, traces
from studio.store.traces import ErrorFilter, TraceOrder, TraceQuery
from tests.unit.store.making import Small, add_traces, small
from trainer.contract.records import Block, BlockKind, FinishReason, Message, Rating, Step
from trainer.reasoning.split import fold_of


def ids(here: Small, query: TraceQuery, limit: int = 100, offset: int = 0) -> list[int]:
    with here.database.read() as c:
        found = [row.id for row in traces.rows(c, query, limit=limit, offset=offset)]
        assert traces.count(c, query) == len(found) or limit < 100 or offset
        return found


def rate_all(here: Small, at: int, values: tuple[int, ...]) -> None:
    work = here.work(at)
    for ordinal, value in enumerate(values):
        here.database.run(lambda c, o=ordinal, v=value: annotations.rate(c, work, o, Rating(v)))
    here.database.run(lambda c: annotations.submit(c, work, active_ms=1))


def test_a_trace_comes_back_as_it_was_added(tmp_path: Path) -> None:
    here = small(tmp_path)
    text = "thought äöü 😀 answer"
    messages = (
        Message("user", ()),
        Message("assistant", (Block(BlockKind.THINKING, 0, 13), Block(BlockKind.ANSWER, 14, 20))),
    )
    new = traces.NewTrace("Why?", text, messages, (Step(0, 0, 7), Step(5, 8, 13)), reference_answer="42", model="m")
    with here.database.write() as c:
        batch = batches.begin(c, "sample")
        added = traces.add(c, new, batch_id=batch)
        with pytest.raises(NotFoundError):
            traces.load(c, added.trace_id)
        batches.publish(c, batch, {})
    with here.database.read() as c:
        trace = traces.load(c, added.trace_id)
    assert (trace.text, trace.messages, trace.model, trace.answer) == (text, messages, "m", None)
    assert trace.segmentation.steps == new.steps
    assert trace.segmentation.id == added.segmentation_id
    assert trace.step_text(1) == "äöü 😀"
    assert (trace.problem.prompt, trace.problem.reference_answer) == ("Why?", "42")
    assert trace.problem.fold == fold_of("Why?")


def test_bare_steps_are_spans_of_the_joined_text() -> None:
    steps = ("a\n\nb", "", "c 😀")
    joined = traces.join_steps(steps, "\n\n")
    assert [joined.text[step.start : step.end] for step in joined.steps] == list(steps)
    assert joined.messages == (Message("assistant", (Block(BlockKind.ANSWER, 0, len(joined.text)),)),)


def test_equal_problems_are_one(tmp_path: Path) -> None:
    here = small(tmp_path, traces_wanted=1)
    with here.database.write() as c:
        batch = batches.begin(c, "sample")
        one = traces.add(c, traces.from_steps("P", ["a"]), batch_id=batch)
        same = traces.add(c, traces.from_steps("P", ["b"]), batch_id=batch)
        other = traces.add(c, traces.from_steps("P", ["b"], reference_answer="1"), batch_id=batch)
    assert one.problem_id == same.problem_id != other.problem_id


def test_many_are_loaded_in_the_order_asked_for(tmp_path: Path) -> None:
    here = small(tmp_path, traces_wanted=5)
    wanted = [here.traces[3], 999, here.traces[0], here.traces[4]]
    with here.database.read() as c:
        assert [trace.id for trace in traces.load_many(c, wanted)] == [wanted[0], wanted[2], wanted[3]]
        with pytest.raises(NotFoundError, match="no trace 999"):
            traces.load(c, 999)


def test_pages_and_counts_of_a_project(tmp_path: Path) -> None:
    here = small(tmp_path, traces_wanted=5)
    other = here.database.run(lambda c: projects.create(c, "Other")).id
    more = add_traces(here.database, other, 2)
    here.database.run(lambda c: projects.put_traces(c, other, [here.traces[1]]))
    assert ids(here, TraceQuery()) == [*here.traces, *more]
    assert ids(here, TraceQuery(project=other)) == [*more, here.traces[1]]
    assert ids(here, TraceQuery(project=other), limit=1, offset=1) == [more[1]]
    assert ids(here, TraceQuery(order=TraceOrder.NEWEST)) == [*reversed([*here.traces, *more])]
    with here.database.read() as c:
        (row,) = traces.rows(c, TraceQuery(project=other), limit=1, offset=2)
    assert (row.title, row.steps, row.annotations, row.first_error) == ("What is 1+1?", 4, 0, None)
    assert sorted(row.project_ids) == sorted([here.project.id, other])


def test_an_unpublished_batch_is_in_no_list(tmp_path: Path) -> None:
    here = small(tmp_path)
    with here.database.write() as c:
        batch = batches.begin(c, "import", here.project.id)
        new = traces.from_steps("Unseen?", ["zebra"])
        hidden = traces.add(c, new, batch_id=batch, project_id=here.project.id).trace_id
    for query in (TraceQuery(), TraceQuery(project=here.project.id), TraceQuery(text="zebra")):
        assert hidden not in ids(here, query)
    here.database.run(lambda c: batches.publish(c, batch, {}))
    for query in (TraceQuery(), TraceQuery(project=here.project.id), TraceQuery(text="zebra")):
        assert hidden in ids(here, query)


def test_filters_by_what_was_said(tmp_path: Path) -> None:
    here = small(tmp_path, traces_wanted=4)
    rate_all(here, 0, (1, -1))
    rate_all(here, 1, (1, 1, 0, 1))
    here.database.run(lambda c: annotations.rate(c, here.work(2), 0, Rating.NEGATIVE))
    at = [here.traces[n] for n in range(4)]
    project = here.project.id
    assert ids(here, TraceQuery(project, first_error=ErrorFilter.FOUND)) == [at[0]]
    assert ids(here, TraceQuery(project, first_error=ErrorFilter.NONE)) == [at[1]]
    assert ids(here, TraceQuery(project, first_error=ErrorFilter.UNRATED)) == at[2:]
    assert ids(here, TraceQuery(project, finish=FinishReason.SOLUTION)) == [at[1]]
    assert ids(here, TraceQuery(project, annotator=here.ada.id)) == at[:3]
    assert ids(here, TraceQuery(project, annotator=here.bob.id)) == []
    assert ids(here, TraceQuery(project, text="What 3+1")) == [at[3]]
    with here.database.read() as c:
        rows = traces.rows(c, TraceQuery(project), limit=10)
        assert [row.first_error for row in rows] == [1, None, None, None]
        assert [row.annotations for row in rows] == [1, 1, 0, 0]
        assert [hit.trace_id for hit in find.search(c, "What 3+1")] == [at[3]]
