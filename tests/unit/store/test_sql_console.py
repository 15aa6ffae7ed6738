"""The SQL console reads and cannot write, stops at the limit and at Cancel, and says what is wrong."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from studio.errors import CancelledError, FindError
from studio.store import sql_console
from tests.unit.store.making import Small, small


@pytest.fixture
def made(tmp_path: Path) -> Small:
    return small(tmp_path, traces_wanted=5)


def test_rows_come_up_to_the_limit_and_open_traces(made: Small) -> None:
    path = made.database.path
    sql = "SELECT t.id AS trace_id, p.ordinal AS step FROM trace t JOIN segmentation g ON g.trace_id = t.id "
    sql += "JOIN step p ON p.segmentation_id = g.id WHERE p.ordinal = 2 ORDER BY t.id"
    answer = sql_console.ask(path, sql, limit=3)
    assert answer.columns == ("trace_id", "step")
    assert answer.rows == tuple((trace, 2) for trace in made.traces[:3])
    assert answer.more
    assert answer.trace_of(1) == (made.traces[1], 2)
    whole = sql_console.ask(path, "SELECT id FROM trace", limit=5)
    assert not whole.more
    assert whole.trace_of(0) is None  # `id` may be of anything


def test_full_text_and_recursion_are_allowed(made: Small) -> None:
    found = sql_console.ask(made.database.path, "SELECT rowid FROM trace_find WHERE trace_find MATCH 'what'", limit=9)
    assert {row[0] for row in found.rows} == set(made.traces)
    sql = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 100) SELECT sum(n) FROM r"
    assert sql_console.ask(made.database.path, sql, limit=1).rows == ((5050,),)


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM trace",
        "UPDATE trace SET text = ''",
        "INSERT INTO hold VALUES ('a', 'b', 'c')",
        "PRAGMA journal_mode=DELETE",
        "ATTACH '/tmp/x.db' AS x",
        "CREATE TEMP TABLE t(a)",
        "VACUUM INTO '/tmp/x.db'",
        "BEGIN IMMEDIATE",
        "SELECT load_extension('x')",
        "WITH gone AS (SELECT 1) DELETE FROM trace",
        "SELECT 1; DELETE FROM trace",
        "",
        "SELEC 1",
        "SELECT nothing FROM trace",
        "SELECT zeroblob(2000000000)",
    ],
)
def test_nothing_else_is_run(made: Small, sql: str) -> None:
    with made.database.read() as c:
        before = c.exec_driver_sql("SELECT count(*), total_changes() FROM trace").one()
    with pytest.raises(FindError):
        sql_console.ask(made.database.path, sql, limit=10)
    with made.database.read() as c:
        assert c.exec_driver_sql("SELECT count(*), total_changes() FROM trace").one() == before


def test_cancel_stops_an_endless_query(made: Small) -> None:
    looks = 0

    def check() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise CancelledError("enough")

    sql = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"
    with pytest.raises(CancelledError):
        sql_console.ask(made.database.path, sql, limit=1, check=check)
    assert looks == 3


def test_csv_reads_back_whole(made: Small, tmp_path: Path) -> None:
    long = sql_console.LONGEST_CELL + 100
    sql = (
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 300) "
        "SELECT 'say \"x\"' || char(10) AS a, "
        f"CASE n WHEN 1 THEN printf('%0{long}d', 7) WHEN 2 THEN x'00ff' END AS \"b,c\" "
        "FROM r"
    )
    target = tmp_path / "rows.csv"
    assert sql_console.write_csv(made.database.path, sql, target) == 300
    with target.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["a", "b,c"]
    assert rows[1] == ['say "x"\n', "7".rjust(long, "0")]
    assert [row[1] for row in rows[2:]] == ["00ff", *[""] * 298]
    with pytest.raises(FindError, match="only SELECT"):
        sql_console.write_csv(made.database.path, "DELETE FROM trace", tmp_path / "none.csv")
    assert [path.name for path in tmp_path.glob("*.csv")] == ["rows.csv"]


def test_the_schema_is_told(made: Small) -> None:
    told = {table.name: dict(table.columns) for table in sql_console.tables(made.database.path)}
    assert told["trace"]["text"] == "TEXT"
    assert "trace_find_data" not in told
    assert told["bookmark"]["start"] == "INTEGER"
