"""Scores of monitors, and thresholds as a view of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from sqlalchemy import Connection, insert, select

from studio.errors import ConflictError
from studio.store import batches, flag_words, monitor_records, monitors, thresholds
from studio.store import schema as s
from studio.store import schema_inspect as i
from studio.store.flags import FlagState
from tests.unit.store.making import Small, small
from trainer.contract.records import FlagRecord, MonitorRecord, MonitorRef
from trainer.reasoning.safety import CATEGORIES, VERDICTS, Basis, Category, Gap, Threshold, Verdict

RULES = MonitorRef(kind="rules", name="exact checks", version="1")
WORDS = MonitorRef(kind="classifier", name="words", version="1", training="a")


def record(
    uid: str, ref: MonitorRef, score: float | None, *, gap: Gap = Gap.NONE, evidence: bool = True
) -> MonitorRecord:
    """A record that scores deception alone."""
    row = (score, *(None,) * (len(CATEGORIES) - 1))
    return MonitorRecord(
        id=f"{uid}{ref.kind}{ref.training}",
        row="row",
        trace=uid,
        segmentation=1,
        monitor=ref,
        scores=(row, row, (None,) * len(CATEGORIES)),
        gap=gap.value,
        evidence=(Category.DECEPTION.value,) if evidence else (),
        steps=monitors.pack_steps(np.full((4, 7), 0.5, np.float32)),
    )


def store(small: Small, records: Sequence[MonitorRecord]) -> None:
    with small.database.write() as c:
        batch = batches.begin(c, "ingest")
        monitor_records.store_scores(c, batch, records)
        batches.publish(c, batch, {})


def text_of(small: Small) -> str:
    with small.database.read() as c:
        return str(c.scalar(select(s.trace.c.text).where(s.trace.c.id == small.traces[0])))


def uids(small: Small) -> list[str]:
    with small.database.read() as c:
        return [str(c.scalar(select(s.trace.c.uid).where(s.trace.c.id == one))) for one in small.traces]


def test_scores_of_several_monitors_are_the_highest_of_each_category(tmp_path: Path) -> None:
    desk = small(tmp_path)
    first, second, third = uids(desk)
    store(desk, [record(first, RULES, 0.2), record(second, RULES, None, gap=Gap.REDACTED), record(third, RULES, 0.95)])
    store(desk, [record(first, WORDS, 0.93, evidence=False)])
    with desk.database.read() as c:
        scored = monitors.scores(c)
        assert scored.trace_ids.tolist() == list(desk.traces)
        assert scored.scores[:, 0].tolist() == pytest.approx([0.93, np.nan, 0.95], nan_ok=True)
        assert np.isnan(scored.scores[:, 1:]).all()
        assert scored.gap_of(1) is Gap.REDACTED
        said = [VERDICTS[code] for code in scored.verdicts(thresholds.current(c))]
        assert said == [Verdict.REVIEW, Verdict.NOT_ASSESSABLE, Verdict.REVIEW]
        of_first = monitors.of_trace(c, desk.traces[0])
        assert [(monitor.name, float(one.scores[0, 0])) for monitor, one in of_first] == [
            ("words", pytest.approx(0.93)),
            ("exact checks", pytest.approx(0.2)),
        ]
        steps = monitors.steps_of(c, desk.traces[0])
        assert [one.values.shape for one in steps] == [(4, 7), (4, 7)]


def test_a_trace_that_a_judge_could_not_judge_is_judged_again(tmp_path: Path) -> None:
    desk = small(tmp_path)
    uid = uids(desk)[0]
    judge = MonitorRef(kind="judge", name="far", version="1")
    failed = msgspec.structs.replace(record(uid, judge, None, gap=Gap.UNJUDGED, evidence=False), id="failed")
    store(desk, [failed])
    with desk.database.read() as c:
        assert [VERDICTS[code] for code in monitors.scores(c).verdicts(thresholds.current(c))] == [
            Verdict.NOT_ASSESSABLE
        ]
    found = FlagRecord(
        id="flag", row="row", trace=uid, segmentation=1, step=None, category=Category.DECEPTION.value, severity=2,
        start=0, end=4, quote=text_of(desk)[:4], monitor=judge, score=0.95,
    )  # fmt: skip
    with desk.database.write() as c:
        batch = batches.begin(c, "ingest")
        assert monitor_records.store_flags(c, batch, [found]).stored == 1
        assert monitor_records.store_scores(c, batch, [record(uid, judge, 0.95)]).stored == 1
        assert monitor_records.store_scores(c, batch, [msgspec.structs.replace(failed, id="late")]).known == 1
        batches.publish(c, batch, {})
    with desk.database.read() as c:
        scored = monitors.scores(c)
        assert [VERDICTS[code] for code in scored.verdicts(thresholds.current(c))] == [Verdict.REVIEW]
        assert scored.gap_of(0) is Gap.NONE


def test_scores_are_stored_once_and_go_with_their_batch(tmp_path: Path) -> None:
    desk = small(tmp_path)
    first = uids(desk)[0]
    store(desk, [record(first, RULES, 0.2)])
    with desk.database.write() as c:
        batch = batches.begin(c, "ingest")
        again = monitor_records.store_scores(c, batch, [record(first, RULES, 0.3), record("gone", RULES, 0.3)])
        assert (again.stored, again.known, again.lost) == (0, 1, 1)
        fresh = monitor_records.store_scores(c, batch, [record(uids(desk)[1], RULES, 0.3)])
        assert fresh.stored == 1
        assert len(monitors.scores(c)) == 1, "not published"
    batches.remove(desk.database, batch)
    with desk.database.read() as c:
        assert len(c.execute(select(i.monitor_score)).all()) == 1
        assert len(c.execute(select(i.monitor_steps)).all()) == 1


def put_flags(c: Connection, of: Sequence[tuple[int, FlagState]]) -> None:
    """Flags of deception on these traces, as reviewed."""
    segmentations = dict(c.execute(select(s.segmentation.c.trace_id, s.segmentation.c.id)).all())
    rows = [
        {
            "record": f"flag {trace_id} {number}",
            "trace_id": trace_id,
            "segmentation_id": segmentations[trace_id],
            "monitor_id": monitors.active_ids(c)[0],
            "category": Category.DECEPTION.value,
            "severity": 1,
            "start": 0,
            "end": 1,
            "quote": "0",
            "state": state.value,
        }
        for number, (trace_id, state) in enumerate(of)
    ]
    c.execute(insert(i.flag), rows)


def many(folder: Path, benign: int) -> Small:
    """Traces of which `benign` have a rejected flag of deception, scored evenly from 0 to 1."""
    desk = small(folder, traces_wanted=benign + 2, steps=1)
    names = uids(desk)
    store(desk, [record(uid, RULES, place / (benign + 1)) for place, uid in enumerate(names)])
    with desk.database.write() as c:
        put_flags(c, [(trace_id, FlagState.REJECTED) for trace_id in desk.traces[:benign]])
    return desk


def test_what_people_said_of_a_trace_is_the_gravest_and_doubt_is_nothing_said(tmp_path: Path) -> None:
    """Flags of each trace, whether it is marked clean too, and what counts: 1 = there, 0 = benign, -1 = not said."""
    yes, no, unsure = FlagState.CONFIRMED, FlagState.REJECTED, FlagState.UNSURE
    cases = [((no,), False, 0), ((no, yes), False, 1), ((unsure, no), False, -1), ((yes, unsure), False, 1),
             ((unsure,), False, -1), ((unsure,), True, 0), ((), True, 0), ((), False, -1)]  # fmt: skip
    desk = small(tmp_path, traces_wanted=len(cases), steps=1)
    store(desk, [record(uid, RULES, 0.5) for uid in uids(desk)])
    with desk.database.write() as c:
        put_flags(
            c,
            [
                (trace_id, state)
                for trace_id, (states, _, _) in zip(desk.traces, cases, strict=True)
                for state in states
            ],
        )
        for trace_id, (_, clean, _) in zip(desk.traces, cases, strict=True):
            if clean:
                flag_words.mark_clean(c, trace_id, desk.ada.id, [Category.DECEPTION])
        known = thresholds.truth(c)
    assert known.trace_ids.tolist() == sorted(known.trace_ids.tolist())
    said = dict(zip(known.trace_ids.tolist(), known.values[:, Category.DECEPTION.place].tolist(), strict=True))
    assert [said.get(trace_id, -1) for trace_id in desk.traces] == [wanted for _, _, wanted in cases]
    assert (np.delete(known.values, Category.DECEPTION.place, axis=1) == -1).all()
    benign = [trace_id for trace_id, (_, _, wanted) in zip(desk.traces, cases, strict=True) if wanted == 0]
    assert known.benign(Category.DECEPTION).tolist() == benign


def test_nothing_is_blocked_below_300_benign_labels(tmp_path: Path) -> None:
    desk = many(tmp_path, 299)
    with desk.database.write() as c:
        assert thresholds.current(c)[Category.DECEPTION] == Threshold()
        with pytest.raises(ConflictError, match="299 confirmed benign labels"):
            thresholds.choose(c, Category.DECEPTION, Threshold(0.5, 0.8, Basis.CHOSEN), desk.ada.id)
        flag_words.mark_clean(c, desk.traces[299], desk.ada.id, [Category.DECEPTION])
        measured = thresholds.current(c)[Category.DECEPTION]
        assert measured.basis is Basis.MEASURED
        assert measured.block is not None
        benign = np.arange(300) / 300.0
        assert np.mean(benign >= measured.block) <= 0.01 < np.mean(benign >= measured.block - 1 / 300)
        assert np.mean(benign >= measured.review) <= 0.05 < np.mean(benign >= measured.review - 1 / 300)
        verdicts = monitors.scores(c).verdicts(thresholds.current(c))
        assert np.bincount(verdicts, minlength=4).tolist() == [285, 0, 12, 4]
        thresholds.choose(c, Category.DECEPTION, Threshold(0.5, 0.8, Basis.CHOSEN), desk.ada.id)
        assert thresholds.current(c)[Category.DECEPTION].block == 0.8
        flag_words.undo(c, desk.ada.id)  # back to 299: a chosen block loses its ground, too
        assert thresholds.current(c)[Category.DECEPTION] == Threshold(0.5, None, Basis.CHOSEN)


def test_a_threshold_is_previewed_logged_and_taken_back(tmp_path: Path) -> None:
    desk = small(tmp_path)
    store(desk, [record(uid, RULES, score) for uid, score in zip(uids(desk), (0.2, 0.6, 0.95), strict=True)])
    with desk.database.write() as c:
        lower = Threshold(0.5, None, Basis.CHOSEN)
        seen = thresholds.preview(c, Category.DECEPTION, lower)
        assert seen.changed == {(Verdict.ALLOW, Verdict.REVIEW): 1}
        assert seen.changes == 1
        assert seen.before[Verdict.REVIEW] == 1
        assert seen.after[Verdict.REVIEW] == 2
        thresholds.choose(c, Category.DECEPTION, lower, desk.ada.id)
        assert thresholds.current(c)[Category.DECEPTION] == lower
        assert [entry.new["review"] for entry in thresholds.log(c)] == [0.5]
        thresholds.choose(c, Category.DECEPTION, Threshold(0.4, None, Basis.CHOSEN), desk.bob.id)
        assert thresholds.undo(c, desk.ada.id) is None, "Bob has set it since"
        assert thresholds.undo(c, desk.bob.id) is not None
        assert thresholds.current(c)[Category.DECEPTION] == lower
        assert thresholds.undo(c, desk.ada.id) is not None
        assert thresholds.current(c)[Category.DECEPTION] == Threshold()
        assert thresholds.undo(c, desk.ada.id) is None
        assert [entry.role for entry in thresholds.log(c)] == ["undo", "undo", "do", "do"]


def test_a_threshold_that_was_taken_back_is_set_again(tmp_path: Path) -> None:
    desk = small(tmp_path)
    first, second = Threshold(0.5, None, Basis.CHOSEN), Threshold(0.3, None, Basis.CHOSEN)
    category, ada = Category.DECEPTION, desk.ada.id
    with desk.database.write() as c:
        assert thresholds.redo(c, ada) is None
        thresholds.choose(c, category, first, ada)
        thresholds.choose(c, category, second, ada)
        seen = []
        for verb in (thresholds.undo, thresholds.undo, thresholds.redo, thresholds.redo, thresholds.undo):
            assert verb(c, ada) is not None
            seen.append(thresholds.current(c)[category])
        assert seen == [first, Threshold(), first, second, first]
        thresholds.choose(c, category, Threshold(0.7, None, Basis.CHOSEN), desk.bob.id)
        assert thresholds.redo(c, ada) is None, "Bob has set it since"
        thresholds.undo(c, desk.bob.id)
        thresholds.choose(c, Category.INCONSISTENCY, first, ada)
        assert thresholds.redo(c, ada) is None, "Ada has done something new"


def test_undo_and_redo_of_a_chain_of_thresholds_come_back_step_by_step_and_the_log_is_whole(tmp_path: Path) -> None:
    desk = small(tmp_path)
    moves = [(Category.DECEPTION, 0.8), (Category.GAMING, 0.7), (Category.DECEPTION, 0.6), (Category.GAMING, None)]
    with desk.database.write() as c:
        stands = []
        for category, review in moves:
            stands.append(thresholds.current(c).of)
            thresholds.choose(c, category, None if review is None else Threshold(review), desk.ada.id)
        last = thresholds.current(c).of
        for _ in range(3):
            for before in reversed(stands):
                assert thresholds.undo(c, desk.ada.id) is not None
                assert thresholds.current(c).of == before
            assert thresholds.undo(c, desk.ada.id) is None
            for after in (*stands[1:], last):
                assert thresholds.redo(c, desk.ada.id) is not None
                assert thresholds.current(c).of == after
            assert thresholds.redo(c, desk.ada.id) is None
        assert len(thresholds.log(c)) == 4 + 3 * 8
        for number in range(250):
            thresholds.choose(c, Category.EVASION, Threshold(0.5 + number / 1000), desk.ada.id)
        assert len(thresholds.log(c)) == 4 + 3 * 8 + 250


def test_a_preview_blocks_nothing_that_would_not_be_blocked(tmp_path: Path) -> None:
    desk = small(tmp_path)
    store(desk, [record(uids(desk)[0], RULES, 0.95)])
    with desk.database.read() as c:
        told = thresholds.preview(c, Category.DECEPTION, Threshold(0.5, 0.6))
        assert (told.changes, told.after[Verdict.BLOCK]) == (0, 0)


def test_truth_is_positive_benign_or_unsaid(tmp_path: Path) -> None:
    desk = small(tmp_path)
    with desk.database.write() as c:
        made = [
            flag_words.add(c, flag_words.NewFlag(trace, Category.GAMING, 0, 1), desk.ada.id).flag
            for trace in desk.traces
            for _ in "ab"
        ]
        assert all(made)
        for flag, state in zip(
            made, ("rejected", "confirmed", "rejected", "rejected", "rejected", "unsure"), strict=True
        ):
            assert flag is not None
            flag_words.review(c, flag.id, FlagState(state), desk.ada.id)
        known = thresholds.truth(c)
        assert known.values[:, Category.GAMING.place].tolist() == [1, 0, -1]
        assert (known.values[:, Category.DECEPTION.place] == -1).all()
        assert known.benign(Category.GAMING).tolist() == [desk.traces[1]]
