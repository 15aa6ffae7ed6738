"""The rules of phase 2 as the page knows them, against the store's own verdicts on random keys."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from studio.errors import ConflictError
from studio.store import annotations, batches, projects, traces
from studio.store.annotations import Work
from studio.store.database import Database
from studio.ui.label.work import TraceWork
from studio.ui.widgets.step_model import Mark
from trainer.contract.records import Rating

STEPS = tuple(f"step {number}" for number in range(5))


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """One project with one trace of five steps."""
    database = Database.open(tmp_path / "workspace.db")
    project = database.run(lambda c: projects.create(c, "Algebra"))
    batch = database.run(lambda c: batches.begin(c, "sample", project.id))
    new = traces.from_steps("What is $x$?", STEPS, reference_answer="14")
    database.run(lambda c: traces.add(c, new, batch_id=batch, project_id=project.id))
    database.run(lambda c: batches.publish(c, batch, {}))
    database.run(lambda c: projects.ensure_annotator(c, "Ada"))
    yield database
    database.close()


def fresh(database: Database) -> TraceWork:
    with database.read() as c:
        return TraceWork(traces.load(c, 1), annotations.current(c, Work(1, 1, 1)))


def test_steps_are_rated_in_order(database: Database) -> None:
    work = fresh(database)
    assert [work.may_rate(i) for i in range(5)] == [True, False, False, False, False]
    work.rate(0, Rating.POSITIVE)
    assert work.current == 1
    assert [work.may_rate(i) for i in range(5)] == [True, True, False, False, False]
    assert not work.may_submit
    assert work.missing == "1 of 5 rated · first negative, or all"


def test_a_negative_step_ends_it_and_can_be_corrected(database: Database) -> None:
    work = fresh(database)
    for ordinal, value in enumerate((1, 0, -1)):
        work.rate(ordinal, Rating(value))
    assert work.current == 2
    assert work.may_submit
    assert [row.ahead for row in work.rows()] == [False, False, False, True, True]
    work.rate(0, Rating.NEGATIVE)  # what stands behind is kept, but does not count
    assert [row.rating for row in work.rows()] == [Rating.NEGATIVE, None, None, None, None]
    work.rate(0, Rating.POSITIVE)
    assert [row.rating for row in work.rows()][:3] == [1, 0, -1]


def test_marks_follow_the_writes(database: Database) -> None:
    work = fresh(database)
    work.rate(0, Rating.POSITIVE)
    work.rate(0, Rating.NEUTRAL)
    assert work.row(0).mark is Mark.SAVING
    work.saved(0)
    assert work.row(0).mark is Mark.SAVING  # the second write is still on its way
    work.saved(0)
    assert work.row(0).mark is Mark.DONE
    work.rate(0, Rating.NEGATIVE)
    work.failed(0, "disk is full")
    assert work.row(0).mark is Mark.ERROR
    assert work.row(0).rating is Rating.NEGATIVE
    assert not work.may_submit
    assert work.unsaved == (0,)
    with database.read() as c:
        work.adopt(annotations.current(c, Work(1, 1, 1)))
    assert work.value(0) is Rating.NEGATIVE  # dirty: the store's word does not replace the person's


@pytest.mark.parametrize("seed", range(12))
def test_the_page_and_the_store_agree_on_what_may_be_done(database: Database, seed: int) -> None:
    """Random ratings, corrections, submits: the store takes what the page allows, and refuses only what it forbids."""
    chance, key = random.Random(seed), Work(1, 1, 1)
    work = fresh(database)
    for _ in range(60):
        if chance.random() < 0.15:
            allowed = work.may_submit and not work.is_submitted
            try:
                annotation = database.run(lambda c: annotations.submit(c, key, active_ms=5)).annotation
                taken = True
                work.adopt(annotation)
            except ConflictError:
                taken = False
            assert allowed == taken
            continue
        ordinal, value = chance.randrange(5), chance.choice([-1, 0, 0, 1, 1, 1, None])
        rating = None if value is None else Rating(value)
        if rating is None and work.value(ordinal) is None:
            continue
        allowed = rating is None or work.may_rate(ordinal)
        try:
            rated = database.run(lambda c, o=ordinal, r=rating: annotations.rate(c, key, o, r))
        except ConflictError:
            assert not allowed
            continue
        if allowed:
            work.rate(ordinal, rating)
            work.saved(ordinal)
            before = [row.rating for row in work.rows()]
            state = work.state
            work.adopt(rated.annotation)
            assert [row.rating for row in work.rows()] == before
            assert work.state == state
        else:  # the store keeps what it had behind a negative; the page is only stricter there
            work.adopt(rated.annotation)
            assert work.value(ordinal) is not None
