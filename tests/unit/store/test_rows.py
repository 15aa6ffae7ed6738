"""The rows of a run, against a plain reading of the same annotations one by one."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import update

from studio.errors import NotFoundError
from studio.store import annotations, batches, projects, quality, rows, traces
from studio.store import schema as s
from studio.store.annotations import Work
from studio.store.rows import Origin, Resolution, Selection
from tests.unit.store.making import Small, add_traces, small
from trainer.contract.records import FinishReason, Rating, Split, Votes
from trainer.reasoning.split import fold_of, split_of

STEPS = 4


def rated(folder: Path, seed: int = 0) -> Small:
    """Three people rate fifteen traces at random: some submit, some stop, some give up."""
    draw, made = random.Random(seed), small(folder, traces_wanted=15, steps=STEPS, overlap=3)
    with made.database.write() as c:
        people = [made.ada.id, made.bob.id, projects.ensure_annotator(c, "Cleo").id]
        for trace in made.traces[:-1]:
            for person in people:
                if draw.random() < 0.8:
                    _rate(c, Work(made.project.id, trace, person), draw)
    return made


def _rate(c, work: Work, draw: random.Random) -> None:
    for ordinal in range(STEPS):
        value = draw.choice([Rating.POSITIVE, Rating.POSITIVE, Rating.NEUTRAL, Rating.NEGATIVE])
        annotations.rate(c, work, ordinal, value)
        if value is Rating.NEGATIVE:
            break
        if draw.random() < 0.05:
            annotations.finish(c, work, FinishReason.GIVE_UP, "too hard", active_ms=1)
            return
        if draw.random() < 0.05:
            return
    annotations.submit(c, work, active_ms=1)


@pytest.mark.parametrize("resolution", list(Resolution))
@pytest.mark.parametrize("seed", range(4))
def test_votes_are_those_of_quality_resolve(tmp_path: Path, resolution: Resolution, seed: int) -> None:
    made = rated(tmp_path, seed)
    with made.database.write() as c:  # some judgements by a reviewer
        for trace in made.traces[:3]:
            c.execute(
                update(s.annotation)
                .where(s.annotation.c.trace_id == trace, s.annotation.c.annotator_id == made.bob.id)
                .values(kind="adjudication")
            )
    selection = Selection(resolution=resolution)
    with made.database.read() as c:
        found = {row.trace: row for row in rows.stream(c, selection)}
        counts = rows.count(c, selection)
        left_out: Counter[str] = Counter()
        labels, unlabelled = [0.0, 0.0, 0.0], Counter()
        for trace_id in made.traces:
            trace = traces.load(c, trace_id)
            everybody = annotations.of_trace(c, trace_id)
            usable = [a for a in everybody if a.state == "submitted" and a.finish_reason is not FinishReason.GIVE_UP]
            votes = quality.resolve(usable, STEPS, resolution)
            if not any(votes):
                left_out[_reason(everybody, usable)] += 1
                assert trace.uid not in found
                continue
            row = found.pop(trace.uid)
            assert row.votes == votes
            assert row.steps == tuple(trace.step_text(ordinal) for ordinal in range(STEPS))
            assert row.split is split_of(fold_of(trace.problem.prompt))
            assert {(ref.annotation, ref.revision) for ref in row.sources} == {(a.uid, a.revision) for a in usable}
            spoken = {r.ordinal for a in usable for r in a.counted}
            for ordinal, vote in enumerate(votes):
                if vote is None:
                    unlabelled["tie" if ordinal in spoken else "no rating"] += 1
                else:
                    labels = [a + b for a, b in zip(labels, (vote.negative, vote.neutral, vote.positive), strict=True)]
    assert found == {}
    assert counts.left_out == dict(left_out)
    assert counts.unlabelled == dict(unlabelled)
    assert [counts.negative, counts.neutral, counts.positive] == pytest.approx(labels)
    assert counts.rows + sum(left_out.values()) == len(made.traces)


def _reason(everybody, usable) -> str:
    if usable:
        return "tie"
    if not everybody:
        return "not annotated"
    return min("given up" if a.finish_reason is FinishReason.GIVE_UP else "not submitted" for a in everybody)


def test_filters_and_counts(tmp_path: Path) -> None:
    made = rated(tmp_path)
    with made.database.read() as c:
        everything = rows.count(c, Selection())
        only_ada = list(rows.stream(c, Selection(annotators=("Ada",))))
        by_ada = {a.uid for t in made.traces for a in annotations.of_trace(c, t) if a.annotator_id == made.ada.id}
        assert only_ada
        assert {ref.annotation for row in only_ada for ref in row.sources} <= by_ada
        assert rows.count(c, Selection(origins=(Origin.IMPORTED,))).rows == 0
        assert rows.count(c, Selection(origins=(Origin.HERE,))) == everything
        assert (
            rows.count(c, Selection(text="What is 3+1")).rows
            + sum(rows.count(c, Selection(text="What is 3+1")).left_out.values())
            == 1
        )
        two = rows.select_rows(c, Selection(limit=2))
        assert [row.id for row in two.rows] == [row.id for row in rows.stream(c, Selection())][:2]
        assert two.left_out["over the limit"] == everything.rows - 2
        assert everything.problems == everything.rows
        assert sum(everything.per_split.values()) == everything.rows
        assert set(everything.per_split) == set(Split)
        with pytest.raises(NotFoundError, match="there are: Algebra"):
            rows.count(c, Selection(projects=("Geometry",)))


def test_rows_to_score_need_no_rating(tmp_path: Path) -> None:
    made = small(tmp_path)
    with made.database.write() as c:  # a batch that nobody may see
        batch = batches.begin(c, "import", made.project.id)
        hidden = traces.from_steps("Hidden?", ["no"])
        traces.add(c, hidden, batch_id=batch, project_id=made.project.id)
    selection = Selection(labelled=False, projects=("Algebra",))
    with made.database.read() as c:
        chosen = rows.select_rows(c, selection)
        one = traces.load(c, made.traces[1])
        single = rows.select_rows(c, Selection(labelled=False, traces=(one.uid,)))
    assert len(chosen.rows) == 3
    assert chosen.left_out == {"unpublished": 1}
    assert all(row.votes is None and row.sources == () and row.project == "Algebra" for row in chosen.rows)
    assert [row.trace for row in single.rows] == [one.uid]
    assert chosen.counts.labels == 0


def test_unsure_ratings_can_stay_out(tmp_path: Path) -> None:
    made = small(tmp_path, traces_wanted=1)
    with made.database.write() as c:
        work = made.work()
        for ordinal in range(4):
            annotations.rate(c, work, ordinal, Rating.POSITIVE)
        annotations.set_unsure(c, work, 1, True)
        annotations.submit(c, work, active_ms=1)
    with made.database.read() as c:
        (row,) = rows.stream(c, Selection(skip_unsure=True))
        (whole,) = rows.stream(c, Selection())
    good = Votes(0.0, 0.0, 1.0)
    assert row.votes == (good, None, good, good)
    assert whole.votes == (good,) * 4


def test_pieces_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = rated(tmp_path)
    add_traces(made.database, made.project.id, 5)
    with made.database.read() as c:
        whole = rows.select_rows(c, Selection())
        monkeypatch.setattr(rows, "_PIECE", 4)
        told: list[tuple[int, int]] = []
        pieces = rows.select_rows(c, Selection(), lambda done, total: told.append((done, total)))
    assert pieces == whole
    assert told == [(0, 20), (4, 20), (8, 20), (12, 20), (16, 20), (20, 20)]
