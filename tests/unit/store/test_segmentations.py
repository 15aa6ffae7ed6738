"""Steps that are edited: new versions, ids that stay, nothing that people rated is pulled away."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import func, select

from studio.errors import ConflictError
from studio.store import annotations, batches, projects, schema, segmentations, traces
from studio.store.database import Database
from trainer.contract.records import Block, BlockKind, Message, Rating, Step
from trainer.reasoning.segment import segment

TEXT = "One two three.\nFour five.\nSix.\nThe answer is 7."


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(Database.open(tmp_path / "d.db")) as opened:
        yield opened


@pytest.fixture
def trace_id(database: Database) -> int:
    end = TEXT.index("The answer")
    blocks = (Block(BlockKind.THINKING, 0, end), Block(BlockKind.ANSWER, end, len(TEXT)))
    steps = tuple(Step(10 + k, span.start, span.end) for k, span in enumerate(segment(TEXT)))
    new = traces.NewTrace("p", TEXT, (Message("assistant", blocks),), steps)
    with database.write() as c:
        batch = batches.begin(c, "import")
        made = traces.add(c, new, batch_id=batch).trace_id
        batches.publish(c, batch, {})
    return made


def texts(database: Database, trace_id: int) -> list[tuple[int, str]]:
    with database.read() as c:
        trace = traces.load(c, trace_id)
    return [(step.id, trace.text[step.start : step.end]) for step in trace.segmentation.steps]


def how(database: Database, trace_id: int) -> str:
    with database.read() as c:
        return segmentations.in_words(traces.load(c, trace_id).segmentation.method)


def me(database: Database) -> int:
    return database.run(lambda c: projects.ensure_annotator(c, "Ada")).id


def test_a_split_keeps_ids_and_a_join_takes_it_back(database: Database, trace_id: int) -> None:
    ada, at = me(database), TEXT.index("three")
    before = texts(database, trace_id)
    database.run(lambda c: segmentations.split(c, trace_id, 0, at, ada))
    assert texts(database, trace_id) == [(10, "One two"), (14, "three."), *before[1:]]
    database.run(lambda c: segmentations.split(c, trace_id, 0, 4, ada))
    assert [id for id, _ in texts(database, trace_id)] == [10, 15, 14, 11, 12, 13]
    database.run(lambda c: segmentations.join(c, trace_id, 0, ada))
    database.run(lambda c: segmentations.join(c, trace_id, 0, ada))
    assert texts(database, trace_id) == before
    with database.read() as c:
        rows = c.execute(select(schema.segmentation.c.version, schema.segmentation.c.current)).all()
        assert sorted(tuple(row) for row in rows) == [(1, 0), (2, 0), (3, 0), (4, 0), (5, 1)]


def test_edits_are_taken_back_one_by_one(database: Database, trace_id: int) -> None:
    ada = me(database)
    seen = [texts(database, trace_id)]
    for _ in range(2):
        database.run(lambda c: segmentations.split(c, trace_id, 0, 4 if len(seen) > 1 else 8, ada))
        seen.append(texts(database, trace_id))
    for wanted in reversed(seen[:-1]):
        database.run(lambda c: segmentations.take_back(c, trace_id))
        assert texts(database, trace_id) == wanted
    with pytest.raises(ConflictError, match="no edit to take back"):
        database.run(lambda c: segmentations.take_back(c, trace_id))


@pytest.mark.parametrize("seed", range(5))
def test_however_it_is_edited_the_steps_stay_apart_in_order_and_their_ids_unique(
    database: Database, trace_id: int, seed: int
) -> None:
    ada, dice = me(database), random.Random(seed)
    for _ in range(25):
        count = len(texts(database, trace_id))
        step, at = dice.randrange(count), dice.randrange(len(TEXT))
        try:
            if dice.random() < 0.6:
                database.run(lambda c, s=step, at=at: segmentations.split(c, trace_id, s, at, ada))
            else:
                database.run(lambda c, s=step: segmentations.join(c, trace_id, s, ada))
        except ConflictError:
            continue
        with database.read() as c:
            steps = traces.load(c, trace_id).segmentation.steps
        assert len({each.id for each in steps}) == len(steps)
        assert all(a.end <= b.start for a, b in pairwise(steps))
        assert "".join(TEXT[s.start : s.end] for s in steps).replace(" ", "").replace("\n", "") == "".join(TEXT.split())
    with database.read() as c:
        assert c.scalar(select(func.sum(schema.segmentation.c.current))) == 1


def test_what_makes_no_sense_is_refused(database: Database, trace_id: int) -> None:
    ada = me(database)
    for step, at, words in ((0, 0, "both sides"), (0, 14, "both sides"), (9, 3, "no step 10"), (1, 3, "both sides")):
        with pytest.raises(ConflictError, match=words):
            database.run(lambda c, s=step, at=at: segmentations.split(c, trace_id, s, at, ada))
    with pytest.raises(ConflictError, match="not thinking"):
        database.run(lambda c: segmentations.join(c, trace_id, 2, ada))
    with pytest.raises(ConflictError, match="no next step"):
        database.run(lambda c: segmentations.join(c, trace_id, 3, ada))


def test_steps_that_somebody_has_rated_are_left_alone(database: Database, trace_id: int) -> None:
    ada = me(database)
    project = database.run(lambda c: projects.create(c, "P")).id
    database.run(lambda c: projects.put_traces(c, project, (trace_id,)))
    database.run(lambda c: annotations.rate(c, annotations.Work(project, trace_id, ada), 0, Rating.POSITIVE))
    with pytest.raises(ConflictError, match="1 annotation made here"):
        database.run(lambda c: segmentations.split(c, trace_id, 0, 4, ada))


def test_steps_are_cut_by_idea_within_their_blocks_and_that_is_taken_back(database: Database) -> None:
    text = "Add one. Then two.\nStays.<mark>We get\n\\[x.\\]\nDone. All of it."
    end = text.index("<mark>")
    blocks = (Block(BlockKind.THINKING, 0, end), Block(BlockKind.ANSWER, end + 6, len(text)))
    lines = [*segment(text, 0, end), *segment(text, end + 6)]
    steps = tuple(Step(k, span.start, span.end) for k, span in enumerate(lines))
    with database.write() as c:
        batch = batches.begin(c, "import")
        new = traces.NewTrace("p", text, (Message("assistant", blocks),), steps)
        trace_id = traces.add(c, new, batch_id=batch).trace_id
        batches.publish(c, batch, {})
    ada, before = me(database), texts(database, trace_id)
    database.run(lambda c: segmentations.by_idea(c, trace_id, ada))
    found = texts(database, trace_id)
    assert how(database, trace_id) == "cut by idea"
    assert [body for _, body in found] == ["Add one.", "Then two.", "Stays.", "We get\n\\[x.\\]", "Done.", "All of it."]
    assert dict(found)[1] == "Stays.", "a step that stays keeps its id"
    assert not {id for id, body in found if body != "Stays."} & {id for id, _ in before}
    with pytest.raises(ConflictError, match="by idea already"):
        database.run(lambda c: segmentations.by_idea(c, trace_id, ada))
    database.run(lambda c: segmentations.take_back(c, trace_id))
    assert texts(database, trace_id) == before
    assert how(database, trace_id) == "as imported"
