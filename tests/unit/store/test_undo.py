"""Undo and redo: without limit, across submits and restarts, each person's own deeds alone."""

from __future__ import annotations

import random
from pathlib import Path

from sqlalchemy import Connection

from studio.errors import ConflictError
from studio.store import annotations, history, notes
from studio.store import schema as s
from studio.store.annotations import Undone
from studio.store.database import Database
from tests.unit.store.making import Small, small
from trainer.contract.records import FinishReason, Rating

BAD, OKAY, GREAT = Rating.NEGATIVE, Rating.NEUTRAL, Rating.POSITIVE


def hash_of(database: Database) -> str:
    with database.read() as c:
        assert history.differences(c) == ()
        return history.content_hash(c)


def undo(here: Small, database: Database | None = None) -> Undone | None:
    return (database or here.database).run(lambda c: annotations.undo(c, here.ada.id, here.project.id))


def redo(here: Small, database: Database | None = None) -> Undone | None:
    return (database or here.database).run(lambda c: annotations.redo(c, here.ada.id, here.project.id))


def deed(c: Connection, here: Small, dice: random.Random) -> bool:
    """One random deed; whether it changed anything."""
    work = here.work(dice.randrange(len(here.traces)))
    ordinal, value = dice.randrange(4), dice.choice([BAD, OKAY, GREAT, GREAT, None])
    verbs = [
        lambda: annotations.rate(c, work, ordinal, value),
        lambda: annotations.rate(c, work, ordinal, GREAT),
        lambda: annotations.set_unsure(c, work, ordinal, dice.random() < 0.5),
        lambda: annotations.set_comment(c, work, dice.choice(["", "a", "b"])),
        lambda: annotations.submit(c, work, active_ms=10),
        lambda: annotations.finish(c, work, FinishReason.GIVE_UP, "no idea", active_ms=10),
    ]
    try:
        return dice.choices(verbs, [8, 8, 2, 2, 4, 1])[0]().entry is not None
    except ConflictError:
        return False


def test_500_undos_lead_to_the_beginning_and_500_redos_to_the_end(tmp_path: Path) -> None:
    here, dice, piece = small(tmp_path, traces_wanted=6), random.Random(7), 25
    hashes = {0: hash_of(here.database)}
    for at in range(piece, 501, piece):
        with here.database.write() as c:
            deeds = 0
            while deeds < piece:
                deeds += deed(c, here, dice)
        hashes[at] = hash_of(here.database)
    with here.database.read() as c:
        submits = sum(entry.verb == "submit" for key in range(1, 7) for entry in annotations.timeline(c, key))
    assert submits > 20
    here.database.close()
    reopened = Database.open(here.database.path)
    for at in range(500 - piece, -1, -piece):
        with reopened.write() as c:
            for _ in range(piece):
                assert annotations.undo(c, here.ada.id, here.project.id) is not None
        assert hash_of(reopened) == hashes[at], at
    assert undo(here, reopened) is None
    reopened.close()
    again = Database.open(here.database.path)
    for at in range(piece, 501, piece):
        with again.write() as c:
            for _ in range(piece):
                assert annotations.redo(c, here.ada.id, here.project.id) is not None
        assert hash_of(again) == hashes[at], at
    assert redo(here, again) is None
    again.close()


def test_a_new_deed_ends_what_can_be_redone(tmp_path: Path) -> None:
    here = small(tmp_path)
    for ordinal in range(3):
        here.database.run(lambda c, o=ordinal: annotations.rate(c, here.work(), o, GREAT))
    undone = undo(here)
    assert undone is not None
    assert (undone.what, undone.trace_id) == ("rating of step 3", here.traces[0])
    undo(here)
    redo(here)
    here.database.run(lambda c: annotations.rate(c, here.work(), 2, OKAY))
    with here.database.read() as c:
        assert annotations.can_redo(c, here.ada.id, here.project.id) is None
    assert redo(here) is None
    values = []
    while (undone := undo(here)) is not None:
        values.append(None if undone.annotation is None else [r.value for r in undone.annotation.ratings])
    assert values == [[1, 1], [1], None]
    here.database.close()


def test_the_place_of_the_undone_rating_comes_back(tmp_path: Path) -> None:
    here = small(tmp_path)
    for ordinal in range(3):
        here.database.run(lambda c, o=ordinal: annotations.rate(c, here.work(), o, GREAT))
    undone = undo(here)
    assert undone is not None
    assert undone.annotation is not None
    assert undone.annotation.current_step == 2
    here.database.close()


def test_each_person_undoes_their_own_deeds_alone(tmp_path: Path) -> None:
    here = small(tmp_path, overlap=2)
    here.database.run(lambda c: annotations.rate(c, here.work(), 0, GREAT))
    here.database.run(lambda c: annotations.rate(c, here.work(who=here.bob), 0, BAD))
    undone = undo(here)
    assert undone is not None
    assert undo(here) is None
    with here.database.read() as c:
        (left,) = annotations.of_trace(c, here.traces[0])
        assert (left.annotator_id, left.value(0)) == (here.bob.id, BAD)
        assert annotations.can_undo(c, here.bob.id, here.project.id) is not None
    here.database.close()


def test_what_somebody_else_has_changed_since_is_not_taken_back(tmp_path: Path) -> None:
    here = small(tmp_path)
    key = here.database.run(lambda c: annotations.rate(c, here.work(), 0, GREAT)).annotation.id
    here.database.run(lambda c: annotations.rate(c, here.work(), 1, GREAT))
    with here.database.write() as c:
        c.execute(s.annotator.update().where(s.annotator.c.id == here.bob.id).values(role="admin"))
    here.database.run(lambda c: annotations.rate_annotation(c, key, here.bob.id, 0, OKAY))
    first = undo(here)
    assert first is not None
    assert first.what == "rating of step 2"
    assert undo(here) is None  # Bob's correction of step 1 stands
    with here.database.read() as c:
        (found,) = annotations.of_trace(c, here.traces[0])
    assert [r.value for r in found.ratings] == [OKAY]
    assert hash_of(here.database)
    here.database.close()


def test_the_search_for_a_note_reads_no_other_entries(tmp_path: Path) -> None:
    here = small(tmp_path)
    with here.database.write() as c:
        bound = notes._last_reference.params(annotator=1, project=1, trace=1)
        sql = str(bound.compile(c.engine, compile_kwargs={"literal_binds": True}))
        plan = [row[3] for row in c.exec_driver_sql("EXPLAIN QUERY PLAN " + sql)]
        assert plan == ["SEARCH history USING INDEX ix_history_note (trace_id=? AND annotator_id=?)"]
        notes.reference_wrong(c, here.work(), True)
        assert notes.reference_is_wrong(c, here.work())
        assert not notes.reference_is_wrong(c, here.work(who=here.bob))
    assert undo(here) is None
    here.database.close()


def test_the_search_for_what_to_undo_reads_the_index(tmp_path: Path) -> None:
    here = small(tmp_path)
    for statement in (history._undoable, history._redoable):
        bound = statement.params(annotator=1, project=1)
        sql = str(bound.compile(here.database.engine, compile_kwargs={"literal_binds": True}))
        with here.database.read() as c:
            plan = c.exec_driver_sql("EXPLAIN QUERY PLAN " + sql).all()
        steps = [row[3] for row in plan]
        assert not [step for step in steps if step.startswith("SCAN") and "CONSTANT" not in step], steps
        assert not [step for step in steps if "TEMP B-TREE" in step], steps
    here.database.close()
