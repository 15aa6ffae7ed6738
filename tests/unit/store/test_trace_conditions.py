"""Every condition of every field is what a look at every trace finds, alone, joined and in every order."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, update

from studio.store import batches, projects, schema, schema_inspect, schema_reason, trace_conditions, trace_list
from studio.store.database import Database
from studio.store.trace_filter import Field, Filter
from studio.store.trace_list import TraceOrder, TraceQuery
from tests.unit.store.conditions_anew import Row, every_condition, holds
from tests.unit.store.making import add_traces

ANSWERS = (None, "", "x = 4/2", "50%", "a_b", "C:\\tmp", "ÄRGER über Größe", "Привет, МИР", "ab" * 150, "[q] *", "İ")
EXTRAS: tuple[Any, ...] = (
    None,
    {"temperature": 1, "ok": True},
    {"temperature": 1.0, "usage": {"tokens": 7, "cost": None}, "tags": ["Red", "blue"]},
    {"temperature": "0.70", "gen_ai.usage": {"tokens": 40}, "ok": False, "größe": "L"},
    {"usage": {"tokens": 3000, "deep": {"er": "Compared"}}, "list": [{"tokens": 1}]},
    {"long": "y" * 17_000, "temperature": 0.25, "usage": {"tokens": 12}, "ok": True, "tags": ["red"]},
    {},
)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, list[Row]]]:
    folder: Path = tmp_path_factory.mktemp("conditions")
    database = Database.open(folder / "workspace.db")
    with database.write() as c:
        project, other = projects.create(c, "Algebra").id, projects.create(c, "Other").id
    made = [trace for steps in (1, 2, 4) for trace in add_traces(database, project, 20, steps)]
    rows = [looks(random.Random(at), at, trace) for at, trace in enumerate(made)]
    with database.write() as c:
        write(c, rows, project, other)
    yield database, rows
    database.close()


def looks(dice: random.Random, at: int, trace: int) -> Row:
    """What a trace is to be."""
    scores = {by: [dice.choice((0.0, 0.25, 0.5, 0.75)) for _ in "123"] for by in (1, 2) if dice.random() < 0.6}
    return {
        "id": trace,
        "model": dice.choice(("alpha", "beta", "")),
        "log": dice.choice((None, "logs/a.eval", "logs/b.eval")),
        "sample": dice.choice((None, "1", "2", "11")),
        "epoch": dice.choice((None, 1, 2, 3)),
        "outcome": dice.choice((1, 0, None)),
        "answer": ANSWERS[at % len(ANSWERS)],
        "extra": EXTRAS[at % len(EXTRAS)],
        "prompt": f"Problem {at}: {dice.choice(('ö', 'Ö', 'o'))}",
        "source": dice.choice(("", "gsm8k", "math")),
        "budget": dice.choice(
            (None, {"used": 1000 * (at % 4), "thinking": at % 5, "answer": 2, "ended": "length"}, {})
        ),
        "other": dice.random() < 0.4,
        "scores": scores,
        "errors": [None if dice.random() < 0.5 else dice.randrange(1) for _ in range(dice.randrange(3))],
        "flags": [
            (dice.choice(("deception", "sandbagging")), dice.choice(("open", "rejected"))) for _ in range(at % 3)
        ],
        "cause": dice.choice((None, "loop", "slip")),
        "hits": [dice.choice(("open", "rejected")) for _ in range(at % 2)],
        "tags": dice.choice((None, (), ("odd", "x"), ("even",))),
        "drawn": dice.choice((None, ("math", "vote"), ("gsm8k", "single"))),
        "search": dice.choice((None, "beam", "mcts")),
    }


def write(c: Connection, rows: list[Row], project: int, other: int) -> None:
    """Make the traces so; one batch is hidden, and nothing that it says counts."""
    s, i, r = schema, schema_inspect, schema_reason
    batch, hidden = batches.begin(c, "import", None, format="inspect"), batches.begin(c, "ingest", None)
    batches.publish(c, batch, {})
    person = projects.ensure_annotator(c, "Ada").id

    def put(table: Any, **values: object) -> int:
        key = c.execute(insert(table).values(**values)).inserted_primary_key
        return int(key[0])

    logs = {path: put(s.log, uid=path, batch_id=batch, path=path) for path in ("logs/a.eval", "logs/b.eval")}
    by = {number: put(s.scorer, name=name, version="1") for number, name in ((1, "one"), (2, "two"))}
    rubric = put(i.rubric, uid="r", name="goes on", created_at="2026")
    suite = put(r.evaluation_problem, row="1", suite="math", prompt="Q")
    told = dict.fromkeys(("chosen", "traces", "nodes", "tokens", "tokens_read", "prm_calls", "prm_tokens"), 0)
    told |= {"batch_id": batch, "prompt": "Q", "model": "m", "data": b"", "seconds": 0.0}
    searches = {each: put(r.search, record=each, strategy=each, **told) for each in ("beam", "mcts")}
    span = {"start": 0, "end": 1, "quote": "q"}
    of = dict(c.execute(select(s.segmentation.c.trace_id, s.segmentation.c.id)).all())
    for at, row in enumerate(rows):
        trace, seg = row["id"], {"trace_id": row["id"], "segmentation_id": of[row["id"]]}
        named = {"model", "sample", "epoch", "outcome", "answer", "extra", "budget"}
        values = {name: row[name] for name in named} | {"log_id": logs.get(row["log"])}
        values["problem_id"] = put(s.problem, uid=f"q{at}", prompt=row["prompt"], source=row["source"], fold="0")
        row["format"] = "inspect" if at % 3 else ""
        values |= {"batch_id": batch} if at % 3 else {}
        c.execute(update(s.trace).where(s.trace.c.id == trace).values(**values))
        if row["other"]:
            projects.put_traces(c, other, (trace,), batch_id=batch)
        for number, said in row["scores"].items():
            low = {"low": min(said), "last": said[-1], "product": said[0] * said[1] * said[2]}
            put(s.score, record=f"{at}-{number}", scorer_id=by[number], batch_id=batch, data=b"", **seg, **low)
        if not row["scores"]:
            zero = {"low": 0.0, "last": 0.0, "product": 0.0}
            put(s.score, record=f"{at}-", scorer_id=by[1], batch_id=hidden, data=b"", **seg, **zero)
        for number, error in enumerate(row["errors"]):
            a = put(
                s.annotation, uid=f"{at}-{number}", project_id=project, annotator_id=person, state="submitted", **seg
            )
            c.execute(
                insert(s.rating).values(annotation_id=a, ordinal=error or 0, option=0, value=1 if error is None else -1)
            )
        for number, (category, state) in enumerate(row["flags"]):
            put(i.flag, record=f"{at}-{number}", category=category, state=state, severity=1, **seg, **span)
        if row["cause"]:
            why = {
                "method": "rules",
                "version": "1",
                "cause": row["cause"],
                "basis": "human",
                "why": "so",
                "at": "2026",
            }
            c.execute(insert(i.failure).values(**why, **seg, **span))
        for state in row["hits"]:
            put(i.rubric_hit, rubric_id=rubric, trace_id=trace, how="rule", version=1, state=state, **span)
        if row["tags"] is not None:
            put(i.bookmark, uid=f"b{at}", trace_id=trace, tags=list(row["tags"]), created_at="", changed_at="", **span)
        if row["drawn"]:
            drawn = {"suite": row["drawn"][0], "strategy": row["drawn"][1], "model": "m", "compute": "low", "sample": 0}
            put(r.evaluation, record=f"e{at}", batch_id=batch, problem_id=suite, trace_id=trace, **drawn)
        if row["search"]:
            found = {"trace_id": trace, "search_id": searches[row["search"]], "batch_id": batch, "place": 0}
            c.execute(insert(r.search_trace).values(**found))
    sizes = dict(c.execute(select(s.trace.c.id, s.trace.c.text)).all())
    steps = dict(c.execute(select(s.segmentation.c.trace_id, s.segmentation.c.steps)).all())
    for row in rows:
        row |= {"characters": len(sizes[row["id"]]), "steps": steps[row["id"]]}


# -- the tests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", Field)
def test_each_way_of_each_field_is_what_looking_at_every_trace_finds(
    filled: tuple[Database, list[Row]], field: Field
) -> None:
    database, rows = filled
    with database.read() as c:
        for condition in every_condition(field):
            expected = [row["id"] for row in rows if holds(row, condition)]
            assert trace_list.all_ids(c, TraceQuery(filter=Filter((condition,)))).tolist() == expected, condition
            asked = select(schema.trace.c.id).where(trace_conditions.clause(Filter((condition,))))
            assert sorted(c.scalars(asked)) == expected, f"{condition}, as one query"


def test_conditions_joined_are_in_every_order_what_python_sorts(filled: tuple[Database, list[Row]]) -> None:
    database, rows = filled
    dice, every = random.Random(7), [condition for field in Field for condition in every_condition(field)]
    with database.read() as c:
        for turn in range(60):
            wanted = Filter(tuple(dice.sample(every, dice.randint(0, 4))), any_of=bool(turn % 2))
            join = any if wanted.any_of else all
            kept = [row for row in rows if not wanted or join(holds(row, each) for each in wanted.conditions)]
            order = list(TraceOrder)[turn % len(TraceOrder)]
            query = TraceQuery(filter=wanted, order=order)
            expected = [row["id"] for row in sorted(kept, key=KEYED[order])]
            assert trace_list.all_ids(c, query).tolist() == expected, f"{wanted}, {order}"
            assert trace_list.count(c, query) == len(expected)
            head = trace_list.head(c, query, limit=5)
            assert [row.id for row in head.rows] == expected[:5]
            assert [row.id for row in trace_list.rows(c, query, limit=3, offset=2)] == expected[2:5]


KEYED: dict[TraceOrder, Any] = {
    TraceOrder.POSITION: lambda row: row["id"],
    TraceOrder.NEWEST: lambda row: -row["id"],
    TraceOrder.SAMPLE: lambda row: (
        *({None: 0, "logs/a.eval": 1, "logs/b.eval": 2}[row["log"]], int(row["sample"] or -1), row["epoch"] or 0),
        row["id"],
    ),
    TraceOrder.LOW_SCORE: lambda row: (min((min(said) for said in row["scores"].values()), default=9), row["id"]),
    TraceOrder.FIRST_ERROR: lambda row: (min((e for e in row["errors"] if e is not None), default=9), row["id"]),
}


def test_no_condition_reads_the_texts(filled: tuple[Database, list[Row]]) -> None:
    """Walking `trace` itself would go through all texts; every walk is one of an index that holds what is asked."""
    database, _ = filled
    with database.read() as c:
        for field in Field:
            for condition in every_condition(field):
                query = trace_conditions.part_of(condition).ids
                text = str(query.compile(c, compile_kwargs={"literal_binds": True}))
                plan = [row[3] for row in c.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]
                walks = [step for step in plan if step.startswith(("SCAN trace", "SEARCH trace"))]
                allowed = ("COVERING INDEX", "ix_trace_long_", "trace_fact")
                assert all(any(word in step for word in allowed) for step in walks), f"{condition}: {plan}"
                whole = select(schema.trace.c.id).where(trace_conditions.clause(Filter((condition,))))
                text = str(whole.compile(c, compile_kwargs={"literal_binds": True}))
                plan = [row[3] for row in c.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]
                assert not any("CORRELATED LIST" in step for step in plan), f"{condition}, as one query: {plan}"


def test_metadata_follow_their_traces(filled: tuple[Database, list[Row]]) -> None:
    database, rows = filled
    told = "SELECT k.name, v.value FROM metadata_value v JOIN metadata_key k ON k.id = v.key_id WHERE v.trace_id = ?"
    with database.write() as c:
        trace = next(row["id"] for row in rows if row["extra"] == EXTRAS[2])
        assert dict(c.exec_driver_sql(told, (trace,)).all()) == {
            "temperature": 1.0,
            "usage.tokens": 7,
            "tags": '["Red","blue"]',
        }
        c.execute(
            update(schema.trace).where(schema.trace.c.id == trace).values(extra={"b": [1], "a.b": 2, "a": {"b": 3}})
        )
        assert dict(c.exec_driver_sql(told, (trace,)).all()) == {"b": "[1]", "a.b": 2}
        c.exec_driver_sql("UPDATE trace SET extra = '{broken' WHERE id = ?", (trace,))
        assert c.exec_driver_sql(told, (trace,)).all() == []
        c.execute(update(schema.trace).where(schema.trace.c.id == trace).values(extra={"a": 1}))
        c.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        c.exec_driver_sql("DELETE FROM trace WHERE id = ?", (trace,))
        assert c.exec_driver_sql(told, (trace,)).all() == []
        c.rollback()
