"""Opening, migrating, transactions, the writer thread, and noticing what others write."""

from __future__ import annotations

import itertools
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, insert, inspect, table, text
from sqlalchemy import column as column_named

from studio.domain import Changes, Topic, changed
from studio.errors import StoreError, VersionError
from studio.store import database as module
from studio.store import migrate, projects, trace_list
from studio.store import schema as s
from studio.store.database import Database
from studio.store.trace_filter import Filter, parsed
from studio.store.trace_list import TraceQuery
from tests.unit.store.making import small


def layout(path: Path) -> dict[str, object]:
    """Tables with their columns, keys and indexes, as SQLite has them."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as c:
        look = inspect(c)
        found: dict[str, object] = {}
        for name in sorted(set(look.get_table_names()) & set(s.metadata.tables)):
            columns = [(c["name"], str(c["type"]), c["nullable"], c["default"]) for c in look.get_columns(name)]
            keys = sorted((k["constrained_columns"], k["referred_table"]) for k in look.get_foreign_keys(name))
            unique = sorted(k["column_names"] for k in look.get_unique_constraints(name))
            found[name] = (columns, look.get_pk_constraint(name), keys, unique)
        indexes = c.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"))
        found["indexes"] = {row.name: row.sql for row in indexes}
    engine.dispose()
    return found


def test_the_migrations_make_the_schema(tmp_path: Path) -> None:
    Database.open(tmp_path / "a.db").close()
    engine = create_engine(f"sqlite:///{tmp_path / 'b.db'}")
    s.metadata.create_all(engine)
    engine.dispose()
    assert layout(tmp_path / "a.db") == layout(tmp_path / "b.db")


@pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0004"])
def test_a_workspace_of_an_older_program_keeps_its_rows(tmp_path: Path, revision: str) -> None:
    path, script = tmp_path / "w.db", ScriptDirectory(str(Path(migrate.__file__).parent / "migrations"))
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as c:
        steps = {"fn": lambda now, _: script._upgrade_revs(revision, now), "render_as_batch": True}
        context = MigrationContext.configure(c, opts=steps)
        with Operations.context(context):
            context.run_migrations()
        values = {"uid": "a" * 32, "prompt": "2 + 2?", "hash": "h", "created_at": "2026-01-01T00:00:00Z"}
        known = {column["name"] for column in inspect(c).get_columns("problem")}
        given = {name: value for name, value in values.items() if name in known}
        for column in inspect(c).get_columns("problem"):
            if not column["nullable"] and column["default"] is None and not column["primary_key"]:
                given.setdefault(column["name"], "x")
        c.execute(insert(table("problem", *map(column_named, given))).values(given))
        c.exec_driver_sql(
            "INSERT INTO batch (id, uid, kind, state, created_at) VALUES (1, 'b', 'import', 'published', '')"
        )
        for key, answer, extra in ((1, "x = 4", '{"usage": {"tokens": 7}}'), (2, "4" * 300, "null"), (3, None, None)):
            c.exec_driver_sql(
                "INSERT INTO trace (id, uid, problem_id, batch_id, text, answer, extra, created_at) "
                "VALUES (?, ?, 1, 1, 'one two', ?, ?, '')",
                (key, f"t{key}", answer, extra),
            )
            c.exec_driver_sql(
                "INSERT INTO segmentation (id, trace_id, version, method, created_at) VALUES (?, ?, 1, 'import', '')",
                (key, key),
            )
            for step in range(key):
                c.exec_driver_sql("INSERT INTO step VALUES (?, ?, ?, 0, 1)", (key, step, step))
    engine.dispose()
    Database.open(path).close()
    Database.open(tmp_path / "new.db").close()
    assert layout(path) == layout(tmp_path / "new.db")
    with closing(Database.open(path)) as database, database.read() as c:
        for said, expected in (
            ("answer contains 4", [1, 2]),
            ("answer is not known", [3]),
            ("metadata usage.tokens is 7", [1]),
            ("steps from 2", [2, 3]),
            ("characters is 7", [1, 2, 3]),
        ):
            assert trace_list.all_ids(c, TraceQuery(filter=Filter((parsed(said),)))).tolist() == expected, said
    with closing(sqlite3.connect(path)) as c:
        assert c.execute("SELECT prompt FROM problem").fetchall() == [("2 + 2?",)]
        assert c.execute("SELECT steps FROM segmentation").fetchall() == [(1,), (2,), (3,)]
        assert c.execute("SELECT count(*) FROM evaluation").fetchone() == (0,)
    assert path.with_name(f"w.db.before-{s.SCHEMA_REVISION}").exists()


def test_a_database_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    Database.open(path).close()
    with closing(sqlite3.connect(path)) as c:
        c.execute("UPDATE alembic_version SET version_num = '9999'")
        c.commit()
    with pytest.raises(VersionError, match="newer Steplens"):
        Database.open(path)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "w.db").write_bytes(b"no database at all, but long enough to be looked at" * 40)
    with pytest.raises(StoreError, match="is it a Steplens workspace"):
        Database.open(tmp_path / "w.db")


def test_people_wait_for_the_disk_and_machines_do_not(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "w.db")

    def look(c: Connection) -> tuple[int, int]:
        return c.scalar(text("PRAGMA synchronous")), c.scalar(text("PRAGMA foreign_keys"))

    for _ in range(2):
        with database.write() as c:
            assert look(c) == (2, 1)  # FULL
        with database.bulk(checked=False) as c:
            assert look(c) == (1, 0)
        with database.bulk() as c:
            assert look(c) == (1, 1)
    assert database.run(lambda c: c.scalar(text("PRAGMA journal_mode"))) == "wal"
    database.close()


def test_a_failing_verb_changes_nothing_and_the_writer_goes_on(tmp_path: Path) -> None:
    here = small(tmp_path)

    def fail(c: Connection) -> None:
        projects.create(c, "Half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        here.database.submit(fail).result()
    assert here.database.submit(lambda c: projects.by_name(c, "Half")).result() is None
    here.database.close()


def test_the_listeners_hear_of_a_commit_after_it(tmp_path: Path) -> None:
    here = small(tmp_path)
    heard: list[tuple[Changes, int]] = []

    def listen(changes: Changes) -> None:
        with here.database.read() as c:
            heard.append((changes, len(projects.all_projects(c))))

    stop = here.database.subscribe(listen)
    here.database.submit(lambda c: projects.create(c, "Second")).result()
    here.database.close()  # waits for the writer thread
    assert heard == [(changed(Topic.PROJECTS), 2)]
    stop()


def test_only_what_other_processes_write_is_noticed_by_polling(tmp_path: Path) -> None:
    here = small(tmp_path)
    other = Database.open(here.database.path)
    assert not here.database.poll()
    here.database.run(lambda c: projects.create(c, "Mine"))
    with here.database.bulk() as c:
        projects.create(c, "Mine too")
    assert not here.database.poll()
    assert other.poll()
    assert not other.poll()
    other.run(lambda c: projects.create(c, "Theirs"))
    assert here.database.poll()
    other.close()
    here.database.close()


def test_bulk_writing_steps_back_for_people(tmp_path: Path) -> None:
    here = small(tmp_path)
    stop, a_slice, sizes = threading.Event(), threading.Event(), []

    def store(c: Connection, piece: object) -> None:
        sizes.append(len(piece))  # type: ignore[arg-type]
        time.sleep(0.004)
        a_slice.set()

    thread = threading.Thread(
        target=lambda: here.database.write_in_slices(itertools.repeat(1), store, stop=stop.is_set)
    )
    thread.start()
    overtaken = []
    for number in range(40):
        a_slice.clear()
        assert a_slice.wait(120), "bulk writing goes on between people's writes"
        before = len(sizes)
        here.database.run(lambda c, n=number: projects.create(c, f"p{n}"))
        overtaken.append(len(sizes) - before)
    stop.set()
    thread.join()
    assert sorted(overtaken)[20] <= 2, "the slice under way, and one that began in that moment"
    here.database.close()


def test_slices_store_everything_once_and_in_order(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "w.db")
    stored: list[int] = []
    told: list[int] = []
    total = database.write_in_slices(range(5000), lambda c, piece: stored.extend(piece), stored=told.append)
    assert (total, stored) == (5000, list(range(5000)))
    assert told[-1] == 5000
    assert len(told) > 3
    database.close()


def test_a_lock_that_never_ends_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = small(tmp_path)
    monkeypatch.setattr(module, "BUSY_MS", 50)
    with closing(sqlite3.connect(here.database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another process has been writing"):
            here.database.run(lambda c: projects.create(c, "Late"))
        other.execute("ROLLBACK")
    here.database.run(lambda c: projects.create(c, "In time"))
    here.database.close()


def test_closing_ends_every_thread(tmp_path: Path) -> None:
    here = small(tmp_path)
    here.database.submit(lambda c: projects.create(c, "Second")).result()
    here.database.write_in_slices(range(100), lambda c, piece: None)
    here.database.checkpoint()
    assert {"store-writer", "store-flusher"} <= {thread.name for thread in threading.enumerate()}
    here.database.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("store-")]
    assert not here.database.path.with_name("workspace.db-wal").exists()  # the last to close leaves one file
