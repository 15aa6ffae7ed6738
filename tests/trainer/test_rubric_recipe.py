"""The recipe `rubric` from a workspace and back: by its own classifier, and by a judge behind a real address."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, ClassVar

import numpy as np
import pytest
from sqlalchemy import select, update

from studio.errors import NotFoundError
from studio.jobs.ingest import ingest
from studio.jobs.prepare import create_run
from studio.jobs.values import RunOrder
from studio.store import batches, rubrics, runs, traces
from studio.store import schema as s
from studio.store import schema_inspect as i
from studio.store.rows import Selection
from studio.store.rubrics import Draft, Example, HitState
from studio.store.runs import StoredState
from studio.workspace import Workspace
from tests.trainer.runs import all_events as events_of
from trainer.__main__ import recipe_of
from trainer.contract.events import Ended, Notice
from trainer.contract.records import InputRow
from trainer.contract.rubrics import RubricCard, RubricExample, RubricRecord
from trainer.contract.run_folder import RunFolder, read_records
from trainer.contract.spec import RunSpec, build, parameters
from trainer.contract.specs.rubric import RubricSpec
from trainer.models.rubric_judge import RubricJudge
from trainer.models.rubric_learn import Options, RubricClassifier, TooFewError
from trainer.models.speakers import Distant
from trainer.reasoning import rubric_asks
from trainer.runtime.worker import run_attempt

DOUBTS = ("Wait, that cannot be right.", "Hold on, I must have made a mistake.", "Hmm, let me check that again.")
CALM = ("So we add both numbers.", "The sum is then divided by two.", "This gives the final value.")
GOOD = tuple(
    Example(True, text)
    for text in (
        "Wait, this is wrong.",
        "Hold on, that cannot be.",
        "Hmm, let me redo this.",
        "Wait, I made a mistake.",
    )
)
BAD = tuple(Example(False, text) for text in ("So we divide by three.", "The total is then added.", "This gives ten."))


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path / "w", create=True) as made:
        with made.database.write() as c:
            batch = batches.begin(c, "import")
            for number in range(18):
                doubt = [f"{DOUBTS[number // 3 % 3]}"] if number % 3 == 0 else []
                steps = [f"{CALM[number % 3]} ({number})", *doubt, f"The answer is {number}."]
                traces.add(c, traces.from_steps(f"Question {number}?", steps), batch_id=batch, project_id=None)
            batches.publish(c, batch, {})
            rubrics.save(c, Draft("Doubt", "The model doubts what it wrote.", "wait", examples=(*GOOD, *BAD)))
        yield made


def go(workspace: Workspace, **parameters: object) -> RunFolder:
    """Run the recipe in this process, and ingest what it made."""
    uid = create_run(workspace, RunOrder("rubric", {"rubric": "Doubt", **parameters}, Selection()))
    folder = RunFolder(workspace.runs / uid)
    assert run_attempt(folder.path, recipe_of) == 0, folder.tail_of_log()
    with workspace.database.write() as c:
        run = runs.by_uid(c, uid)
        c.execute(update(s.run).where(s.run.c.id == run.id).values(state=StoredState.FINISHED.value, attempts=1))
    assert ingest(workspace, uid).lost == 0
    return folder


def hits(workspace: Workspace, how: str = "") -> tuple[rubrics.RubricHit, ...]:
    with workspace.database.read() as c:
        (rubric,) = rubrics.all_of(c)
        return rubrics.found(c, rubric.id, how=how)


def test_its_own_classifier_learns_finds_and_learns_from_what_people_say(workspace: Workspace) -> None:
    first = go(workspace, background=6)
    found = hits(workspace, "classifier")
    assert {hit.quote for hit in found if hit.quote in DOUBTS} == set(DOUBTS)
    with workspace.database.read() as c:
        for hit in found:
            assert traces.load(c, hit.trace_id).text[hit.start : hit.end] == hit.quote
        doubting = set(c.scalars(select(s.trace.c.id).where((s.trace.c.id - 1) % 3 == 0)))
        assert doubting <= {hit.trace_id for hit in found}
    with workspace.database.write() as c:
        for hit in found:
            rubrics.review(c, hit.id, HitState.CONFIRMED if hit.quote in DOUBTS else HitState.REJECTED)
        card = rubrics.card(c, "Doubt")
        assert [one.positive for one in card.reviewed] == [hit.quote in DOUBTS for hit in found]
        assert len(card.told) == 7
    second = go(workspace, background=6)
    by = [{record.by for record in read_records(folder.records)[0]} for folder in (first, second)]
    assert by[0] != by[1], "another word of a person is another classifier"
    again = hits(workspace, "classifier")
    kept = {(hit.trace_id, hit.start): hit.state for hit in again}
    assert all(
        kept[hit.trace_id, hit.start] is (HitState.CONFIRMED if hit.quote in DOUBTS else HitState.REJECTED)
        for hit in found
    )
    assert len(kept) == len(again), "no hit comes twice"
    assert {hit.quote for hit in again if hit.state is not HitState.REJECTED} <= set(DOUBTS)


def test_a_run_that_was_cut_goes_on_and_gives_the_same(workspace: Workspace) -> None:
    uid = create_run(workspace, RunOrder("rubric", {"rubric": "Doubt"}, Selection()))
    folder = RunFolder(workspace.runs / uid)
    assert run_attempt(folder.path, recipe_of) == 0
    whole = folder.records.read_bytes()
    lines = whole.splitlines(keepends=True)
    assert len(lines) == 18
    folder.records.write_bytes(b"".join(lines[:7]) + lines[7][:9])
    assert run_attempt(folder.path, recipe_of) == 0
    assert folder.records.read_bytes() == whole


def test_what_cannot_be_learned_or_found_says_so(workspace: Workspace, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NotFoundError, match="there are: Doubt"):
        create_run(workspace, RunOrder("rubric", {"rubric": "Dobut"}, Selection()))
    with workspace.database.write() as c:
        rubrics.save(c, Draft("Bare", "Nothing shown.", "x"))
    uid = create_run(workspace, RunOrder("rubric", {"rubric": "Bare"}, Selection()))
    assert run_attempt(workspace.runs / uid, recipe_of) != 0
    assert "0 examples" in capfd.readouterr().err


def test_scores_are_probabilities_of_models_that_had_not_seen_the_part() -> None:
    rng = np.random.default_rng(3)
    words = [f"word{k}" for k in range(40)]
    noise = [" ".join(rng.choice(words, 8)) for _ in range(60)]
    examples = [RubricExample(k % 2 == 0, text, f"problem {k // 4}") for k, text in enumerate(noise)]
    made = RubricClassifier(examples, [], Options())
    assert made.auroc is not None
    assert 0.3 < made.auroc < 0.7, "noise is not learned: what is measured was held out by problem"
    scores = made.scores([example.text for example in examples])
    assert ((scores > 0) & (scores < 1)).all()
    with pytest.raises(TooFewError, match="write or confirm"):
        RubricClassifier(examples[:4], [], Options())


class Answers(BaseHTTPRequestHandler):
    """Copies every doubt it sees and words that stand nowhere; says yes with 0.8 of 0.9, but no of one doubt."""

    asked: ClassVar[list[str]] = []
    lock: ClassVar[Lock] = Lock()
    open_now: ClassVar[int] = 0
    most: ClassVar[int] = 0  # requests open at once
    second: ClassVar[Event] = Event()  # another came while one was open
    go_on: ClassVar[Event] = Event()  # the model "hanging" answers

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = asked["messages"][-1]["content"]
        with Answers.lock:
            Answers.asked.append(prompt)
            Answers.open_now += 1
            Answers.most = max(Answers.most, Answers.open_now)
            if Answers.open_now > 1:
                Answers.second.set()
        try:
            if asked["model"] == "several":
                Answers.second.wait(60)  # the first answer waits until another question has come: the order is mixed
            if asked["model"] == "hanging":
                Answers.go_on.wait(60)
            with contextlib.suppress(ConnectionError):  # who asked has gone
                self.answer(asked, prompt)
        finally:
            with Answers.lock:
                Answers.open_now -= 1

    def answer(self, asked: dict[str, Any], prompt: str) -> None:
        """What it says."""
        if asked["model"] == "broken" or (asked["model"] == "partly" and "Question 5?" in prompt):
            self.send_error(400, "no such model")
            return
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
        if "Answer with one word" in prompt:
            yes = 0.1 if DOUBTS[2] in prompt.split("Question:")[0] else 0.8
            tops = [{"token": "Yes", "logprob": math.log(yes)}, {"token": "No", "logprob": math.log(0.9 - yes)}]
            content = [{"token": "Yes", "logprob": math.log(yes), "top_logprobs": tops}]
            choice |= {"message": {"role": "assistant", "content": "Yes"}, "logprobs": {"content": content}}
        elif asked["model"] == "refuses once" and "Question 5?" in prompt:
            choice |= {"message": {"role": "assistant", "content": "I'm sorry, but I can't help with that."}}
        else:
            shown = prompt.split("\n====")[1]
            said = [f"- “{one}”" for one in DOUBTS if one in shown] or ["none"]
            text = "\n".join([*said, "- these words stand nowhere in it"])
            choice |= {"message": {"role": "assistant", "content": text}}
        body = {"id": "1", "model": "m", "choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 1}}
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def address() -> Iterator[str]:
    Answers.asked.clear()
    Answers.most = 0
    Answers.second.clear()
    Answers.go_on.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_a_judge_quotes_is_checked_and_judges_each_passage(workspace: Workspace, address: str) -> None:
    folder = go(workspace, by="judge", judge_url=address, judge_model="m", price_input=2.0, price_output=5.0)
    found = hits(workspace, "judge")
    assert {hit.quote for hit in found} == set(DOUBTS[:2])
    assert all(hit.score == pytest.approx(0.8 / 0.9) for hit in found)
    records = [record for record in read_records(folder.records)[0] if isinstance(record, RubricRecord)]
    assert len(records) == 18
    assert sum(bool(record.quotes) for record in records) == len({hit.trace_id for hit in found}) == 4
    said = next(e for e in events_of(folder) if isinstance(e, Notice) and e.code == "judge_cost")
    assert "18 traces, about 36 questions" in said.message
    assert "at the given prices" in said.message
    assert len(Answers.asked) == 18 + 6, "one question a trace, one more a passage that stands in it"
    assert all("It is there in:\n- Wait, this is wrong." in prompt for prompt in Answers.asked)


def test_several_questions_at_once_find_what_one_by_one_finds(workspace: Workspace, address: str) -> None:
    made = []
    for parallel, model in ((1, "m"), (4, "several")):
        Answers.most = 0
        folder = go(workspace, by="judge", judge_url=address, judge_model=model, parallel=parallel)
        records = [record for record in read_records(folder.records)[0] if isinstance(record, RubricRecord)]
        made.append([(record.row, record.quotes) for record in records])
        assert 1 < Answers.most <= 4 if parallel > 1 else Answers.most == 1
    assert made[0] == made[1], "in the order of the rows, too"
    assert sum(len(quotes) for _, quotes in made[0]) == 4


@pytest.mark.parametrize("model", ["partly", "refuses once"])
def test_a_row_that_fails_leaves_the_others(workspace: Workspace, address: str, model: str) -> None:
    """A request that fails, and a judge that refuses: neither has found nothing."""
    folder = go(workspace, by="judge", judge_url=address, judge_model=model)
    notices = [event for event in events_of(folder) if isinstance(event, Notice) and event.code == "judge_failed"]
    assert len(notices) == 1
    assert len(read_records(folder.records)[0]) == 17
    end = next(event for event in events_of(folder) if isinstance(event, Ended))
    assert (end.summary["rows"], end.summary["failed"]) == (18, 1)


def test_cancel_does_not_wait_for_answers(address: str) -> None:
    spec = build("rubric", {"rubric": "Doubt", "by": "judge", "judge_url": address, "judge_model": "hanging"})
    assert isinstance(spec, RubricSpec)
    rows = [
        InputRow(id=f"r{k}", trace=f"t{k}", segmentation=1, problem="p", steps=(text,), step_ids=(0,))
        for k, text in enumerate(DOUBTS)
    ]
    judge = RubricJudge(spec, RubricCard(uid="u", name="Doubt", version=1), Distant(spec, ""))

    def check() -> None:
        if len(Answers.asked) == len(rows):
            raise KeyboardInterrupt

    try:
        with pytest.raises(KeyboardInterrupt):
            judge.look(rows, check, lambda _done: None)
        assert Answers.open_now, "the questions were open, and nobody waited for them"
    finally:
        Answers.go_on.set()


def test_what_was_not_judged_is_not_clean_and_is_tried_again(
    workspace: Workspace, address: str, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = {"rubric": "Doubt", "by": "judge", "judge_url": address, "judge_model": "broken", "judge_limit": 2}
    uid = create_run(workspace, RunOrder("rubric", settings, Selection()))
    folder = RunFolder(workspace.runs / uid)
    assert run_attempt(folder.path, recipe_of) != 0
    assert "none of 2 traces could be judged" in capfd.readouterr().err
    assert read_records(folder.records)[0] == []


def test_hits_of_another_batch_are_not_seen_until_it_is_published(workspace: Workspace) -> None:
    go(workspace)
    number = len(hits(workspace))
    assert number
    with workspace.database.write() as c:
        batch = c.scalar(select(i.rubric_hit.c.batch_id).limit(1))
        c.execute(update(s.batch).where(s.batch.c.id == batch).values(state=batches.WRITING))
    assert hits(workspace) == ()
    with workspace.database.read() as c:
        assert rubrics.all_of(c)[0].traces == 0


def test_a_policy_of_this_machine_judges(tmp_path: Path) -> None:
    """An untaught one: what it writes stands in no trace, so nothing is found, and what was made up is counted."""
    rows = [
        InputRow(id=f"r{k}", trace=f"t{k}", segmentation=1, problem="p", steps=(text,), step_ids=(0,))
        for k, text in enumerate(DOUBTS)
    ]
    folder = RunFolder(tmp_path / "run")
    spec = build("rubric", {"rubric": "Doubt", "by": "judge", "judge": "tiny", "judge_limit": 1})
    folder.create(RunSpec(run="run", name="judge", recipe="rubric", parameters=parameters(spec)), rows)
    RubricCard(uid="u", name="Doubt", version=3).write(folder.inputs)
    assert run_attempt(folder.path, recipe_of) == 0
    records = [record for record in read_records(folder.records)[0] if isinstance(record, RubricRecord)]
    assert [(record.row, record.by, record.version, record.quotes) for record in records] == [
        ("r0", f"{rubric_asks.VERSION}:tiny:tiny", 3, ()),
    ]
    said = next(e for e in events_of(folder) if isinstance(e, Ended))
    assert said.summary["questions"] == 1
