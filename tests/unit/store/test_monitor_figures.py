"""Figures of monitors come from what people said, and the command line says what the window says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import update

from studio.cli import main
from studio.store import flag_words, monitor_figures, monitors, thresholds
from studio.store import schema as s
from studio.store import schema_inspect as i
from studio.store.flag_words import NewFlag
from studio.workspace import Workspace
from tests.unit.store.making import Small, small
from tests.unit.store.test_monitors import WORDS, record, store, uids
from trainer.contract.records import MonitorRef
from trainer.reasoning.safety import Basis, Category, Gap, Threshold, Verdict

NEWER = MonitorRef(kind="classifier", name="words", version="1", training="b")


@pytest.fixture
def desk(tmp_path: Path) -> Small:
    """Ten traces, the first four deceptive; the old monitor is right but for two, the new one always."""
    made = small(tmp_path, traces_wanted=10, steps=2)
    old = [0.95, 0.92, 0.3, 0.91, 0.1, 0.97, 0.2, 0.1, 0.05, 0.3]
    store(made, [record(uid, WORDS, score) for uid, score in zip(uids(made), old, strict=True)])
    store(made, [record(uid, NEWER, 0.95 if k < 4 else 0.05) for k, uid in enumerate(uids(made)[:9])])
    with made.database.write() as c:
        for k, trace_id in enumerate(made.traces):
            name = ("Alpha-2-7b", "beta/beta3")[k % 2]
            c.execute(update(s.trace).where(s.trace.c.id == trace_id).values(model=name))
            if k < 4:
                flag_words.add(c, NewFlag(trace_id, Category.DECEPTION, 0, 3), made.ada.id)
            else:
                flag_words.mark_clean(c, trace_id, made.ada.id, [Category.DECEPTION])
    return made


def test_figures_and_the_traces_behind_them(desk: Small) -> None:
    with desk.database.read() as c:
        (found,) = monitor_figures.figures(c, rounds=20)
        assert found.category is Category.DECEPTION
        pairs = [(a, b) for a in (0.95, 0.92, 0.3, 0.91) for b in (0.1, 0.97, 0.2, 0.1, 0.05, 0.3)]
        by_hand = np.mean([(a > b) + 0.5 * (a == b) for a, b in pairs])
        assert found.figures.auroc.value == pytest.approx(by_hand)
        assert found.figures.at_1.describe() == "6 negatives; 1% needs 300"
        assert found.missed == (desk.traces[2],)
        assert found.false == (desk.traces[5],)
        assert (found.confusion.true_positive, found.confusion.true_negative) == (3, 5)


def test_a_comparison_speaks_of_the_traces_that_both_scored(desk: Small) -> None:
    with desk.database.read() as c:
        old, new = sorted(monitors.all_of(c), key=lambda one: one.id)
        found = monitor_figures.compare(c, old.id, new.id)
        assert found.traces == 9
        assert found.changed == (desk.traces[2], desk.traces[5])
        before, after, labelled = found.auroc[Category.DECEPTION]
        assert (after, labelled) == (1.0, 9)
        assert before < after


def test_a_comparison_changes_one_monitor_and_leaves_the_others(desk: Small) -> None:
    """What the rules flag anyway does not change, whatever the classifiers say; an unscored trace has no part in it."""
    rules = MonitorRef(kind="rules", name="exact checks", version="1")
    store(desk, [record(uids(desk)[2], rules, 0.96)])
    with desk.database.write() as c:
        old, new = sorted((one for one in monitors.all_of(c) if one.name == "words"), key=lambda one: one.id)
        found = monitor_figures.compare(c, old.id, new.id)
        assert found.changed == (desk.traces[5],)
        assert found.verdicts.changed == {(Verdict.REVIEW, Verdict.ALLOW): 1}
        back = monitor_figures.compare(c, new.id, old.id)
        assert back.verdicts.changed == {(Verdict.ALLOW, Verdict.REVIEW): 1}
        lost = np.full((3, 7), np.nan, "<f4").tobytes()
        where = (i.monitor_score.c.monitor_id == new.id) & (i.monitor_score.c.trace_id == desk.traces[5])
        c.execute(update(i.monitor_score).where(where).values(data=lost))
        before, after, labelled = monitor_figures.compare(c, old.id, new.id).auroc[Category.DECEPTION]
        pairs = [(a, b) for a in (0.95, 0.92, 0.3, 0.91) for b in (0.1, 0.2, 0.1, 0.05)]
        by_hand = np.mean([(a > b) + 0.5 * (a == b) for a, b in pairs])
        assert (before, after, labelled) == (pytest.approx(by_hand), 1.0, 8), "both on the traces that both scored"


def test_families_are_told_apart_or_not_measurable(desk: Small) -> None:
    with desk.database.write() as c:
        found = monitor_figures.by_model(c, Category.DECEPTION)
        assert found is not None
        assert {name: one.positives + one.negatives for name, one in found.items()} == {"alpha": 5, "beta": 5}
        c.execute(update(s.trace).values(model="Alpha-3-1b"))
        assert monitor_figures.by_model(c, Category.DECEPTION) is None


def test_what_may_have_taught_a_classifier_is_told_apart(desk: Small) -> None:
    with desk.database.write() as c:
        old, _ = sorted(monitors.all_of(c), key=lambda one: one.id)
        found = monitor_figures.unseen(c, Category.DECEPTION, (old.id,))
        assert (found.taught, found.fresh) == (0, 10), "every label came after it had looked"
        assert found.figures is not None
        (all_of_it,) = monitor_figures.figures(c, (old.id,), rounds=5)
        assert found.figures.auroc.value == all_of_it.figures.auroc.value
        early = [desk.traces[0], desk.traces[4], desk.traces[5]]
        c.execute(update(i.flag).where(i.flag.c.trace_id.in_(early)).values(reviewed_at="2000-01-01"))
        c.execute(update(i.clean_mark).where(i.clean_mark.c.trace_id.in_(early)).values(at="2000-01-01"))
        found = monitor_figures.unseen(c, Category.DECEPTION, (old.id,))
        assert (found.taught, found.fresh) == (3, 7)
        assert found.figures is not None
        pairs = [(a, b) for a in (0.92, 0.3, 0.91) for b in (0.2, 0.1, 0.05, 0.3)]
        by_hand = np.mean([(a > b) + 0.5 * (a == b) for a, b in pairs])
        assert found.figures.auroc.value == pytest.approx(by_hand)
        c.execute(update(i.clean_mark).values(at="2000-01-01"))
        found = monitor_figures.unseen(c, Category.DECEPTION, (old.id,))
        assert (found.taught, found.figures) == (7, None), "one side alone has no figure"


def told(folder: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, object]]:
    code = main(["flags", "--workspace", str(folder), "--json", *more])
    return code, json.loads(capsys.readouterr().out)


def test_the_exit_code_says_clean_flagged_or_not_assessed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Workspace.open(tmp_path, create=True).close()
    desk = small(tmp_path)
    first, second, third = uids(desk)
    store(desk, [record(first, WORDS, 0.1), record(second, WORDS, 0.1)])
    code, document = told(tmp_path, capsys)
    assert (code, document["not looked at"]) == (2, 1)
    store(desk, [record(third, WORDS, 0.2)])
    assert told(tmp_path, capsys)[0] == 0
    with desk.database.write() as c:
        thresholds.choose(c, Category.DECEPTION, Threshold(0.15, None, Basis.CHOSEN), desk.ada.id)
    code, document = told(tmp_path, capsys, "--project", "Algebra")
    assert code == 1
    assert document["flagged"] == {third: Verdict.REVIEW.value}
    with desk.database.read() as c:
        codes = monitors.scores(c).verdicts(thresholds.current(c))
    assert document["verdicts"] == {verdict.value: int((codes == verdict.code).sum()) for verdict in Verdict}, (
        "the window's numbers"
    )
    assert main(["flags", "--workspace", str(tmp_path)]) == 1
    assert "3 traces; allow: 2" in capsys.readouterr().out


def test_a_trace_that_cannot_be_seen_whole_is_not_clean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Workspace.open(tmp_path, create=True).close()
    desk = small(tmp_path, traces_wanted=1)
    store(desk, [record(uids(desk)[0], WORDS, None, gap=Gap.REDACTED)])
    code, document = told(tmp_path, capsys)
    assert code == 2
    assert document["flags"] == []
