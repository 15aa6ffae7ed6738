"""Rating by the rules of phase 2, and correcting what was said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.exc import DatabaseError

from studio.domain import AnnotationState, Topic, new_uid
from studio.errors import ConflictError, NotFoundError
from studio.store import annotations, batches, history, queue
from studio.store import schema as s
from studio.store.annotations import Work
from studio.store.database import Database
from tests.unit.store.making import Small, small
from trainer.contract.records import FinishReason, Rating

BAD, OKAY, GREAT = Rating.NEGATIVE, Rating.NEUTRAL, Rating.POSITIVE


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Small]:
    made = small(tmp_path)
    yield made
    with made.database.read() as c:
        assert history.differences(c) == ()
    made.database.close()


def rate(here: Small, *values: Rating | None, at: int = 0) -> annotations.Rated:
    """Rate the first steps of a trace."""
    rated = None
    for ordinal, value in enumerate(values):
        rated = here.database.run(lambda c, o=ordinal, v=value: annotations.rate(c, here.work(at), o, v))
    assert rated is not None
    return rated


def submit(here: Small, at: int = 0, active_ms: int = 1000) -> annotations.Rated:
    return here.database.run(lambda c: annotations.submit(c, here.work(at), active_ms=active_ms))


def test_a_rating_is_kept_with_its_entry_and_the_place_moves_on(here: Small) -> None:
    rated = here.database.run(lambda c: annotations.rate(c, here.work(), 0, GREAT, shown_ms=812))
    assert rated.annotation.value(0) is GREAT
    assert rated.annotation.current_step == 1
    assert (rated.annotation.state, rated.annotation.revision) == (AnnotationState.OPEN, 1)
    assert rated.changes.touches(Topic.ANNOTATIONS)
    assert rated.changes.traces == {here.traces[0]}
    with here.database.read() as c:
        assert annotations.current(c, here.work()) == rated.annotation
        (entry,) = annotations.timeline(c, rated.annotation.id)
    assert (entry.role, entry.verb, entry.ordinal, entry.shown_ms, entry.device) == ("do", "rate", 0, 812, "key")
    assert entry.old["rating"] is None
    assert entry.new["rating"] == {"value": 1, "unsure": 0, "flagged": None}


def test_the_same_rating_again_changes_nothing(here: Small) -> None:
    rate(here, GREAT)
    again = here.database.run(lambda c: annotations.rate(c, here.work(), 0, GREAT))
    assert again.entry is None
    assert again.annotation.revision == 1


def test_steps_are_rated_in_order(here: Small) -> None:
    rate(here, GREAT)
    with pytest.raises(ConflictError, match="step 3 cannot be rated before step 2"):
        here.database.run(lambda c: annotations.rate(c, here.work(), 2, GREAT))


def test_nothing_is_rated_behind_the_first_negative(here: Small) -> None:
    rate(here, GREAT, BAD)
    with pytest.raises(ConflictError, match="step 3 comes after the first negative step 2"):
        here.database.run(lambda c: annotations.rate(c, here.work(), 2, GREAT))


def test_a_step_that_is_not_there(here: Small) -> None:
    with pytest.raises(NotFoundError, match="no step 5: it has 4 steps"):
        here.database.run(lambda c: annotations.rate(c, here.work(), 4, GREAT))
    with pytest.raises(NotFoundError, match="option 1"):
        here.database.run(lambda c: annotations.rate(c, here.work(), 0, GREAT, option=1))
    with pytest.raises(NotFoundError, match="has no trace 999"):
        here.database.run(lambda c: annotations.rate(c, Work(here.project.id, 999, here.ada.id), 0, GREAT))


def test_submit_at_the_first_negative_or_when_all_are_rated(here: Small) -> None:
    rate(here, GREAT, OKAY)
    with pytest.raises(ConflictError, match="step 3 is not rated"):
        submit(here)
    here.database.run(lambda c: annotations.rate(c, here.work(), 2, BAD))
    done = submit(here).annotation
    assert (done.state, done.finish_reason, done.total_time_ms) == ("submitted", FinishReason.FOUND_ERROR, 1000)
    rate(here, GREAT, OKAY, GREAT, GREAT, at=1)
    assert submit(here, 1).annotation.finish_reason is FinishReason.SOLUTION


def test_an_earlier_step_corrected_to_negative_ends_the_annotation_there(here: Small) -> None:
    rate(here, GREAT, GREAT, GREAT)
    here.database.run(lambda c: annotations.rate(c, here.work(), 1, BAD))
    done = submit(here).annotation
    assert done.finish_reason is FinishReason.FOUND_ERROR
    assert [r.value for r in done.ratings] == [1, -1, 1]  # kept
    assert [r.value for r in done.counted] == [1, -1]  # but not counted
    with pytest.raises(ConflictError, match="comes after the first negative"):
        here.database.run(lambda c: annotations.rate(c, here.work(), 2, OKAY))
    back = here.database.run(lambda c: annotations.rate(c, here.work(), 1, GREAT)).annotation
    assert [r.value for r in back.counted] == [1, 1, 1]


def test_a_correction_after_submitting_keeps_the_finish_reason_true(here: Small) -> None:
    rate(here, GREAT, GREAT, GREAT, GREAT)
    submit(here)
    after = here.database.run(lambda c: annotations.rate(c, here.work(), 3, BAD)).annotation
    assert (after.state, after.finish_reason) == ("submitted", FinishReason.FOUND_ERROR)
    rate(here, GREAT, BAD, at=1)
    submit(here, 1)
    opened = here.database.run(lambda c: annotations.rate(c, here.work(1), 1, GREAT)).annotation
    assert (opened.state, opened.finish_reason) == ("open", None)
    assert opened.total_time_ms == 1000
    with here.database.read() as c:
        assert queue.upcoming(c, here.project.id, here.ada.id, 1) == (here.traces[1],)
    rate(here, GREAT, GREAT, GREAT, GREAT, at=1)
    assert submit(here, 1, active_ms=500).annotation.total_time_ms == 1500


def test_submitting_twice_is_refused(here: Small) -> None:
    rate(here, BAD)
    submit(here)
    with pytest.raises(ConflictError, match="submitted already"):
        submit(here)


@pytest.mark.parametrize("reason", [FinishReason.GIVE_UP, FinishReason.BAD_PROBLEM])
def test_finishing_needs_a_reason(here: Small, reason: FinishReason) -> None:
    rate(here, GREAT)
    with pytest.raises(ConflictError, match="why"):
        here.database.run(lambda c: annotations.finish(c, here.work(), reason, "  ", active_ms=1))
    done = here.database.run(lambda c: annotations.finish(c, here.work(), reason, " too long ", active_ms=7)).annotation
    assert (done.state, done.finish_reason, done.reason) == ("submitted", reason, "too long")
    untouched = here.database.run(lambda c: annotations.finish(c, here.work(1), reason, "x", active_ms=7)).annotation
    assert untouched.ratings == ()
    with pytest.raises(ConflictError, match="follows from the ratings"):
        here.database.run(lambda c: annotations.finish(c, here.work(2), FinishReason.SOLUTION, "x", active_ms=7))


def test_unsure_comment_and_taking_a_rating_away(here: Small) -> None:
    rate(here, GREAT)
    here.database.run(lambda c: annotations.set_unsure(c, here.work(), 0, True))
    noted = here.database.run(lambda c: annotations.set_comment(c, here.work(), " see page 3 ")).annotation
    assert noted.comment == "see page 3"
    assert noted.ratings[0].unsure
    taken = here.database.run(lambda c: annotations.rate(c, here.work(), 0, None)).annotation
    assert (taken.ratings[0].value, taken.ratings[0].unsure) == (None, True)
    gone = here.database.run(lambda c: annotations.set_unsure(c, here.work(), 0, False)).annotation
    assert gone.ratings == ()


def test_a_half_rated_trace_comes_back_where_it_was(here: Small) -> None:
    rate(here, GREAT, GREAT, at=1)
    here.database.run(lambda c: annotations.move_to(c, here.work(1), 0, active_ms=40))
    reopened = Database.open(here.database.path)
    with reopened.read() as c:
        assert queue.upcoming(c, here.project.id, here.ada.id, 2) == (here.traces[1], here.traces[0])
        found = annotations.current(c, here.work(1))
    assert found is not None
    assert (found.current_step, found.total_time_ms) == (0, 40)
    reopened.close()


def test_no_query_of_the_labelling_screen_shows_another_persons_ratings(here: Small) -> None:
    rate(here, GREAT, BAD)
    submit(here)
    with here.database.read() as c:
        assert annotations.current(c, here.work(who=here.bob)) is None
        assert len(annotations.of_trace(c, here.traces[0])) == 1


def imported(here: Small, values: list[int | None], state: str = "published") -> int:
    """An annotation of the first trace that came with an import of Bob's work."""
    with here.database.write() as c:
        batch = batches.begin(c, "import", here.project.id)
        segmentation = c.scalar(select(s.segmentation.c.id).where(s.segmentation.c.trace_id == here.traces[0]))
        row = {"uid": new_uid(), "project_id": here.project.id, "trace_id": here.traces[0], "batch_id": batch}
        row |= {"segmentation_id": segmentation, "annotator_id": here.bob.id, "state": "submitted", "revision": 1}
        key = c.execute(insert(s.annotation).values(**row, finish_reason="found_error")).inserted_primary_key
        assert key is not None
        for ordinal, value in enumerate(values):
            c.execute(insert(s.rating).values(annotation_id=key[0], ordinal=ordinal, option=0, value=value))
        c.execute(update(s.batch).where(s.batch.c.id == batch).values(state=state))
        return int(key[0])


def table(here: Small, annotation_id: int) -> list[object]:
    """The imported annotation as it lies in the tables, without its revision."""
    with here.database.read() as c:
        row = c.execute(select(s.annotation).where(s.annotation.c.id == annotation_id)).one()._asdict()
        row.pop("revision")
        ratings = c.execute(select(s.rating).where(s.rating.c.annotation_id == annotation_id)).all()
    return [row, [tuple(rating) for rating in ratings]]


def test_correcting_an_imported_annotation_changes_that_rating_alone(here: Small) -> None:
    key = imported(here, [1, None, -1])
    before = table(here, key)
    here.database.run(lambda c: annotations.rate_annotation(c, key, here.bob.id, 2, GREAT))
    after = table(here, key)
    assert after[0] == before[0]
    assert [row[3] for row in after[1]] == [1, None, 1]
    here.database.run(lambda c: annotations.undo(c, here.bob.id, here.project.id))
    assert table(here, key) == before
    here.database.run(lambda c: annotations.rate_annotation(c, key, here.bob.id, 0, None))
    assert [row[3] for row in table(here, key)[1]] == [None, None, -1]


def test_only_the_annotator_or_an_admin_corrects_an_annotation(here: Small) -> None:
    key = imported(here, [1, 1, -1])
    with pytest.raises(ConflictError, match="another annotator's"):
        here.database.run(lambda c: annotations.rate_annotation(c, key, here.ada.id, 0, BAD))
    with here.database.write() as c:
        c.execute(update(s.annotator).where(s.annotator.c.id == here.ada.id).values(role="admin"))
    rated = here.database.run(lambda c: annotations.rate_annotation(c, key, here.ada.id, 0, OKAY))
    assert rated.annotation.annotator_id == here.bob.id
    assert rated.entry is not None
    assert rated.entry.annotator_id == here.ada.id


def test_an_unpublished_annotation_is_seen_by_nobody(here: Small) -> None:
    key = imported(here, [1, 1, -1], state="writing")
    with here.database.read() as c:
        assert annotations.current(c, here.work(who=here.bob)) is None
        assert annotations.of_trace(c, here.traces[0]) == ()
    with pytest.raises(NotFoundError):
        here.database.run(lambda c: annotations.rate_annotation(c, key, here.bob.id, 0, BAD))


def test_a_correction_marks_the_runs_that_used_the_annotation_stale(here: Small) -> None:
    rated = rate(here, GREAT, BAD)
    with here.database.write() as c:
        row = {"uid": new_uid(), "name": "prm-1", "recipe": "prm", "state": "finished", "host": "h", "folder": "f"}
        key = c.execute(insert(s.run).values(**row, spec={}, created_at="2026")).inserted_primary_key
        assert key is not None
        source = {"run_id": key[0], "annotation_id": rated.annotation.id, "revision": rated.annotation.revision}
        c.execute(insert(s.run_source).values(**source))
    changes = here.database.run(lambda c: annotations.rate(c, here.work(), 0, OKAY)).changes
    assert changes.touches(Topic.RUNS)
    with here.database.read() as c:
        assert c.scalars(select(s.run.c.stale)).all() == [1]


@pytest.mark.parametrize("statement", ["UPDATE history SET verb = 'x'", "DELETE FROM history"])
def test_the_history_cannot_be_changed(here: Small, statement: str) -> None:
    rate(here, GREAT)
    with pytest.raises(DatabaseError, match="append-only"):
        here.database.run(lambda c: c.exec_driver_sql(statement))
