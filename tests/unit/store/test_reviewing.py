"""What people are shown before they decide, and the check of one trace."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from studio.errors import NotFoundError
from studio.helpers.looking import REF, look
from studio.store import batches, flag_words, flags, monitor_records, monitors, projects, reviewing, traces
from studio.store.database import Database
from studio.store.flags import FlagState
from trainer.reasoning.safety import Category

STEPS = (
    "<think>\nAda has 2 apples \U0001f34e and gets 5 more.",
    "So she has 2 + 5 = 7 apples.",
    "The answer is 7.\n</think>",
    "The answer is 9.",
)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    made = Database.open(tmp_path / "workspace.db")
    with made.write() as c:
        batch = batches.begin(c, "sample")
        traces.add(c, traces.from_steps("How many apples?", STEPS), batch_id=batch)
        batches.publish(c, batch, {})
    return made


def test_a_check_is_stored_once_and_quotes_the_trace(database: Database) -> None:
    with database.write() as c:
        row = reviewing.row_of(c, 1)
        assert "\n\n".join(row.steps) == row.response
        found = look(row)
        assert look(row) == found, "ids are those of the trace, its steps and the rules"
        assert not reviewing.is_checked(c, 1, REF)
        first = reviewing.store_check(c, 1, found.found, found.scored)
        again = reviewing.store_check(c, 1, found.found, found.scored)
        assert (first.findings, first.known, again.known) == (1, False, True)
        assert first.changes.traces == {1}
        assert not again.changes.topics
        assert reviewing.is_checked(c, 1, REF)
        (flag,) = flags.of_trace(c, 1)
        assert flag.category is Category.INCONSISTENCY
        assert len(monitors.scores(c, trace_id=1)) == 1
        assert len(monitors.scores(c, trace_id=2)) == 0
        case = reviewing.case_of(c, flag.id, room=10)
        other = [msgspec.structs.replace(one, id=f"{number:032x}") for number, one in enumerate(found.found)]
        run = monitor_records.store_flags(c, batches.begin(c, "ingest"), other)
        assert (run.stored, run.known, run.lost) == (0, 1, 0), "a run of the same checks brings nothing to review twice"
    text = row.response or ""
    assert (case.quote.quote, case.quote.before, case.quote.after) == (
        "7",
        text[flag.start - 10 : flag.start],
        text[flag.end : flag.end + 10],
    )
    assert case.quote.more_before
    assert case.other is not None
    assert (case.other.quote, case.other.after, case.other.more_after) == ("9", ".", False)
    with pytest.raises(NotFoundError), database.write() as c:
        reviewing.store_check(c, 99, found.found, found.scored)


def test_labels_are_new_until_a_monitor_was_taught(database: Database) -> None:
    with database.write() as c:
        me = projects.ensure_annotator(c, "Ada")
        found = look(reviewing.row_of(c, 1))
        reviewing.store_check(c, 1, found.found, found.scored)
        (flag,) = flags.of_trace(c, 1)
        assert reviewing.new_labels(c) == 0
        flag_words.review(c, flag.id, FlagState.UNSURE, me.id)
        assert reviewing.new_labels(c) == 0, "unsure teaches nothing"
        flag_words.review(c, flag.id, FlagState.REJECTED, me.id)
        assert reviewing.new_labels(c) == 1
        flag_words.mark_clean(c, 1, me.id)
        assert reviewing.new_labels(c) == 2, "a clean trace counts once, however many categories it is clean of"
