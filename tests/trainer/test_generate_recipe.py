"""The recipe generate: what it records, that a kill loses and repeats nothing, and what it answers on request."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from studio.jobs.roles import missing
from studio.jobs.values import RunOrder
from tests.trainer.runs import all_events, ended, start, until
from tests.trainer.test_rl_recipe import here
from trainer.contract import events, requests
from trainer.contract.records import InputRow, ModelRef, TraceRecord, record_id
from trainer.contract.requests import CancelRequest, GenerateRequest, ScoreRequest
from trainer.contract.run_folder import RunFolder, read_records, sha256_of_folder
from trainer.contract.spec import RunSpec, build, parameters
from trainer.contract.specs.generate import DifficultyBy
from trainer.models.answering import Asked, Manner, Told, Writer, seed_of
from trainer.models.policies import load_policy
from trainer.reasoning.budget import Grant, allocate
from trainer.reasoning.demonstrations import demonstration_row, make_demonstrations
from trainer.reasoning.grader import GradeForm, Pair, grade_exactly
from trainer.reasoning.response import read_response
from trainer.recipes import generate
from trainer.routing.difficulty import Difficulty, Example, Level, learn
from trainer.routing.learning import DIFFICULTY_FILE
from trainer.runtime.telling import Telling

ROWS = [demonstration_row(one, number) for number, one in enumerate(make_demonstrations(120, seed=3))]
SMALL: dict[str, Any] = {
    "model": "the policy", "n": 3, "max_thinking_tokens": 40, "max_answer_tokens": 8, "threads": 1, "batch_rows": 12,
    "temperature": 1.0, "top_p": 1.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that has learned how responses look, not to count."""
    folder = RunFolder(tmp_path_factory.mktemp("policy") / "sft")
    taught = {"model": "tiny", "threads": 1, "max_steps": 40, "batch_size": 16, "rate": 3e-3, "max_length": 128}
    folder.create(RunSpec(run="sft", name="sft", recipe="sft", parameters=parameters(build("sft", taught))), ROWS)
    assert here(folder) == 0, folder.tail_of_log()
    return folder.model


def generate_run(path: Path, policy: Path, rows: list[InputRow], **settings: Any) -> RunFolder:
    """A run of the recipe, not started."""
    folder = RunFolder(path)
    ref = ModelRef(role="model", path="inputs/model", checksum=sha256_of_folder(policy), name="the policy")
    given = parameters(build("generate", SMALL | settings))
    folder.create(RunSpec(run="run-gen", name="traces", recipe="generate", parameters=given, models=(ref,)), rows)
    (folder.inputs / "model").symlink_to(policy)
    return folder


def recorded(folder: RunFolder) -> list[TraceRecord]:
    """Its traces, in the order in which they were written."""
    found = read_records(folder.records)[0]
    assert all(isinstance(one, TraceRecord) for one in found)
    return found  # type: ignore[return-value]


def answers(folder: RunFolder) -> dict[str, events.Answered]:
    """Answers by request."""
    return {one.request: one for one in all_events(folder) if isinstance(one, events.Answered)}


def test_traces_are_those_of_the_policy_under_its_budgets_with_their_tokens(tmp_path: Path, policy: Path) -> None:
    long = msgspec.structs.replace(ROWS[0], id="long", problem="Start with 3. " * 2000)
    folder = generate_run(tmp_path / "run", policy, [*ROWS[:9], long])
    assert here(folder) == 0, ended(folder).traceback
    made = recorded(folder)
    assert [(one.row, one.id) for one in made] == [
        (row.id, record_id("run-gen", row.id, n)) for row in ROWS[:9] for n in range(3)
    ]
    writer = Writer(load_policy(str(policy)), Manner(temperature=1.0, top_p=1.0))
    asks = [Asked(row.problem, seed_of(0, row.problem), Grant(40, 8), n=3) for row in ROWS[:9]]
    flat = [one for of in writer.write(asks) for one in of]
    assert [one.text for one in flat] == [one.text for one in made]
    for one, row in zip(made, [row for row in ROWS[:9] for _ in range(3)], strict=True):
        assert (one.problem, one.reference, one.model) == (row.problem, row.reference, "the policy")
        response = read_response(one.text)
        assert [(step.start, step.end) for step in one.steps] == [(span.start, span.end) for span in response.steps]
        graded = grade_exactly(Pair(response.answer, row.reference or ""), GradeForm.LENIENT)
        assert graded is not None
        assert one.outcome == int(bool(graded.correct))
        assert one.tokens is not None
        assert one.budget is not None
        ids = writer.policy.prompts.plain_ids(one.text)
        starts = np.frombuffer(one.tokens.starts, "<u4")
        if len(ids) == len(starts):
            assert starts.tolist() == [len(writer.tokens.of(ids[:k])) for k in range(len(ids))]
        assert one.budget.thinking <= 40
        assert one.budget.answer <= 8
        assert one.settings["seed"] in Asked(row.problem, seed_of(0, row.problem), Grant(40, 8), n=3).seeds
    said = ended(folder).summary
    assert said["traces"] == 27
    assert said["refused"] == 1
    assert said["accuracy"] == pytest.approx(np.mean([one.outcome for one in made]))
    assert said["thinking_tokens"] == pytest.approx(np.mean([one.budget.thinking for one in made if one.budget]))
    (told,) = [one for one in all_events(folder) if isinstance(one, events.Notice)]
    assert (told.code, "shorten it" in told.message) == ("problem_refused", True)


def test_a_classifier_splits_the_budgets(tmp_path: Path, policy: Path) -> None:
    levels = [Level.HARD if "Double" in row.problem else Level.SIMPLE for row in ROWS]
    learned = learn([Example(row.problem, level) for row, level in zip(ROWS, levels, strict=True)])
    router = tmp_path / "router"
    router.mkdir()
    (router / DIFFICULTY_FILE).write_bytes(msgspec.json.encode(learned.model))
    by = {"difficulty_by": DifficultyBy.CLASSIFIER}
    folder = generate_run(tmp_path / "run", policy, ROWS[:6], **by, classifier=str(router), n=1)
    assert here(folder) == 0, ended(folder).traceback
    judge = Difficulty(learned.model)
    for one, row in zip(recorded(folder), ROWS[:6], strict=True):
        assert one.budget is not None
        wanted = allocate(48, judge(row.problem), "classifier")
        assert (one.budget.thinking_granted, one.budget.answer_granted) == (wanted.thinking, wanted.answer)
        assert (one.budget.difficulty, one.budget.by) == (wanted.difficulty, "classifier")
    assert len({one.budget.thinking_granted for one in recorded(folder) if one.budget}) > 1
    (router / DIFFICULTY_FILE).write_text("{}")
    broken = generate_run(tmp_path / "broken", policy, ROWS[:1], **by, classifier=str(router))
    assert here(broken) == 1
    assert "is no difficulty classifier" in ended(broken).message
    none = RunOrder("generate", {"model": "m", **by})
    assert missing(none) == ("choose the router whose classifier judges difficulty",)
    assert missing(RunOrder("generate", {"model": "m"})) == ()


def test_a_problem_too_long_to_judge_costs_the_others_nothing(tmp_path: Path, policy: Path) -> None:
    long = msgspec.structs.replace(ROWS[0], id="long", problem="Start with 3. " * 2000)
    folder = generate_run(tmp_path / "run", policy, [ROWS[1], long, ROWS[2]], difficulty_by=DifficultyBy.POLICY, n=1)
    assert here(folder) == 0, ended(folder).traceback
    assert [one.row for one in recorded(folder)] == [ROWS[1].id, ROWS[2].id]
    assert all(one.budget is not None and one.budget.by.startswith("policy") for one in recorded(folder))
    (told,) = [one for one in all_events(folder) if isinstance(one, events.Notice)]
    assert (told.code, "long" in told.message, "shorten it" in told.message) == ("problem_refused", True, True)


def test_a_killed_run_goes_on_without_losing_or_repeating(tmp_path: Path, policy: Path) -> None:
    rows = ROWS[:60]
    folder = generate_run(tmp_path / "killed", policy, rows, max_thinking_tokens=60, continuations=3)
    worker = start(folder)
    assert until(worker, lambda: folder.records.exists() and folder.records.read_bytes().count(b"\n") >= 12)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    lines = folder.records.read_bytes().splitlines(keepends=True)
    assert len(lines) < 180, "it was killed too late to prove anything"
    folder.records.write_bytes(b"".join(lines[:11]) + lines[11][:40])  # killed within a row, and within a line
    assert here(folder) == 0, ended(folder).traceback
    whole = generate_run(tmp_path / "whole", policy, rows, max_thinking_tokens=60, continuations=3, batch_rows=64)
    assert here(whole) == 0, ended(whole).traceback
    assert [one.id for one in recorded(folder)] == [one.id for one in recorded(whole)]
    assert [one.text for one in recorded(folder)] == [one.text for one in recorded(whole)]
    assert len(recorded(whole)) == 180
    assert here(folder) == 0
    assert len(recorded(folder)) == 180, "a third attempt has nothing to do"


def test_requests_are_answered_told_and_taken_back(tmp_path: Path, policy: Path) -> None:
    folder = generate_run(tmp_path / "run", policy, [], resident=True, idle_minutes=0.001)
    row, other = ROWS[3], ROWS[4]
    asked = [
        GenerateRequest(id="whole", row=row, settings={"n": 2, "max_thinking_tokens": 30, "difficulty": 0.5}),
        GenerateRequest(id="step", row=row, prefix="<think>\n", forked_from="a" * 32, next_step=True),
        GenerateRequest(id="gone", row=other),
        GenerateRequest(id="wrong", row=row, settings={"n": 0}),
        GenerateRequest(id="fixed", row=row, settings={"model": "another"}),
        ScoreRequest(id="score", row=row),
    ]
    requests.append(folder.requests, *asked, CancelRequest(id="c", target="gone"))
    assert here(folder) == 0, ended(folder).traceback
    errors = {name: one.error for name, one in answers(folder).items()}
    assert (errors["whole"], errors["step"], errors["gone"]) == ("", "", "cancelled")
    assert "outside 1 to 4096" in errors["wrong"]
    assert "cannot change model" in errors["fixed"]
    assert "of the kind score" in errors["score"]
    made = recorded(folder)
    ids = [record_id("run-gen", "whole", n) for n in range(2)] + [record_id("run-gen", "step", n) for n in range(3)]
    assert [one.id for one in made] == ids
    for one in made[:2]:
        assert one.budget is not None
        assert (one.budget.thinking_granted, one.budget.answer_granted) == (23, 15)
    for one in made[2:]:
        assert (one.source, one.forked_at, one.outcome) == ("a" * 32, 8, None)
    told: dict[tuple[str, int], str] = {}
    for event in all_events(folder):
        if isinstance(event, events.Wrote):
            at = (event.request, event.trace)
            before = told.get(at, "")
            told[at] = before[: len(before) - event.dropped] + event.text
    assert [told["whole", n] for n in range(2)] == [one.text for one in made[:2]]
    assert [told["step", n] for n in range(3)] == [one.text for one in made[2:]]
    requests.append(folder.requests, asked[0], GenerateRequest(id="again", row=row, settings=asked[0].settings))
    assert here(folder) == 0
    assert [one.text for one in recorded(folder)[5:]] == [one.text for one in made[:2]], "equal seeds, equal traces"


def test_a_request_in_the_middle_is_given_up_within_sixteen_tokens(
    tmp_path: Path, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was written of it is not kept."""
    folder = generate_run(tmp_path / "run", policy, [], resident=True, idle_minutes=0.001)
    heard = 0

    class Impatient(Telling):
        def hear(self, pieces: Sequence[Told]) -> None:
            nonlocal heard
            heard += 1
            if heard == 21:
                requests.append(folder.requests, CancelRequest(id="c", target="long"))
            super().hear(pieces)

    monkeypatch.setattr(generate, "Telling", Impatient)
    many = {"n": 4, "max_thinking_tokens": 4000, "continuations": 100, "wait": "\n1 + 1 = 2"}
    requests.append(folder.requests, GenerateRequest(id="long", row=ROWS[0], settings=many))
    assert here(folder) == 0, ended(folder).traceback
    assert answers(folder)["long"].error == "cancelled"
    assert recorded(folder) == []
    assert 21 <= heard <= 21 + 16
