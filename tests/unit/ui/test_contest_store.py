"""Which searches of the workspace a comparison takes as its own, and what stands behind its points."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, delete, select, update

from studio.jobs.shipped import Example
from studio.store import batches, run_traces, runs, searches
from studio.store import schema as s
from studio.store.database import Database
from studio.store.models import StoredModel
from studio.store.schema_reason import search_trace
from studio.ui.play.contest_store import Wanted, made_before, stored_problems
from studio.ui.play.values import Budgets
from tests.unit.store.searches_made import NODES, PROBLEM, search_record, traces_of
from trainer.contract.spec import SearchSpec, build


def model(name: str, kind: str) -> StoredModel:
    return StoredModel(
        id=1, uid=name.ljust(32, "0"), run_id=None, name=name, kind=kind, folder=f"models/{name}",
        checksum=f"sum of {name}", base="tiny", summary={}, created_at="",
    )  # fmt: skip


WANTED = Wanted(
    model("small", "sft"), model("judge", "prm"), model("large", "sft"), (Example(PROBLEM, "4"),), Budgets(40, 12), 2,
    1.0, 0,
)  # fmt: skip


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database.open(tmp_path / "workspace.db")


def settings_of(wanted: Wanted, place: int) -> dict[str, Any]:
    """Every setting of the recipe that an ask leads to, as a record tells them."""
    spec = build("search", wanted.asks[place].planned.settings)
    assert isinstance(spec, SearchSpec)
    names = (
        "strategy", "compute", "n", "width", "aggregation", "max_thinking_tokens", "max_answer_tokens", "temperature",
        "difficulty", "tell_budget", "tell_answer", "thinking", "prompt", "form",
    )  # fmt: skip
    return {name: getattr(spec, name) for name in names} | {"pick": spec.pick.of(spec.strategy).value, "run_seed": 0}


def add(c: Connection, name: str, wanted: Wanted, place: int, *, forked: bool = False, **other: Any) -> None:
    """Store a search as the worker would for this ask; `other` settings on top."""
    uid = name.rjust(32, "e")
    run = runs.prepare(c, uid=uid, name=name, recipe="search", device="cpu", host="here", process="")
    models = [{"role": role, "checksum": each.checksum} for role, each in wanted.asks[place].models.items()]
    c.execute(update(s.run).where(s.run.c.id == run).values(spec={"models": models, "parameters": {}}))
    batch = batches.begin(c, "ingest", source=name, run_id=run)
    made = traces_of(NODES, name)
    if forked:
        made = [msgspec.structs.replace(each, forked_at=3) for each in made]
    run_traces.store_records(c, batch, made)
    record = search_record(NODES, made, name)
    settings = {**settings_of(wanted, place), **other}
    searches.store_records(c, batch, [msgspec.structs.replace(record, settings=settings)])
    batches.publish(c, batch, {})


def test_only_a_search_that_would_come_out_equal_is_taken(database: Database) -> None:
    with database.write() as c:
        add(c, "a", WANTED, 0)
        add(c, "b", WANTED, 0, forked=True)
        add(c, "c", WANTED, 0, run_seed=1)
        add(c, "d", WANTED, 0, something_new=1)
    with database.read() as c:
        assert made_before(c, WANTED.asks) == {0: 1}, "the newest that fits, and none for the larger"
        for other in (
            replace(WANTED, n=4), replace(WANTED, temperature=0.5), replace(WANTED, budgets=Budgets(41, 12)),
            replace(WANTED, aggregation="min"), replace(WANTED, prm=model("other", "prm")),
            replace(WANTED, small=model("other", "sft")), replace(WANTED, problems=(Example(PROBLEM, "5"),)),
        ):  # fmt: skip
            assert made_before(c, other.asks) == {}
        assert made_before(c, replace(WANTED, large=model("other", "sft")).asks) == {0: 1}
    with database.write() as c:
        trace = c.scalar(select(search_trace.c.trace_id).where(search_trace.c.search_id == 1))
        c.execute(delete(search_trace).where(search_trace.c.trace_id == trace))
    with database.read() as c:
        assert made_before(c, WANTED.asks) == {}, "a trace of it is gone"


def test_one_pass_of_the_larger_is_found_whatever_prm_its_worker_had(database: Database) -> None:
    with database.write() as c:
        add(c, "a", WANTED, 1)
    with database.read() as c:
        assert made_before(c, WANTED.asks) == {1: 1}
        assert made_before(c, replace(WANTED, prm=model("other", "prm"), n=16).asks) == {1: 1}
        assert made_before(c, replace(WANTED, greedy=False).asks) == {}


def test_problems_of_the_workspace_are_those_with_a_reference_each_once(database: Database) -> None:
    with database.write() as c:
        add(c, "a", WANTED, 0)
        for number, (prompt, reference) in enumerate((("1 + 1?", "2"), ("2 + 1?", None), ("3?", "  "), (PROBLEM, "4"))):
            row = {"uid": f"p{number}", "prompt": prompt, "reference_answer": reference, "fold": f"{number}"}
            c.execute(s.problem.insert().values(**row))
    with database.read() as c:
        assert set(stored_problems(c, 9)) == {Example("1 + 1?", "2"), Example(PROBLEM, "4")}
        assert len(stored_problems(c, 1)) == 1
