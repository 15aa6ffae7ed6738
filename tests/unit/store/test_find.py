"""Find: words, phrases, LaTeX, signs; nothing a person types is an operator; only published traces are hits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from studio.store import batches, find, projects, traces
from studio.store import schema as s
from studio.store.database import Database

TEXTS = (
    r"So $\frac{a}{b} = \sqrt[3]{2^{k}}$, therefore $x \neq 7$.",
    "The prime factorization of 20 is 2 * 2 * 5.",
    "Das Größte ist 5 ∮ 数学.",
    'He said "prime" AND NOT (NEAR) * ^ : -',
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(tmp_path / "workspace.db")
    with opened.write() as c:
        project = projects.create(c, "Here").id
        batch = batches.begin(c, "sample", project)
        for number, text in enumerate(TEXTS):
            new = traces.from_steps(f"Problem number {number}?", [text, "Done."])
            traces.add(c, new, batch_id=batch, project_id=project if number else None)
        batches.publish(c, batch, {})
    yield opened
    opened.close()


def hits(database: Database, text: str, project: int | None = None) -> list[int]:
    with database.read() as c:
        return [hit.trace_id - 1 for hit in find.search(c, text, project=project)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("therefore", [0]),
        ("THERE", [0]),
        ("refore", []),
        (r"\frac{a}", [0]),
        ("frac{a", [0]),
        (r"\sqrt[3]{2", [0]),
        ("prime", [1, 3]),
        ("prime 20", [1]),
        ("20 prime", [1]),
        ('"20 prime"', []),
        ('"prime factorization of"', [1]),
        ("number", [0, 1, 2, 3]),
        ("number 2", [0, 1, 2]),
        ("grosste", []),
        ("größte", [2]),
        ("GROßTE", [2]),
        ("数学", [2]),
        ("∮", [2]),
        ("∮ größte", [2]),
        ("∮ prime", []),
        ("(NEAR)", [3]),
        ("AND", [3]),
        ("prime OR größte", []),
        ('"', []),
        ('prime"', [1, 3]),
        ("prime*", [1, 3]),
        ("text:prime", []),
        ("'; DROP TABLE trace; --", []),
        ("", []),
        ("   ", []),
        ("\x00", []),
    ],
)
def test_what_is_found(database: Database, text: str, expected: list[int]) -> None:
    assert hits(database, text) == expected


def test_only_traces_of_the_project(database: Database) -> None:
    assert hits(database, "number", project=1) == [1, 2, 3]
    assert hits(database, "number", project=2) == []


def test_the_snippet_marks_what_was_found(database: Database) -> None:
    with database.read() as c:
        (words,) = find.search(c, "factorization")
        (signs,) = find.search(c, "∮")
    assert f"{find.MARK_START}factorization{find.MARK_END}" in words.snippet
    assert f"5 {find.MARK_START}∮{find.MARK_END} 数学" in signs.snippet


def test_pages_follow_each_other(database: Database) -> None:
    with database.read() as c:
        pages = [find.search(c, "number", limit=3, offset=at) for at in (0, 3)]
    assert [hit.trace_id for page in pages for hit in page] == [1, 2, 3, 4]


def test_an_unpublished_batch_is_no_hit(database: Database) -> None:
    with database.write() as c:
        batch = batches.begin(c, "import")
        traces.add(c, traces.from_steps("zebra", ["stripes ∮"]), batch_id=batch)
    assert hits(database, "zebra") == hits(database, "stripes") == []
    assert hits(database, "∮") == [2]
    database.run(lambda c: batches.publish(c, batch, {}))
    assert hits(database, "zebra") == [4]


def test_the_index_follows_the_traces(database: Database) -> None:
    with database.write() as c:
        c.execute(update(s.trace).where(s.trace.c.id == 2).values(text="A giraffe."))
    assert hits(database, "factorization") == []
    assert hits(database, "giraffe") == [1]
    with database.write() as c:
        segmentations = s.segmentation.c.trace_id == 2
        c.execute(delete(s.step).where(s.step.c.segmentation_id == 2))
        c.execute(delete(s.segmentation).where(segmentations))
        c.execute(delete(s.message).where(s.message.c.trace_id == 2))
        c.execute(delete(s.project_trace).where(s.project_trace.c.trace_id == 2))
        c.execute(delete(s.trace).where(s.trace.c.id == 2))
        c.exec_driver_sql("INSERT INTO trace_find(trace_find, rank) VALUES('integrity-check', 1)")
    assert hits(database, "giraffe") == []
