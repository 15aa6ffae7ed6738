"""What a run says of the tokens and the budget of its traces stands in the store as it was said, also of pins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from studio.jobs import pins
from studio.store import batches, conversations, projects, run_traces, runs, token_values
from studio.store import schema as s
from studio.workspace import Workspace
from trainer.contract.generated import TokenBytes, TraceBudget
from trainer.contract.records import TraceRecord
from trainer.contract.rollouts import PackedTrace, Pin, pack_floats, pack_ints
from trainer.contract.spec import RunSpec, build, parameters
from trainer.reasoning.recorded import record_of
from trainer.reasoning.response import read_response

TEXT = "<think>\n1 + 1 = 2\n</think>\n\nAnswer: 2"
STARTS = np.array([0, 8, 9, 10, 18, 26, 28], np.uint32)
FORCED = bytes([1, 0, 0, 0, 1, 1, 0])


def values(count: int, seed: int) -> np.ndarray:
    return -np.random.default_rng(seed).random(count).astype(np.float32)


def trace(**more: object) -> TraceRecord:
    made = record_of(
        read_response(TEXT), id="a" * 32, row="typed", problem="1 + 1?", reference="2", model="m", correct=True
    )
    tokens = TokenBytes(
        starts=STARTS.tobytes(), logprobs=values(7, 1).tobytes(), entropy=values(7, 2).tobytes(), forced=FORCED
    )
    budget = TraceBudget(
        thinking=4, answer=1, used=5, thinking_granted=12, answer_granted=8, thinking_ended="forced", ended="stop",
        continued=1, difficulty=0.5, by="classifier",
    )  # fmt: skip
    known = {name: getattr(made, name) for name in made.__struct_fields__}
    given = {"tokens": tokens, "budget": budget, "settings": {"seed": 7}, "source": "b" * 32, "forked_at": 9}
    return TraceRecord(**(known | given | more))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path / "workspace", create=True)


def stored(workspace: Workspace, record: TraceRecord) -> int:
    """The record stored under the batch of a run, and shown; the trace's id."""
    with workspace.database.write() as c:
        runs.prepare(c, uid="r" * 32, name="asked", recipe="generate", device="cpu", host="h", process="")
        run = runs.by_uid(c, "r" * 32)
        batch = batches.begin(c, "ingest", source=run.uid, format="generate", run_id=run.id)
        batches.publish(c, batch, {})
        for times in (1, 0):  # the second time it is known
            assert run_traces.store_records(c, batch, [record]).stored == times
            run_traces.show_new(c, run.id, run.name, batch, [record.id, "unknown"])
        found = c.scalar(select(s.trace.c.id).where(s.trace.c.uid == record.id))
        assert projects.get(c, projects.of_trace(c, found)[0]).name == "Run: asked"
        assert run_traces.project_of(c, run.id) == projects.of_trace(c, found)[0]
        return int(found)


def test_tokens_budget_and_origin_of_a_trace_are_kept(workspace: Workspace) -> None:
    id = stored(workspace, trace())
    with workspace.database.read() as c:
        arrays = token_values.read(c, id)
        budget = conversations.read(c, id).budget
        extra = c.scalar(select(s.trace.c.extra).where(s.trace.c.id == id))
    assert arrays is not None
    assert arrays.logprob is not None
    assert arrays.entropy is not None
    np.testing.assert_array_equal(arrays.starts, STARTS)
    np.testing.assert_array_equal(arrays.logprob, values(7, 1))
    np.testing.assert_array_equal(arrays.entropy, values(7, 2))
    assert (budget.requested, budget.granted, budget.used, budget.ended) == (20, 20, 5, "forced")
    assert (budget.thinking, budget.answer, budget.thinking_granted, budget.answer_granted) == (4, 1, 12, 8)
    assert extra == {
        "settings": {"seed": 7}, "source": "b" * 32, "forked_at": 9, "ended": "stop", "thinking_ended": "forced",
        "continued": 1, "difficulty": 0.5, "by": "classifier", "forced": [[0, 1], [4, 6]],
    }  # fmt: skip
    workspace.close()


def test_a_trace_of_which_nothing_is_said_has_none_of_it(workspace: Workspace) -> None:
    id = stored(workspace, trace(tokens=None, budget=None, settings={}, source="", forked_at=None))
    with workspace.database.read() as c:
        assert token_values.read(c, id) is None
        assert not conversations.read(c, id).budget.is_known
        assert c.scalar(select(s.trace.c.extra).where(s.trace.c.id == id)) is None
    workspace.close()


@pytest.mark.parametrize("starts", [STARTS, None])
def test_a_pinned_rollout_brings_its_tokens_and_its_budget(starts: np.ndarray | None) -> None:
    packed = PackedTrace(
        id="t", row="r", group=0, problem="1 + 1?", reference="2", prompt=b"", text=TEXT, answer="2",
        tokens=pack_ints(np.arange(7)), logprobs=pack_floats(values(7, 1)), entropy=pack_floats(values(7, 2)),
        forced=FORCED, advantages=pack_floats(values(7, 3)), step_ends=(3,), step_spans=((8, 17),), separators=bytes(7),
        scores=(), correct=True, outcome=1.0, reward=1.0, parts={}, thinking_tokens=4, answer_tokens=1, ended="stop",
        thinking_ended="closed", budget=6, starts=b"" if starts is None else starts.tobytes(),
    )  # fmt: skip
    spec = RunSpec(run="run", name="rl", recipe="rl", parameters=parameters(build("rl", {"max_thinking": 30})))
    (made,) = pins.records_of([Pin(update=0, trace=packed)], spec)
    assert isinstance(made, TraceRecord)
    assert made.budget == TraceBudget(
        thinking=4, answer=1, used=5, thinking_granted=30, answer_granted=128, thinking_ended="closed", ended="stop"
    )
    assert made.settings == {"temperature": 1.0, "budget_said": 6}
    assert (made.tokens is None) == (starts is None), "older files do not say where tokens begin"
    if made.tokens is not None:
        assert made.tokens.forced == FORCED
        np.testing.assert_array_equal(np.frombuffer(made.tokens.logprobs, "<f4"), values(7, 1))
