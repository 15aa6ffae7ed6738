"""Bookmarks hold their stretch over other steps and other text; every word on them can be taken back."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import update

from studio.domain import Topic
from studio.errors import ConflictError, NotFoundError, StoreError
from studio.exchange import annotation_file
from studio.exchange.redaction import Redaction
from studio.exchange.reporting import ReportForm, write
from studio.store import bookmarks, segmentations, traces
from studio.store import schema as s
from tests.unit.store.making import Small, small


@pytest.fixture
def made(tmp_path: Path) -> Small:
    return small(tmp_path, traces_wanted=2)


def test_a_bookmark_is_made_changed_and_removed_and_each_is_taken_back(made: Small) -> None:
    database, trace, me = made.database, made.traces[0], made.ada.id
    done = database.run(lambda c: bookmarks.add(c, trace, 2, 6, me, comment=" look ", tags=("odd", " odd", "", "b")))
    mark = done.bookmark
    assert (mark.start, mark.end, mark.comment, mark.tags, mark.author) == (2, 6, "look", ("odd", "b"), "Ada")
    assert done.changes.touches(Topic.BOOKMARKS)
    assert trace in done.changes.traces
    with database.read() as c:
        assert mark.quote == traces.load(c, trace).text[2:6]
    database.run(lambda c: bookmarks.change(c, mark.id, me, comment="later"))
    database.run(lambda c: bookmarks.remove(c, mark.id, me))
    steps = []
    for verb in (bookmarks.undo, bookmarks.undo, bookmarks.undo, bookmarks.undo, bookmarks.redo, bookmarks.redo):
        done = database.run(lambda c, verb=verb: verb(c, me))
        with database.read() as c:
            steps.append((done is not None, [(one.comment, one.tags) for one in bookmarks.of_trace(c, trace)]))
    tags = ("odd", "b")
    assert steps == [
        (True, [("later", tags)]),
        (True, [("look", tags)]),
        (True, []),
        (False, []),
        (True, [("look", tags)]),
        (True, [("later", tags)]),
    ]
    with database.read() as c:
        assert bookmarks.count(c) == 1
        assert bookmarks.tags(c) == ("b", "odd")


def test_nobody_takes_back_what_somebody_else_has_changed_since(made: Small) -> None:
    database, trace = made.database, made.traces[0]
    mark = database.run(lambda c: bookmarks.add(c, trace, 0, 3, made.ada.id)).bookmark
    database.run(lambda c: bookmarks.change(c, mark.id, made.bob.id, comment="no"))
    assert database.run(lambda c: bookmarks.undo(c, made.ada.id)) is None
    assert database.run(lambda c: bookmarks.undo(c, made.bob.id)) is not None
    again = database.run(lambda c: bookmarks.change(c, mark.id, made.ada.id, comment=""))
    assert again.entry is None  # nothing to say
    assert not again.changes.topics


@pytest.mark.parametrize(("start", "end"), [(3, 3), (-1, 2), (0, 10_000), (5, 4)])
def test_a_stretch_that_is_none_is_refused(made: Small, start: int, end: int) -> None:
    with pytest.raises(ConflictError, match="no stretch"):
        made.database.run(lambda c: bookmarks.add(c, made.traces[0], start, end, made.ada.id))
    with pytest.raises(NotFoundError):
        made.database.run(lambda c: bookmarks.add(c, 999, 0, 1, made.ada.id))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one two three two", (4, 7)),
        ("zero one two three two", (9, 12)),
        ("two one three", (0, 3)),
        ("one three two two", (10, 13)),
        ("one three", None),
    ],
)
def test_a_quote_is_found_again_where_it_is_nearest(text: str, expected: tuple[int, int] | None) -> None:
    found = bookmarks.anchored(text, 4, 7, "two")
    assert (None if found is None else (found.start, found.end)) == expected


def test_other_steps_and_another_text_leave_it_where_its_words_are(made: Small) -> None:
    database, trace, me = made.database, made.traces[0], made.ada.id
    with database.read() as c:
        text = traces.load(c, trace).text
    mark = database.run(lambda c: bookmarks.add(c, trace, 8, 12, me)).bookmark
    database.run(lambda c: segmentations.join(c, trace, 0, me))
    database.run(lambda c: c.execute(update(s.trace).where(s.trace.c.id == trace).values(text="new: " + text)))
    with database.read() as c:
        (kept,) = bookmarks.of_trace(c, trace)
        span = kept.span_in(traces.load(c, trace).text)
    assert kept.uid == mark.uid
    assert span is not None
    assert (span.start, span.end) == (13, 17)


def test_all_bookmarks_are_searched_by_words_quote_and_tag(made: Small) -> None:
    database, me = made.database, made.ada.id
    for number, (comment, tags) in enumerate((("50% off", ()), ("plain", ("odd",)), ("", ()))):
        trace = made.traces[number % 2]
        database.run(
            lambda c, trace=trace, number=number, comment=comment, tags=tags: bookmarks.add(
                c, trace, number, number + 2, me, comment=comment, tags=tags
            )
        )
    with database.read() as c:
        assert [mark.comment for mark in bookmarks.every(c)] == ["", "plain", "50% off"]
        assert [mark.comment for mark in bookmarks.every(c, text="0% o")] == ["50% off"]
        assert [mark.comment for mark in bookmarks.every(c, text="odd")] == ["plain"]
        assert bookmarks.every(c, text="%%") == ()


def test_span_annotations_go_out_and_come_in_without_loss(made: Small, tmp_path: Path) -> None:
    database, me, path = made.database, made.ada.id, tmp_path / "marks.json"
    database.run(lambda c: bookmarks.add(c, made.traces[0], 0, 4, me, comment="wörds\n“two”", tags=("a", "b")))
    gone = database.run(lambda c: bookmarks.add(c, made.traces[1], 1, 3, me)).bookmark
    with database.read() as c:
        before = bookmarks.every(c)
        assert annotation_file.write(c, path) == 2
    taken = database.run(lambda c: annotation_file.read(c, path))
    assert (taken.new, taken.known, taken.left_out) == (0, 2, ())
    (tmp_path / "other").mkdir()
    other = small(tmp_path / "other", traces_wanted=1)
    with database.read() as c:
        uid = c.scalar(s.trace.select().with_only_columns(s.trace.c.uid).where(s.trace.c.id == made.traces[0]))
    other.database.run(lambda c: c.execute(update(s.trace).values(uid=uid)))
    taken = other.database.run(lambda c: annotation_file.read(c, path))
    assert (taken.new, taken.known, len(taken.left_out)) == (1, 0, 1)
    assert gone.trace_uid in taken.left_out[0]
    with other.database.read() as c:
        (came,) = bookmarks.every(c)
    was = next(mark for mark in before if mark.trace_uid == uid)
    names = ("uid", "trace_uid", "start", "end", "quote", "comment", "tags", "author", "created_at", "changed_at")
    assert [getattr(came, name) for name in names] == [getattr(was, name) for name in names]
    path.write_text('{"rows": []}')
    with pytest.raises(StoreError, match="span annotations"):
        other.database.run(lambda c: annotation_file.read(c, path))


@pytest.mark.parametrize("form", list(ReportForm))
def test_reports_hold_bookmarks_and_redaction_takes_their_words_out(
    made: Small, tmp_path: Path, form: ReportForm
) -> None:
    database, path = made.database, tmp_path / f"report{form.ending}"
    with database.read() as c:
        text = traces.load(c, made.traces[0]).text
    database.run(
        lambda c: bookmarks.add(c, made.traces[0], 2, 9, made.ada.id, comment="the secret word", tags=("kept-tag",))
    )
    with database.read() as c:
        write(c, path, made.traces[:1], form)
        said = path.read_text()
        assert "the secret word" in said
        assert "kept-tag" in said
        write(c, path, made.traces[:1], form, redaction=Redaction.of(["secret"], [text[:4]]))
    said = path.read_text()
    assert "kept-tag" in said
    assert "secret" not in said
    assert text[:4] not in said
