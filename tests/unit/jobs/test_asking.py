"""Any resident run can be asked: one that fits is found, what it writes is streamed, its traces come into the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from studio.domain import new_uid
from studio.jobs.service import Jobs
from studio.jobs.streams import Growing, Streamed, Tail, Transcript
from studio.jobs.values import Reply, Stage
from studio.store import conversations, models, projects, rows, runs, token_values, traces
from studio.store import schema as s
from studio.store.models import StoredModel
from studio.store.rows import Selection
from tests.trainer.test_rl_recipe import here
from tests.unit.jobs.making import House, stories, until
from trainer.contract import events, requests
from trainer.contract.events import Answered, Wrote
from trainer.contract.records import InputRow, RunState, record_id
from trainer.contract.requests import GenerateRequest, ScoreRequest
from trainer.contract.run_folder import RunFolder, read_records, sha256_of_folder
from trainer.contract.spec import RunSpec, build, parameters
from trainer.reasoning.demonstrations import demonstration_row, make_demonstrations

ROWS = [demonstration_row(one, number) for number, one in enumerate(make_demonstrations(100, seed=3))]


class Asker:
    """Hears everything."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self.replies: dict[str, list[Reply]] = {}
        self.events: dict[str, list[Streamed]] = {}

    def hear(self, said: Reply | Streamed) -> None:
        kept: dict[str, list] = self.replies if isinstance(said, Reply) else self.events  # type: ignore[assignment]
        kept.setdefault(said.request, []).append(said)

    def over(self, request: str) -> Reply:
        """The last word on a request."""
        until(lambda: request in self.replies and self.replies[request][-1].stage is not Stage.WAITING, "an answer")
        return self.replies[request][-1]


def register(house: House, name: str, kind: str) -> StoredModel:
    """A model that the tiny worker does not read."""
    folder = house.workspace.models / name
    folder.mkdir()
    (folder / ("monitor.json" if kind == "monitor" else "config.json")).write_text(f'{{"name": "{name}"}}')
    database = house.workspace.database
    uid = name.encode().hex().ljust(32, "0")[:32]
    run = database.run(lambda c: runs.prepare(c, uid=uid, name=name, recipe=kind, device="cpu", host="h", process=""))
    known = {"kind": kind, "folder": f"models/{name}", "base": "tiny", "checksum": sha256_of_folder(folder)}
    database.run(lambda c: models.register(c, run_id=run, name=name, summary={}, **known))  # type: ignore[arg-type]
    with database.read() as c:
        return next(model for model in models.all_models(c) if model.name == name)


def row_of(house: House, number: int) -> InputRow:
    """A stored trace as a row."""
    with house.workspace.database.read() as c:
        return list(rows.stream(c, Selection(only_submitted=False, labelled=False)))[number]


def test_a_run_is_asked_again_where_recipe_models_settings_and_device_are_the_same(house: House) -> None:
    counter, other = register(house, "counter", "prm"), register(house, "other", "prm")
    asker = Asker(house.jobs)

    def ask(model: str, number: int, **settings: int) -> int:
        request = ScoreRequest(id=new_uid(), row=row_of(house, number))
        asked = house.jobs.ask("score", {"model": model}, request, asker.hear, settings=settings)
        reply = asker.over(asked)
        assert reply.stage is Stage.DONE, reply.text
        return reply.run_id

    first = ask(counter.uid, 0)
    assert ask(counter.name, 1) == first, "a model has a name too"
    assert ask(str(house.workspace.models / "counter"), 2) == first, "and a folder"
    assert ask(counter.uid, 3, max_length=0) == first, "what it has anyway"
    assert len({first, ask(counter.uid, 4, max_length=64), ask(other.uid, 5)}) == 3
    assert house.view(first).name == "counter · on request"


def test_a_monitor_gets_the_messages_of_the_trace_and_a_prm_does_not(house: House) -> None:
    asker = Asker(house.jobs)
    with house.workspace.database.read() as c:
        uid = str(c.scalar(select(s.trace.c.uid).limit(1)))
    for kind in ("monitor", "prm"):
        model = register(house, f"a {kind}", kind)
        asked = house.jobs.score_trace(model, uid, asker.hear)
        reply = asker.over(asked)
        assert reply.stage is Stage.DONE, reply.text
        view = house.view(reply.run_id)
        assert view.recipe == ("monitor" if kind == "monitor" else "score")
        (line,) = house.folder(reply.run_id).requests.read_bytes().splitlines()
        request = requests.decoder.decode(line)
        assert isinstance(request, ScoreRequest)
        assert (request.row.trace, bool(request.row.messages)) == (uid, kind == "monitor")
        assert (request.row.response is not None) == (kind == "monitor")


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that has learned how responses look."""
    folder = RunFolder(tmp_path_factory.mktemp("policy") / "sft")
    taught = {"model": "tiny", "threads": 1, "max_steps": 30, "batch_size": 16, "rate": 3e-3, "max_length": 128}
    folder.create(RunSpec(run="sft", name="sft", recipe="sft", parameters=parameters(build("sft", taught))), ROWS)
    assert here(folder) == 0, folder.tail_of_log()
    return folder.model


@pytest.fixture
def real(tmp_path: Path) -> Iterator[House]:
    """A house whose workers are the trainer's own."""
    workspace = stories(tmp_path, 2)
    made = House(workspace, Jobs(workspace))
    made.jobs.start()
    yield made
    made.close()


def test_what_is_asked_of_a_policy_streams_and_comes_into_the_store(real: House, policy: Path) -> None:
    asker, jobs = Asker(real.jobs), real.jobs
    settings = {"n": 2, "max_thinking_tokens": 30, "max_answer_tokens": 8}

    def ask(row: InputRow, **more: int | float) -> str:
        request = GenerateRequest(id=new_uid(), row=row, settings={**settings, **more})
        return jobs.ask("generate", {"model": str(policy)}, request, asker.hear, settings={"threads": 1})

    asked = ask(ROWS[0])
    reply = asker.over(asked)
    assert reply.stage is Stage.DONE, f"{reply.text}\n{real.folder(reply.run_id).tail_of_log()}"
    run = real.view(reply.run_id)
    transcript = Transcript()
    for said in asker.events[asked]:
        assert isinstance(said.event, Wrote)
        transcript.take(said.event)
    made = {one.id: one for one in read_records(real.folder(run.id).records)[0]}
    uids = [record_id(run.uid, asked, n) for n in range(2)]
    with real.workspace.database.read() as c:
        ids = [int(c.scalar(select(s.trace.c.id).where(s.trace.c.uid == uid))) for uid in uids]
        stored = traces.load_many(c, ids)
        for number, (uid, trace) in enumerate(zip(uids, stored, strict=True)):
            growing, record = transcript.traces[number], made[uid]
            assert growing.done
            assert trace.text == growing.text == record.text
            arrays = token_values.read(c, trace.id)
            assert arrays is not None
            assert arrays.starts.tobytes() == record.tokens.starts
            assert growing.starts == arrays.starts.tolist()
            assert arrays.logprob is not None
            np.testing.assert_allclose(growing.logprobs, arrays.logprob, atol=1e-4)
            budget = conversations.read(c, trace.id).budget
            assert (budget.thinking_granted, budget.answer_granted, budget.granted) == (30, 8, 38)
            assert (budget.used, budget.mismatch) == (record.budget.used, "")
            extra = c.scalar(select(s.trace.c.extra).where(s.trace.c.id == trace.id))
            assert extra["settings"]["seed"] == record.settings["seed"]
            assert projects.get(c, projects.of_trace(c, trace.id)[0]).name == f"Run: {run.name}"
    process = real.folder(run.id).read_process()
    second = asker.over(ask(ROWS[1]))
    assert (second.stage, second.run_id) == (Stage.DONE, run.id)
    long = ask(ROWS[2], max_thinking_tokens=3000, continuations=100)
    until(lambda: long in asker.events, "its first tokens")
    jobs.cancel_request(long)
    assert asker.over(long).stage is Stage.CANCELLED
    assert asker.over(ask(ROWS[3], n=1)).stage is Stage.DONE
    assert real.folder(run.id).read_process() == process, "one process answered all"
    with real.workspace.database.read() as c:
        assert c.scalar(select(s.run.c.ingested).where(s.run.c.id == run.id)) == 5
    real.jobs.cancel(run.id)
    real.wait(run.id, RunState.CANCELLED)


def wrote(sequence: int, text: str, *, dropped: int = 0, starts: tuple[int, ...] = (), attempt: int = 1) -> Wrote:
    values = tuple(-1.0 for _ in starts)
    return Wrote(
        attempt=attempt, sequence=sequence, step=0, at=0.0, request="r", trace=0, text=text, starts=starts,
        logprobs=values, entropy=values, dropped=dropped,
    )  # fmt: skip


def test_text_that_is_taken_back_takes_its_tokens_along() -> None:
    growing = Growing()
    growing.take(wrote(1, "one two</th", starts=(0, 3, 7, 9)))
    growing.take(wrote(2, " Wait", dropped=4, starts=(7,)))
    assert (growing.text, growing.starts) == ("one two Wait", [0, 3, 7])
    assert len(growing.logprobs) == len(growing.entropy) == 3


def test_a_transcript_begins_anew_with_a_later_attempt() -> None:
    transcript = Transcript()
    transcript.take(wrote(1, "half", starts=(0,)))
    assert transcript.take(wrote(1, "whole", starts=(0,), attempt=2)).text == "whole"


def test_the_tail_of_a_run_is_read_for_what_concerns_requests(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    many = [events.Progress(attempt=1, sequence=n, step=0, at=0.0, phase="x", done=0, total=1) for n in range(2000)]
    path.write_bytes(b"".join(events.encoder.encode(one) + b"\n" for one in many))
    tail = Tail(path)
    assert tail.read() == []
    told = wrote(2001, 'says "kind":"answered"', starts=(0,))
    answered = Answered(attempt=1, sequence=2002, step=0, at=0.0, request="r", seconds=1.0)
    lines = b"".join(events.encoder.encode(one) + b"\n" for one in (told, many[0], answered))
    with path.open("ab") as file:
        file.write(lines[:-5])
    assert tail.read() == [told]
    with path.open("ab") as file:
        file.write(lines[-5:])
    assert tail.read() == [answered]
    assert Tail(tmp_path / "none").read() == []
