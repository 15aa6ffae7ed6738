"""Filters of traces agree with reading every trace and looking; the tree of logs agrees with the list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, insert, update

from studio.errors import FindError
from studio.store import (
    batches,
    bookmarks,
    failures,
    flag_words,
    flags,
    projects,
    saved_filters,
    schema,
    schema_reason,
    segmentations,
    trace_conditions,
    trace_groups,
    trace_list,
    traces,
)
from studio.store.database import Database
from studio.store.flag_words import NewFlag
from studio.store.flags import FlagState
from studio.store.trace_filter import OPS, Condition, Field, Filter, Op, kind_of
from studio.store.trace_list import OutcomeFilter, TraceOrder, TraceQuery
from tests.unit.store.making import add_traces
from trainer.reasoning.failures import Basis, Cause, Failure
from trainer.reasoning.safety import Category

MODELS = ("alpha", "beta", "")
LOGS = ("logs/a.eval", "logs/b.eval", None)
ENDED = ("length", "stop", "")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Database:
    folder: Path = tmp_path_factory.mktemp("filters")
    database = Database.open(folder / "workspace.db")
    with database.write() as c:
        project = projects.create(c, "Algebra").id
    made = [trace for steps in (1, 2, 5) for trace in add_traces(database, project, 12, steps)]
    database.run(lambda c: dress(c, made))
    yield database
    database.close()


def dress(c: Connection, made: list[int]) -> None:
    """Give the traces logs, models, outcomes, budgets, flags, causes and bookmarks."""
    person = projects.ensure_annotator(c, "Ada").id
    batch = batches.begin(c, "import", None)
    batches.publish(c, batch, {})
    keys = {}
    for path in LOGS[:2]:
        row = c.execute(insert(schema.log).values(uid=path.rjust(32, "0"), batch_id=batch, path=path))
        keys[path] = row.inserted_primary_key[0]
    for at, trace in enumerate(made):
        budget = {"used": 100 * at, "thinking": 90 * at, "ended": ENDED[at % 3]} if at % 5 else None
        values: dict[str, Any] = {"model": MODELS[at % 3], "outcome": (1, 0, None, 0)[at % 4], "budget": budget}
        values |= {"log_id": keys.get(LOGS[at % 7 % 3]), "sample": str(at // 3) if LOGS[at % 7 % 3] else None}
        values |= {"epoch": at % 3 + 1, "answer": None if at % 6 == 0 else f"Ans {at % 4}"}
        values["extra"] = {"temperature": at / 10, "usage": {"kind": "big" if at % 2 else "Small"}} if at % 4 else None
        c.execute(update(schema.trace).where(schema.trace.c.id == trace).values(**values))
        if at % 4 == 1:
            category = Category.DECEPTION if at % 8 == 1 else Category.INCONSISTENCY
            flag = flag_words.add(c, NewFlag(trace, category, 0, 2), person).flag
            if at % 16 == 1:
                assert flag is not None
                flag_words.review(c, flag.id, FlagState.REJECTED, person)
        if at % 5 == 2:
            bookmarks.add(c, trace, 0, 1, person, tags=("odd",) if at % 2 else ("even", "x_"))
    evaluate(c, batch, made)
    segments = dict(c.execute(schema.segmentation.select().with_only_columns(*schema.segmentation.c[:2])).all())
    of = {trace: segment for segment, trace in segments.items()}
    wrong = [trace for at, trace in enumerate(made) if at % 4 in (1, 3)]
    found = [
        (trace, of[trace], Failure((Cause.LOOP, Cause.SLIP, Cause.UNKNOWN)[n % 3], 0, Basis.HUMAN, 0, 1, "0", "so"))
        for n, trace in enumerate(wrong[:-4])
    ]
    failures.store(c, found)


def evaluate(c: Connection, batch: int, made: list[int]) -> None:
    """The first trace is of a suite, the second of a search."""
    row = c.execute(insert(schema_reason.evaluation_problem).values(row="1", suite="gsm8k", prompt="Q"))
    of = {"problem_id": row.inserted_primary_key[0], "batch_id": batch, "trace_id": made[0], "suite": "gsm8k"}
    told = {"model": "m", "strategy": "single", "compute": "low", "sample": 0, "record": "e1"}
    c.execute(insert(schema_reason.evaluation).values(**of, **told))
    counts = dict.fromkeys(("chosen", "traces", "nodes", "tokens", "tokens_read", "prm_calls", "prm_tokens"), 0)
    named = {"record": "s1", "batch_id": batch, "prompt": "Q", "strategy": "beam", "model": "m", "data": b""}
    search = c.execute(insert(schema_reason.search).values(**named, **counts, seconds=0.0)).inserted_primary_key[0]
    place = {"search_id": search, "trace_id": made[1], "batch_id": batch, "place": 0}
    c.execute(insert(schema_reason.search_trace).values(**place))


def everything(c: Connection) -> list[dict[str, Any]]:
    """Every trace as a dictionary, read without any filter."""
    rows = [dict(row._mapping) for row in c.execute(schema.trace.select().order_by(schema.trace.c.id))]
    steps = Counter(
        row[0]
        for row in c.exec_driver_sql(
            "SELECT g.trace_id FROM step p JOIN segmentation g ON g.id = p.segmentation_id WHERE g.current"
        )
    )
    paths = dict(c.exec_driver_sql("SELECT id, path FROM log").all())
    for place, row in enumerate(rows):
        row["place"] = place
        row |= {"steps": steps[row["id"]], "path": paths.get(row["log_id"])}
        row["flags"] = {f.category.value for f in flags.of_trace(c, row["id"]) if f.state is not FlagState.REJECTED}
        failure = failures.of_trace(c, row["id"])
        row["cause"] = None if failure is None else failure.cause.value
        row["tags"] = {tag for mark in bookmarks.of_trace(c, row["id"]) for tag in mark.tags}
    return rows


def used(row: dict[str, Any]) -> float:
    return (row["budget"] or {}).get("used", float("nan"))


Holds = Callable[[dict[str, Any]], bool]
CASES: tuple[tuple[Condition, Holds], ...] = (
    (Condition(Field.MODEL, Op.IS, "beta"), lambda row: row["model"] == "beta"),
    (Condition(Field.MODEL, Op.IS_NOT, "beta"), lambda row: row["model"] != "beta"),
    (Condition(Field.LOG, Op.IS, "logs/a.eval"), lambda row: row["path"] == "logs/a.eval"),
    (Condition(Field.LOG, Op.IS_NOT, "logs/a.eval"), lambda row: row["path"] != "logs/a.eval"),
    (Condition(Field.OUTCOME, Op.IS, "wrong"), lambda row: row["outcome"] == 0),
    (Condition(Field.OUTCOME, Op.IS_NOT, "wrong"), lambda row: row["outcome"] != 0),
    (Condition(Field.OUTCOME, Op.IS, "undecided"), lambda row: row["outcome"] is None),
    (Condition(Field.STEPS, Op.MORE, "2"), lambda row: row["steps"] >= 2),
    (Condition(Field.STEPS, Op.LESS, "2"), lambda row: row["steps"] < 2),
    (Condition(Field.STEPS, Op.IS, "2"), lambda row: row["steps"] == 2),
    (Condition(Field.STEPS, Op.IS, "2.5"), lambda row: False),
    (Condition(Field.CHARACTERS, Op.MORE, "20"), lambda row: len(row["text"]) >= 20),
    (Condition(Field.CHARACTERS, Op.LESS, "20"), lambda row: len(row["text"]) < 20),
    (Condition(Field.TOKENS, Op.MORE, "1,500"), lambda row: used(row) >= 1500),
    (Condition(Field.TOKENS, Op.UNKNOWN), lambda row: used(row) != used(row)),
    (Condition(Field.THINKING, Op.LESS, "500"), lambda row: (row["budget"] or {}).get("thinking", 9e9) < 500),
    (Condition(Field.ENDED, Op.IS, "length"), lambda row: (row["budget"] or {}).get("ended") == "length"),
    (Condition(Field.ENDED, Op.IS, ""), lambda row: not (row["budget"] or {}).get("ended")),
    (Condition(Field.EPOCH, Op.IS, "2"), lambda row: row["epoch"] == 2),
    (Condition(Field.SAMPLE, Op.IS, "3"), lambda row: row["sample"] == "3"),
    (Condition(Field.ANSWER, Op.HAS, "ans 1"), lambda row: "ans 1" in (row["answer"] or "").lower()),
    (Condition(Field.ANSWER, Op.HAS_NOT, "ans 1"), lambda row: "ans 1" not in (row["answer"] or "").lower()),
    (Condition(Field.ANSWER, Op.UNKNOWN), lambda row: not row["answer"]),
    (Condition(Field.FLAG, Op.IS, "any"), lambda row: bool(row["flags"])),
    (Condition(Field.FLAG, Op.IS_NOT, "any"), lambda row: not row["flags"]),
    (Condition(Field.FLAG, Op.IS, Category.DECEPTION.value), lambda row: Category.DECEPTION.value in row["flags"]),
    (Condition(Field.CAUSE, Op.IS, "loop"), lambda row: row["cause"] == "loop"),
    (Condition(Field.CAUSE, Op.IS_NOT, "any"), lambda row: row["cause"] is None),
    (Condition(Field.TAG, Op.IS, "odd"), lambda row: "odd" in row["tags"]),
    (Condition(Field.TAG, Op.IS_NOT, "x_"), lambda row: "x_" not in row["tags"]),
    (
        Condition(Field.METADATA, Op.MORE, "1.5", "temperature"),
        lambda row: (row["extra"] or {}).get("temperature", 0) >= 1.5,
    ),
    (
        Condition(Field.METADATA, Op.IS, "small", "usage.kind"),
        lambda row: (row["extra"] or {}).get("usage", {}).get("kind") == "Small",
    ),
    (Condition(Field.PROJECT, Op.IS, "Algebra"), lambda row: True),
    (Condition(Field.SCORER, Op.IS, "any"), lambda row: False),
    (Condition(Field.LOWEST, Op.UNKNOWN), lambda row: True),
    (Condition(Field.RATED, Op.IS, "not rated"), lambda row: True),
    (Condition(Field.FIRST_ERROR, Op.KNOWN), lambda row: False),
    (Condition(Field.RUBRIC, Op.IS, "any"), lambda row: False),
    (Condition(Field.SUITE, Op.IS, "gsm8k"), lambda row: row["place"] == 0),
    (Condition(Field.STRATEGY, Op.IS, "beam"), lambda row: row["place"] == 1),
    (Condition(Field.STRATEGY, Op.IS, "any"), lambda row: row["place"] < 2),
    (Condition(Field.PROBLEM, Op.HAS, "is 3+1"), lambda row: "is 3+1" in row["prompt"]),
)


def asked(c: Connection, wanted: Filter) -> list[int]:
    return [row.id for row in trace_list.rows(c, TraceQuery(filter=wanted), limit=1000)]


@pytest.mark.parametrize(("condition", "holds"), CASES, ids=[str(condition) for condition, _ in CASES])
def test_a_condition_is_what_looking_at_every_trace_finds(filled: Database, condition: Condition, holds: Holds) -> None:
    with filled.read() as c:
        rows = everything(c)
        prompts = dict(c.exec_driver_sql("SELECT id, prompt FROM problem").all())
        for row in rows:
            row["prompt"] = prompts[row["problem_id"]]
        expected = [row["id"] for row in rows if holds(row)]
        assert asked(c, Filter((condition,))) == expected
        head = trace_list.head(c, TraceQuery(filter=Filter((condition,))), limit=4)
        assert head.count == len(expected) == trace_list.count(c, TraceQuery(filter=Filter((condition,))))
        assert [row.id for row in head.rows] == expected[:4]


def test_conditions_are_joined_by_and_or_or(filled: Database) -> None:
    (a, holds_a), (b, holds_b) = CASES[0], CASES[4]
    with filled.read() as c:
        rows = everything(c)
        assert asked(c, Filter((a, b))) == [row["id"] for row in rows if holds_a(row) and holds_b(row)]
        either = [row["id"] for row in rows if holds_a(row) or holds_b(row)]
        assert asked(c, Filter((a, b), any_of=True)) == either
        narrowed = TraceQuery(filter=Filter((a, b), any_of=True), outcome=OutcomeFilter.RIGHT, order=TraceOrder.NEWEST)
        right = [row["id"] for row in rows if row["id"] in either and row["outcome"] == 1]
        assert [row.id for row in trace_list.rows(c, narrowed, limit=1000)] == right[::-1]
    assert str(Filter((a, b), any_of=True)) == "model is beta or outcome is wrong"


def test_every_field_has_ways_that_run(filled: Database) -> None:
    with filled.read() as c:
        for field in Field:
            for op in OPS[kind_of(field)]:
                value = {Field.RATED: "not rated"}.get(field, "1")
                asked(c, Filter((Condition(field, op, value, "a.b"),)))


@pytest.mark.parametrize(
    "condition",
    [
        Condition(Field.TOKENS, Op.MORE, "many"),
        Condition(Field.TOKENS, Op.MORE, "nan"),
        Condition(Field.MODEL, Op.LESS, "1"),
        Condition(Field.METADATA, Op.IS, "1"),
    ],
)
def test_what_cannot_be_asked_says_so(condition: Condition) -> None:
    with pytest.raises(FindError, match=condition.field.value):
        trace_conditions.part_of(condition)


def test_filters_are_kept_apart_from_searches(filled: Database) -> None:
    wanted = Filter((CASES[0][0], CASES[13][0]), any_of=True)
    filled.run(lambda c: saved_filters.save_filter(c, " long ", wanted))
    kept = filled.run(lambda c: saved_filters.save_filter(c, "long", replace(wanted, any_of=False)))
    with filled.read() as c:
        assert [(one.name, one.filter) for one in saved_filters.filters(c)] == [("long", replace(wanted, any_of=False))]
        assert saved_filters.every(c) == ()
    with pytest.raises(FindError):
        filled.run(lambda c: saved_filters.save_filter(c, "  ", wanted))
    filled.run(lambda c: saved_filters.remove(c, kept.id))
    with filled.read() as c:
        assert saved_filters.filters(c) == ()
    assert msgspec.json.decode(msgspec.json.encode(wanted), type=Filter) == wanted


@pytest.mark.parametrize(
    "query",
    [
        TraceQuery(),
        TraceQuery(outcome=OutcomeFilter.WRONG),
        TraceQuery(filter=Filter((Condition(Field.TOKENS, Op.MORE, "1000"),))),
    ],
    ids=["all", "wrong", "filtered"],
)
def test_the_tree_counts_and_holds_what_the_list_holds(filled: Database, query: TraceQuery) -> None:
    with filled.read() as c:
        kept = {row.id for row in trace_list.rows(c, query, limit=1000)}
        rows = [row for row in everything(c) if row["id"] in kept]
        groups = trace_groups.logs(c, query)
        assert [group.id for group in groups] == sorted({row["log_id"] or 0 for row in rows}, reverse=True)
        held = []
        for group in groups:
            mine = [row for row in rows if (row["log_id"] or 0) == group.id]
            right = sum(row["outcome"] == 1 for row in mine)
            wrong = [row for row in mine if row["outcome"] == 0]
            assert group.tally == trace_groups.Tally(len(mine), right, len(wrong))
            assert dict(group.causes) == Counter(row["cause"] for row in wrong if row["cause"])
            assert group.unexplained == sum(row["cause"] in (None, "unknown") for row in wrong)
            samples = trace_groups.samples(c, query, group.id)
            assert sum(sample.tally.traces for sample in samples) == len(mine)
            if group.id:
                assert [s.sample for s in samples] == sorted({row["sample"] for row in mine}, key=int)
            for sample in samples:
                found = trace_groups.epochs(c, query, group.id, sample)
                assert len(found) == sample.tally.traces
                assert sample.first == min(found)
                held += found
        assert sorted(held) == sorted(kept)


def test_facts_follow_their_traces(filled: Database) -> None:
    with filled.write() as c:
        trace = c.exec_driver_sql("SELECT max(id) FROM trace").scalar_one()
        c.execute(update(schema.trace).where(schema.trace.c.id == trace).values(text="äöü", budget={"used": 7}))
        row = c.exec_driver_sql("SELECT * FROM trace_fact WHERE trace_id = ?", (trace,)).one()
        assert tuple(row) == (trace, 3, 7, None, None, None, "Ans 3")
        c.exec_driver_sql("UPDATE trace SET budget = '{broken' WHERE id = ?", (trace,))
        assert c.exec_driver_sql("SELECT used FROM trace_fact WHERE trace_id = ?", (trace,)).scalar() is None
        c.rollback()


def test_steps_are_those_of_the_current_cut_and_counted_where_nobody_did(tmp_path: Path) -> None:
    long = Filter((Condition(Field.STEPS, Op.MORE, "4"),))
    with closing(Database.open(tmp_path / "workspace.db")) as database:
        with database.write() as c:
            project = projects.create(c, "Algebra").id
            person = projects.ensure_annotator(c, "Ada").id
        first, second = add_traces(database, project, 2, 3)
        with database.read() as c:
            assert asked(c, long) == []
            step = traces.load(c, first).segmentation.steps[0]
        middle = step.start + max(1, (step.end - step.start) // 2)
        database.run(lambda c: segmentations.split(c, first, 0, middle, person))
        with database.read() as c:
            assert asked(c, long) == [first]
        database.run(lambda c: segmentations.take_back(c, first))
        with database.read() as c:
            assert asked(c, long) == []
        with database.write() as c:
            c.execute(update(schema.segmentation).values(steps=None))
        with database.read() as c:
            assert asked(c, Filter((Condition(Field.STEPS, Op.IS, "3"),))) == [first, second]
