"""What several people's ratings come to, and where they disagree."""

from __future__ import annotations

import random
from pathlib import Path

from studio.domain import Annotation, StepRating
from studio.errors import ConflictError
from studio.store import annotations, batches, projects, quality, rows, scores, traces
from studio.store import schema as s
from studio.store.quality import Against
from studio.store.rows import Resolution, Selection
from tests.unit.store.making import Small, small
from trainer.contract.records import Rating, ScoreRecord, ScorerRef, Votes

BAD, OKAY, GREAT = Rating.NEGATIVE, Rating.NEUTRAL, Rating.POSITIVE


def said(*values: Rating | None, kind: str = "rating", imported: bool = True) -> Annotation:
    """Somebody's annotation."""
    ratings = tuple(StepRating(at, 0, value) for at, value in enumerate(values))
    return Annotation(1, "u", 1, 1, 1, 1, kind, "submitted", 1, ratings, imported=imported)


def test_a_majority_of_over_half_decides() -> None:
    people = [said(GREAT, GREAT, GREAT, None), said(GREAT, OKAY, OKAY, None), said(GREAT, OKAY, BAD, None)]
    assert quality.resolve(people, 4) == (Votes(0, 0, 1), Votes(0, 1, 0), None, None)
    soft = quality.resolve(people, 4, Resolution.SOFT)
    assert soft == (Votes(0, 0, 1), Votes(0, 1, 0), Votes(1 / 3, 1 / 3, 1 / 3), None)
    assert quality.resolve([said(GREAT), said(BAD)], 1) == (None,)
    assert quality.resolve([said(GREAT), said(BAD)], 1, Resolution.SOFT) == (Votes(0.5, 0, 0.5),)


def test_a_judgement_comes_before_any_number_of_people() -> None:
    people = [said(GREAT, GREAT), said(GREAT, GREAT), said(BAD, None, kind="adjudication")]
    assert quality.resolve(people, 2) == (Votes(1, 0, 0), Votes(0, 0, 1))


def test_ratings_behind_the_first_negative_count_only_in_imports() -> None:
    assert quality.resolve([said(BAD, GREAT, imported=False)], 2) == (Votes(1, 0, 0), None)
    assert quality.resolve([said(BAD, GREAT)], 2) == (Votes(1, 0, 0), Votes(0, 0, 1))


def random_work(here: Small, people: list[int], dice: random.Random) -> None:
    """Everybody rates every trace, with corrections that leave ratings behind the first negative."""
    for trace in here.traces:
        for person in people:
            work = annotations.Work(here.project.id, trace, person)
            with here.database.write() as c:
                for ordinal in (0, 1, 2, 3, dice.randrange(4)):
                    try:
                        annotations.rate(c, work, ordinal, dice.choice([BAD, OKAY, GREAT, GREAT, GREAT]))
                    except ConflictError:
                        break
                annotations.rate(c, work, 0, dice.choice([BAD, GREAT, GREAT]))
                try:
                    annotations.submit(c, work, active_ms=1)
                except ConflictError:
                    continue


def test_the_sql_of_row_selections_says_the_same(tmp_path: Path) -> None:
    here, dice = small(tmp_path, traces_wanted=40, overlap=3), random.Random(3)
    with here.database.write() as c:
        cyd = projects.ensure_annotator(c, "Cyd")
    random_work(here, [here.ada.id, here.bob.id, cyd.id], dice)
    with here.database.write() as c:
        judged = s.annotation.c.annotator_id == cyd.id
        c.execute(s.annotation.update().where(judged, s.annotation.c.trace_id % 3 == 0).values(kind="gold"))
    kept_behind = 0
    with here.database.read() as c:
        for resolution in Resolution:
            selected = rows.select_rows(c, Selection(resolution=resolution))
            by_trace = {row.trace: row.votes for row in selected.rows}
            assert len(by_trace) > 30
            for key in here.traces:
                found = [a for a in annotations.of_trace(c, key) if a.state == "submitted"]
                kept_behind += sum(len(a.ratings) - len(a.counted) for a in found)
                expected = quality.resolve(found, 4, resolution)
                uid = traces.load(c, key).uid
                if any(expected):
                    assert [
                        v and tuple(map(float, (v.negative, v.neutral, v.positive))) for v in by_trace[uid] or ()
                    ] == [v and (v.negative, v.neutral, v.positive) for v in expected]
    assert kept_behind > 10
    here.database.close()


def store_scores(here: Small, at: int, values: tuple[float, ...], state: bool = True) -> int:
    """Scores of one trace; returns the scorer's id."""
    with here.database.write() as c:
        batch = batches.begin(c, "ingest")
        trace = traces.load(c, here.traces[at])
        ref = ScorerRef(name="prm", version="1")
        record = ScoreRecord(
            id=f"r{at}", row="0", trace=trace.uid, segmentation=trace.segmentation.version, scorer=ref, values=values
        )
        assert scores.store_records(c, batch, [record]).stored == 1
        if state:
            batches.publish(c, batch, {})
        return int(c.execute(s.scorer.select()).one().id)


def test_disagreements_among_people_and_with_a_scorer(tmp_path: Path) -> None:
    here = small(tmp_path, overlap=2)
    given = {
        (0, here.ada.id): [GREAT, GREAT, GREAT, BAD],
        (0, here.bob.id): [GREAT, OKAY, BAD],
        (1, here.ada.id): [GREAT, OKAY, GREAT, GREAT],
    }
    for (at, person), values in given.items():
        work = annotations.Work(here.project.id, here.traces[at], person)
        with here.database.write() as c:
            for ordinal, value in enumerate(values):
                annotations.rate(c, work, ordinal, value)
            annotations.submit(c, work, active_ms=1)
    here.database.run(lambda c: annotations.rate(c, here.work(2), 0, BAD))  # not submitted
    store_scores(here, 0, (0.9, 0.9, 0.9, 0.95))
    scorer = store_scores(here, 1, (0.9, 0.25, 0.6, 0.4))
    store_scores(here, 2, (0.9, 0.9, 0.9, 0.9), state=False)
    with here.database.read() as c:
        told: list[tuple[int, int]] = []
        found = quality.disagreements(c, here.project.id, scorer, progress=lambda *now: told.append(now))
        people = quality.disagreements(c, here.project.id)
        assert quality.disagreements(c, here.project.id, scorer, limit=2) == found[:2]
    places = [(d.trace_id, d.ordinal, d.against, round(d.size, 4)) for d in found]
    one, two, _ = here.traces
    assert places == [
        (one, 2, Against.PEOPLE, 1.0),
        (one, 3, Against.SCORER, 0.95),
        (two, 1, Against.SCORER, 0.75),
        (two, 3, Against.SCORER, 0.6),
        (one, 1, Against.PEOPLE, 0.5),
    ]
    assert [d.ordinal for d in people] == [2, 1]
    assert (found[0].negative, found[0].neutral, found[0].positive, found[0].score) == (1, 0, 1, None)
    assert told == [(2, 2)]
    here.database.close()
