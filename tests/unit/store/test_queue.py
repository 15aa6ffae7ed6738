"""The queue: order, overlap, leases, counts, and its speed at 100,000 traces."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sqlalchemy import Connection, Select, select, update

from studio.domain import Annotator
from studio.errors import NotFoundError
from studio.store import annotations, projects, queue
from studio.store import schema as s
from studio.store.database import Database
from tests.unit.store.making import Small, add_traces, small
from trainer.contract.records import FinishReason, Rating


def next_of(here: Small, who: Annotator | None = None, after: int | None = None) -> int | None:
    who = who or here.ada
    return here.database.run(lambda c: queue.next_trace(c, here.project.id, who.id, after=after))


def finish(here: Small, at: int, who: Annotator | None = None) -> None:
    work = here.work(at, who)
    here.database.run(lambda c: annotations.finish(c, work, FinishReason.GIVE_UP, "x", active_ms=1))


def left(here: Small, who: Annotator | None = None) -> int:
    with here.database.read() as c:
        return queue.left(c, here.project.id, (who or here.ada).id)


def test_each_gets_another_trace_while_there_is_one(tmp_path: Path) -> None:
    here = small(tmp_path)
    one, two, three = here.traces
    assert next_of(here) == one
    assert next_of(here, here.bob) == two  # the first is lent to Ada
    assert next_of(here) == one  # and stays hers
    finish(here, 0)
    assert next_of(here) == three
    assert next_of(here, here.bob) == two
    finish(here, 2)
    assert next_of(here) is None
    here.database.close()


def test_a_lease_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = small(tmp_path)
    assert next_of(here) == here.traces[0]
    with here.database.write() as c:
        c.execute(update(s.lease).values(expires_at="2026-01-01T00:00:00.000000"))
    assert next_of(here, here.bob) == here.traces[0]
    with here.database.read() as c:
        assert c.scalars(select(s.lease.c.annotator_id)).all() == [here.bob.id]
    here.database.close()


def test_rating_keeps_the_lease_alive(tmp_path: Path) -> None:
    here = small(tmp_path)
    next_of(here)
    soon = queue._in(queue.LEASE / 10)
    with here.database.write() as c:
        c.execute(update(s.lease).values(expires_at=soon))
    here.database.run(lambda c: annotations.rate(c, here.work(), 0, Rating.POSITIVE))
    with here.database.read() as c:
        assert c.scalar(select(s.lease.c.expires_at)) > queue._in(queue.LEASE / 2)  # type: ignore[operator]
    here.database.close()


def test_overlap_two(tmp_path: Path) -> None:
    here = small(tmp_path, overlap=2)
    with here.database.write() as c:
        cyd = projects.ensure_annotator(c, "Cyd")
    one, two, three = here.traces
    assert [next_of(here, who) for who in (here.ada, here.bob, cyd)] == [one, one, two]
    for who in (here.ada, here.bob):
        finish(here, 0, who)
    assert [next_of(here, who) for who in (here.ada, here.bob, cyd)] == [two, three, two]
    assert [left(here, who) for who in (here.ada, here.bob, cyd)] == [2, 2, 2]
    finish(here, 1)
    assert [left(here, who) for who in (here.ada, here.bob)] == [1, 2]
    here.database.run(lambda c: annotations.undo(c, here.ada.id, here.project.id))
    assert [left(here, who) for who in (here.ada, here.bob)] == [2, 2]
    here.database.close()


def test_after_a_trace_the_search_goes_on_behind_it_and_round(tmp_path: Path) -> None:
    here = small(tmp_path)
    one, two, three = here.traces
    here.database.run(lambda c: annotations.rate(c, here.work(0), 0, Rating.POSITIVE))  # half-rated, then skipped
    assert next_of(here, after=one) == two
    assert next_of(here, after=two) == three
    assert next_of(here, after=three) == one
    with here.database.read() as c:
        assert queue.upcoming(c, here.project.id, here.ada.id, 5, after=two) == (three, one)
        assert queue.upcoming(c, here.project.id, here.ada.id, 5) == (one, two, three)
    here.database.close()


def test_counts_of_today(tmp_path: Path) -> None:
    here = small(tmp_path)
    finish(here, 0)
    finish(here, 1)
    with here.database.write() as c:
        old = update(s.annotation).where(s.annotation.c.trace_id == here.traces[1])
        c.execute(old.values(submitted_at="2020-01-01T00:00:00.000000"))
    with here.database.read() as c:
        assert queue.done_today(c, here.project.id, here.ada.id) == 1
        assert queue.done_today(c, here.project.id, here.bob.id) == 0
        with pytest.raises(NotFoundError):
            queue.left(c, 77, here.ada.id)
    assert left(here) == 1
    here.database.close()


def test_an_import_does_not_use_up_the_overlap_and_own_imported_work_is_done(tmp_path: Path) -> None:
    here = small(tmp_path)
    with here.database.write() as c:
        finish_row = {"state": "submitted", "batch_id": 1, "annotator_id": here.bob.id}
        annotations.rate(c, here.work(0, here.bob), 0, Rating.NEGATIVE)
        c.execute(update(s.annotation).values(**finish_row))
    assert (left(here), left(here, here.bob)) == (3, 2)
    assert next_of(here) == here.traces[0]
    assert next_of(here, here.bob) == here.traces[1]
    here.database.close()


def test_unpublished_traces_are_in_nobodys_queue(tmp_path: Path) -> None:
    here = small(tmp_path)
    add_traces(here.database, here.project.id, 4)
    with here.database.write() as c:
        c.execute(update(s.batch).where(s.batch.c.id == 2).values(state="writing"))
    assert left(here) == 3
    with here.database.read() as c:
        assert len(queue.upcoming(c, here.project.id, here.ada.id, 9)) == 3
        assert projects.get(c, here.project.id).traces == 3
    here.database.close()


def plan(c: Connection, statement: Select, **values: object) -> list[str]:
    bound = statement.params(**values)
    sql = str(bound.compile(c.engine, compile_kwargs={"literal_binds": True}))
    return [row[3] for row in c.exec_driver_sql("EXPLAIN QUERY PLAN " + sql)]


def test_the_queue_reads_indexes_and_sorts_nothing(tmp_path: Path) -> None:
    here = small(tmp_path)
    given = {"project": 1, "annotator": 1, "now": "2026", "behind": -1, "n": 3, "done": 0, "overlap": 1}
    half = {name: given[name] for name in ("project", "annotator", "behind", "n", "overlap")}
    with here.database.read() as c:
        fresh = plan(c, queue._fresh, **given)
        mine = plan(c, queue._half_rated, **half)
        open_of_mine = plan(c, queue._open_of_mine, project=1, annotator=1, overlap=2)
    here.database.close()
    assert "ix_project_trace_queue" in fresh[0]
    assert not [step for step in fresh if "TEMP B-TREE" in step or step.startswith("SCAN project_trace")], fresh
    assert not [step for step in fresh if "SCAN annotation" in step], fresh
    for steps in (mine, open_of_mine):
        assert "COVERING INDEX ix_annotation_queue" in steps[0], steps
        assert "project_id=? AND trace_id=?" in " ".join(steps), steps


def bulk(database: Database, project_id: int, wanted: int) -> None:
    """Bare traces in the queue, as many as wanted."""
    with database.write() as c:
        raw = c.connection.driver_connection
        assert raw is not None
        problem = "INSERT INTO problem (id, uid, prompt, source, fold) VALUES (999, 'p', 'x', '', '')"
        raw.execute(problem)
        traces = ((n, f"{n:032x}") for n in range(1000, 1000 + wanted))
        raw.executemany(
            "INSERT INTO trace (id, uid, problem_id, batch_id, text, created_at) VALUES (?,?,999,1,'','')", traces
        )
        places = ((project_id, n, n, 1) for n in range(1000, 1000 + wanted))
        raw.executemany("INSERT INTO project_trace (project_id, trace_id, position, batch_id) VALUES (?,?,?,?)", places)


def test_counting_and_looking_ahead_are_quick_at_100_000_traces(tmp_path: Path) -> None:
    here = small(tmp_path)
    bulk(here.database, here.project.id, 100_000)
    with here.database.read() as c:
        times: dict[str, list[float]] = {"ahead": [], "left": []}
        for _ in range(7):
            began = time.perf_counter()
            assert len(queue.upcoming(c, here.project.id, here.ada.id, 4)) == 4
            middle = time.perf_counter()
            assert queue.left(c, here.project.id, here.ada.id) == 100_003
            times["ahead"].append(middle - began)
            times["left"].append(time.perf_counter() - middle)
    here.database.close()
    assert min(times["ahead"]) < 0.010
    assert min(times["left"]) < 0.030
    print({name: f"{min(values) * 1000:.2f} ms" for name, values in times.items()})
