"""Findings are stored once, reviewed with a reason, and every word of it can be taken back."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select, text

from studio.domain import Topic
from studio.errors import ConflictError, RunError
from studio.store import (
    batches,
    find_spans,
    flag_words,
    flags,
    history,
    monitor_records,
    monitors,
    plots,
    trace_list,
    traces,
)
from studio.store import schema as s
from studio.store import schema_inspect as i
from studio.store.flag_words import NewFlag
from studio.store.flags import FlagState
from studio.store.monitors import Kind, MonitorState
from studio.store.trace_filter import Condition, Field, Filter, Op
from studio.store.trace_list import TraceQuery
from tests.unit.store.making import Small, small
from trainer.contract.records import Block, BlockKind, FlagRecord, Message, MonitorRef, Said
from trainer.reasoning.safety import CATEGORIES, Category, Part

RULES = MonitorRef(kind="rules", name="exact checks", version="1")


def uid_of(c: Connection, trace_id: int) -> str:
    return str(c.scalar(select(s.trace.c.uid).where(s.trace.c.id == trace_id)))


def finding(c: Connection, trace_id: int, number: int = 0, **more: object) -> FlagRecord:
    """A finding of the rules: the first word of the trace."""
    values: dict[str, object] = {
        "id": f"{trace_id:016x}{number:016x}",
        "row": "row",
        "trace": uid_of(c, trace_id),
        "segmentation": 1,
        "step": 1,
        "category": Category.INCONSISTENCY.value,
        "severity": 2,
        "start": 0,
        "end": 1,
        "quote": str(c.scalar(select(s.trace.c.text).where(s.trace.c.id == trace_id)))[:1],
        "monitor": RULES,
    }
    return FlagRecord(**(values | more))  # type: ignore[arg-type]


def stored(small: Small, *records: FlagRecord) -> None:
    with small.database.write() as c:
        batch = batches.begin(c, "ingest")
        monitor_records.store_flags(c, batch, records)
        batches.publish(c, batch, {})


@pytest.fixture
def desk(tmp_path: Path) -> Small:
    made = small(tmp_path)
    with made.database.read() as c:
        records = [finding(c, trace_id) for trace_id in made.traces]
    stored(made, *records)
    return made


def test_a_finding_is_stored_once_and_hidden_until_its_batch_is_published(desk: Small) -> None:
    with desk.database.write() as c:
        batch = batches.begin(c, "ingest")
        again = monitor_records.store_flags(c, batch, [finding(c, desk.traces[0]), finding(c, desk.traces[0], 1)])
        assert (again.stored, again.known) == (1, 1)
        assert len(flags.of_trace(c, desk.traces[0])) == 1
        batches.publish(c, batch, {})
        assert len(flags.of_trace(c, desk.traces[0])) == 2


def test_a_quote_that_does_not_stand_in_the_trace_is_refused(desk: Small) -> None:
    with desk.database.write() as c:
        wrong = finding(c, desk.traces[0], 2, quote="never written")
        with pytest.raises(RunError, match="does not stand at"):
            monitor_records.store_flags(c, batches.begin(c, "ingest"), [wrong])


def test_findings_of_a_removed_batch_are_gone(desk: Small) -> None:
    with desk.database.write() as c:
        batch = batches.begin(c, "ingest")
        monitor_records.store_flags(c, batch, [finding(c, desk.traces[0], 3)])
    batches.remove(desk.database, batch)
    with desk.database.read() as c:
        assert c.scalar(select(func.count()).select_from(i.flag)) == len(desk.traces)


def test_a_review_is_in_the_history_and_can_be_taken_back_and_said_again(desk: Small) -> None:
    with desk.database.write() as c:
        flag = flags.queue(c)[0]
        done = flag_words.review(c, flag.id, FlagState.REJECTED, desk.ada.id, reason=" a rounding ")
        assert done.flag is not None
        assert (done.flag.state, done.flag.reason) == (FlagState.REJECTED, "a rounding")
        assert done.changes.topics == {Topic.FLAGS}
        assert done.changes.traces == {flag.trace_id}
        assert len(flags.queue(c)) == len(desk.traces) - 1
        undone = flag_words.undo(c, desk.ada.id)
        assert undone is not None
        assert undone.flag == flags.get(c, flag.id)
        assert (flags.get(c, flag.id).state, flags.get(c, flag.id).reason) == (FlagState.OPEN, "")
        assert flag_words.undo(c, desk.ada.id) is None
        redone = flag_words.redo(c, desk.ada.id)
        assert redone is not None
        assert flags.get(c, flag.id).state is FlagState.REJECTED
        assert flag_words.redo(c, desk.ada.id) is None
        again = flag_words.undo(c, desk.ada.id)
        assert again is not None
        assert flags.get(c, flag.id).state is FlagState.OPEN
        roles = [entry.role for entry in flag_words.timeline(c, flag.trace_id)]
        assert roles == ["do", "undo", "redo", "undo"]
        assert history.differences(c) == ()


def test_nobody_takes_back_what_another_has_changed_since(desk: Small) -> None:
    with desk.database.write() as c:
        flag = flags.queue(c)[0]
        flag_words.review(c, flag.id, FlagState.REJECTED, desk.ada.id)
        flag_words.review(c, flag.id, FlagState.CONFIRMED, desk.bob.id)
        assert flag_words.undo(c, desk.ada.id) is None
        assert flag_words.undo(c, desk.bob.id) is not None
        assert flags.get(c, flag.id).state is FlagState.REJECTED


def test_what_was_taken_back_is_not_said_again_behind_a_new_word(desk: Small) -> None:
    with desk.database.write() as c:
        first, second = flags.queue(c)[:2]
        flag_words.review(c, first.id, FlagState.REJECTED, desk.ada.id)
        flag_words.undo(c, desk.ada.id)
        flag_words.review(c, second.id, FlagState.UNSURE, desk.ada.id)
        assert flag_words.can_redo(c, desk.ada.id) is None


def test_the_history_of_reviews_cannot_be_rewritten(desk: Small) -> None:
    with desk.database.write() as c:
        flag_words.review(c, flags.queue(c)[0].id, FlagState.UNSURE, desk.ada.id)
        with pytest.raises(Exception, match="append-only"):
            c.execute(text("UPDATE history SET verb = 'nothing' WHERE verb = 'flag'"))


def test_a_person_flags_a_span_and_takes_it_back(desk: Small) -> None:
    with desk.database.write() as c:
        trace = desk.traces[1]
        made = flag_words.add(c, NewFlag(trace, Category.DECEPTION, 2, 6, "hides it"), desk.ada.id).flag
        assert made is not None
        assert (made.state, made.monitor, made.step_id) == (FlagState.CONFIRMED, "", 0)
        assert made.quote == str(c.scalar(select(s.trace.c.text).where(s.trace.c.id == trace)))[2:6]
        flag_words.undo(c, desk.ada.id)
        assert made.id not in {flag.id for flag in flags.of_trace(c, trace)}
        flag_words.redo(c, desk.ada.id)
        assert made.id in {flag.id for flag in flags.of_trace(c, trace)}
        with pytest.raises(ConflictError, match="no stretch"):
            flag_words.add(c, NewFlag(trace, Category.DECEPTION, 2, 60_000), desk.ada.id)


def test_a_clean_mark_and_a_confirmed_flag_exclude_each_other(desk: Small) -> None:
    with desk.database.write() as c:
        trace = desk.traces[0]
        flag_words.mark_clean(c, trace, desk.ada.id)
        assert flags.said_of(c, [trace])[trace] == tuple(Said(name.value, False) for name in sorted(CATEGORIES))
        flag = flags.of_trace(c, trace)[0]
        flag_words.review(c, flag.id, FlagState.CONFIRMED, desk.ada.id)
        said = flags.said_of(c, [trace])[trace]
        assert [one for one in said if one.category == flag.category.value] == [Said(flag.category.value, True, 0, 1)]
        with pytest.raises(ConflictError, match="confirmed"):
            flag_words.mark_clean(c, trace, desk.bob.id)
        flag_words.undo(c, desk.ada.id)  # the confirmation, which had taken the mark of its category away
        assert len(flags.said_of(c, [trace])[trace]) == len(CATEGORIES)
        flag_words.undo(c, desk.ada.id)
        assert flags.said_of(c, [trace]) == {}


def test_undo_and_redo_never_call_a_trace_clean_that_has_a_confirmed_finding(desk: Small) -> None:
    with desk.database.write() as c:
        trace, ada, bob = desk.traces[0], desk.ada.id, desk.bob.id
        flag = flags.of_trace(c, trace)[0]
        flag_words.mark_clean(c, trace, ada, [flag.category])
        flag_words.undo(c, ada)
        flag_words.review(c, flag.id, FlagState.CONFIRMED, bob)
        assert flag_words.can_redo(c, ada) is None
        assert flag_words.redo(c, ada) is None
        assert [one.true for one in flags.said_of(c, [trace])[trace]] == [True]


def test_a_rejection_is_not_taken_back_behind_a_mark_of_a_clean_trace(desk: Small) -> None:
    with desk.database.write() as c:
        trace, ada, bob = desk.traces[0], desk.ada.id, desk.bob.id
        flag = flags.of_trace(c, trace)[0]
        flag_words.review(c, flag.id, FlagState.CONFIRMED, ada)
        flag_words.review(c, flag.id, FlagState.REJECTED, ada)
        flag_words.mark_clean(c, trace, bob, [flag.category])
        assert flag_words.undo(c, ada) is None, "it would be confirmed in a trace that Bob called clean"
        flag_words.undo(c, bob)
        taken = flag_words.undo(c, ada)
        assert taken is not None
        assert taken.flag is not None
        assert taken.flag.state is FlagState.CONFIRMED


def test_a_confirmation_that_was_taken_back_teaches_nothing(desk: Small) -> None:
    with desk.database.write() as c:
        trace = desk.traces[0]
        made = flag_words.add(c, NewFlag(trace, Category.DECEPTION, 0, 3), desk.ada.id)
        assert [one.true for one in flags.said_of(c, [trace])[trace]] == [True]
        flag_words.undo(c, desk.ada.id)
        assert flags.said_of(c, [trace]) == {}
        assert made.flag is not None
        flag_words.redo(c, desk.ada.id)
        assert [one.true for one in flags.said_of(c, [trace])[trace]] == [True]


def test_a_promotion_is_not_rolled_back_behind_newer_rules(desk: Small) -> None:
    with desk.database.write() as c:
        monitors.ensure(c, MonitorRef(kind="rules", name="exact checks", version="2"))
        old = next(one for one in monitors.all_of(c) if one.version == "1")
        monitors.promote(c, old.id, desk.ada.id)
        monitors.ensure(c, MonitorRef(kind="rules", name="exact checks", version="3"))
        with pytest.raises(ConflictError, match="newer rules monitor"):
            monitors.roll_back(c, desk.ada.id, Kind.RULES)
        assert [one.version for one in monitors.all_of(c) if one.state is MonitorState.ACTIVE] == ["3"]


def test_findings_of_a_monitor_in_the_shadow_are_not_in_the_queue(desk: Small) -> None:
    first = MonitorRef(kind="classifier", name="words", version="1", training="a")
    second = MonitorRef(kind="classifier", name="words", version="1", training="b")
    with desk.database.read() as c:
        old = finding(c, desk.traces[0], 10, monitor=first)
        new = finding(c, desk.traces[0], 11, monitor=second)
    stored(desk, old, new)
    with desk.database.write() as c:
        states = {one.training: one.state for one in monitors.all_of(c) if one.kind is Kind.CLASSIFIER}
        assert states == {"a": MonitorState.ACTIVE, "b": MonitorState.SHADOW}
        assert len(flags.of_trace(c, desk.traces[0])) == 2
        assert len(flags.of_trace(c, desk.traces[0], shadow=True)) == 3
        shadow = next(one for one in monitors.all_of(c) if one.training == "b")
        assert len(flags.queue(c, monitor_id=shadow.id)) == 1
        monitors.promote(c, shadow.id, desk.ada.id)
        assert monitors.get(c, shadow.id).state is MonitorState.ACTIVE
        assert len(flags.of_trace(c, desk.traces[0])) == 2
        monitors.roll_back(c, desk.ada.id, Kind.CLASSIFIER)
        assert monitors.get(c, shadow.id).state is MonitorState.SHADOW
        with pytest.raises(ConflictError, match="nothing to roll back"):
            monitors.roll_back(c, desk.ada.id, Kind.CLASSIFIER)


def test_newer_rules_replace_older_ones(desk: Small) -> None:
    with desk.database.write() as c:
        monitors.ensure(c, MonitorRef(kind="rules", name="exact checks", version="2"))
        states = {one.version: one.state for one in monitors.all_of(c)}
        assert states == {"1": MonitorState.RETIRED, "2": MonitorState.ACTIVE}


def test_the_queue_shows_the_gravest_first(desk: Small) -> None:
    with desk.database.read() as c:
        grave = finding(c, desk.traces[2], 20, severity=3)
    stored(desk, grave)
    with desk.database.read() as c:
        assert flags.queue(c)[0].severity == 3
        assert {flag.trace_id for flag in flags.queue(c, project_id=desk.project.id)} == set(desk.traces)
        assert flags.tallies(c) == {(Category.INCONSISTENCY, FlagState.OPEN): len(desk.traces) + 1}


@pytest.mark.parametrize(("word", "part"), [("hidden", Part.THINKING), ("shown", Part.ANSWER)])
def test_a_persons_flag_knows_whether_it_lies_in_the_thinking(tmp_path: Path, word: str, part: Part) -> None:
    made = small(tmp_path, traces_wanted=1)
    text = "<think>\nhidden words\n</think>\nshown words"
    blocks = (Block(BlockKind.ANSWER, 0, len(text)),)
    new = traces.NewTrace("Q", text, (Message("assistant", blocks),), ())
    with made.database.write() as c:
        batch = batches.begin(c, "import")
        trace_id = traces.add(c, new, batch_id=batch).trace_id
        batches.publish(c, batch, {})
    at = text.index(word)
    with made.database.write() as c:
        flag = flag_words.add(c, NewFlag(trace_id, Category.DECEPTION, at, at + 6), made.ada.id).flag
    assert flag is not None
    assert (flag.part, flag.quote[:5]) == (part, word[:5])


def test_a_flag_of_the_shadow_counts_nowhere_until_somebody_confirms_it(tmp_path: Path) -> None:
    made = small(tmp_path, traces_wanted=2)
    trace_id = made.traces[0]
    with made.database.read() as c:
        learned = [MonitorRef(kind="classifier", name="learned", version="1", training=each) for each in "ab"]
        record = finding(c, trace_id, monitor=learned[1])
        elsewhere = finding(c, made.traces[1], 1, monitor=learned[0], category=Category.DECEPTION.value)
    stored(made, elsewhere, record)  # the first monitor of a kind counts at once, the second is in the shadow
    any_flag = Filter((Condition(Field.FLAG, Op.IS, "any"),))

    def shown() -> tuple[int, int, int, int]:
        with made.database.read() as c:
            plot = plots.read(c, plots.Kind.FLAGS)
            hits = find_spans.search(c, find_spans.Query("is", flagged=record.category)).hits
            listed = trace_list.count(c, TraceQuery(filter=any_flag))
            return len(flags.of_trace(c, trace_id)), len(plot.of(0)), len(hits), listed

    assert shown() == (0, 1, 0, 1)
    with made.database.read() as c:
        (hidden,) = flags.of_trace(c, trace_id, shadow=True)
    with made.database.write() as c:
        flag_words.review(c, hidden.id, FlagState.CONFIRMED, made.ada.id)
    assert shown() == (1, 2, 1, 2)
