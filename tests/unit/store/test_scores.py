"""Scores are packed, stored once, and seen when their batch is published."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from studio.store import batches, scores, traces
from studio.store import schema as s
from tests.unit.store.making import small
from trainer.contract.records import ScoreRecord, ScorerRef

SCORER = ScorerRef(name="PRM", version="abc", domain="maths")


def record(id: str, trace: str, values: tuple[float | None, ...], scorer: ScorerRef = SCORER) -> ScoreRecord:
    return ScoreRecord(id=id, row=id, trace=trace, segmentation=1, scorer=scorer, values=values)


def test_packing_is_little_endian_float32() -> None:
    assert scores.pack((0.25, None, 1.0))[:4] == struct.pack("<f", 0.25)
    assert scores.unpack(scores.pack((0.25, None, 1.0))) == (0.25, None, 1.0)
    assert scores.unpack(scores.pack((0.1,)))[0] == pytest.approx(0.1, abs=1e-7)


def test_known_and_lost_records_change_nothing(tmp_path: Path) -> None:
    made = small(tmp_path)
    with made.database.write() as c:
        uids = [traces.load(c, trace).uid for trace in made.traces]
        first = batches.begin(c, "ingest")
        records = [record(f"r{i}", uid, (0.5, None, 0.25, 0.75)) for i, uid in enumerate(uids)]
        assert scores.store_records(c, first, records) == scores.Stored(stored=3, known=0, lost=0)
        assert scores.store_records(c, first, records) == scores.Stored(stored=0, known=3, lost=0)
        same_steps = record("other id", uids[0], (0.9, 0.9, 0.9, 0.9))
        gone = record("gone", "no such trace", (0.1,))
        assert scores.store_records(c, first, [same_steps, gone]) == scores.Stored(stored=0, known=1, lost=1)
        assert scores.of_trace(c, made.traces[0]) == ()
        assert scores.scorers(c) == ()
        batches.publish(c, first, {})
        (found,) = scores.of_trace(c, made.traces[0])
        assert found.values == (0.5, None, 0.25, 0.75)
        assert (found.scorer, found.version, found.domain) == ("PRM", "abc", "maths")
        assert [(each.name, each.traces) for each in scores.scorers(c)] == [("PRM", 3)]
        row = c.execute(s.score.select().where(s.score.c.record == "r0")).one()
        assert (row.low, row.last) == (0.25, 0.75)
        assert row.product == pytest.approx(0.5 * 0.25 * 0.75)


def test_two_scorers_stand_side_by_side_and_a_row_may_have_no_score(tmp_path: Path) -> None:
    made = small(tmp_path, traces_wanted=1)
    other = ScorerRef(name="PRM", version="def")
    with made.database.write() as c:
        uid = traces.load(c, made.traces[0]).uid
        batch = batches.begin(c, "ingest")
        scores.store_records(c, batch, [record("a", uid, (None,) * 4), record("b", uid, (1.0,) * 4, other)])
        batches.publish(c, batch, {})
        assert [each.version for each in scores.of_trace(c, made.traces[0])] == ["abc", "def"]
        assert c.execute(s.score.select().where(s.score.c.record == "a")).one().low is None
