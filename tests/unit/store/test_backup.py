"""Backups of a live database: consistent, gentle, rotated, checked, put back."""

from __future__ import annotations

import itertools
import os
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from studio.domain import Changes, Topic
from studio.errors import CancelledError, StoreError, VersionError
from studio.store import annotations, backup, history, migrate, queue
from studio.store.database import Database
from tests.unit.store.making import Small, small
from tests.unit.store.test_queue import bulk
from trainer.contract.records import Rating


def rate(here: Small, ordinal: int = 0, at: int = 0) -> None:
    here.database.run(lambda c: annotations.rate(c, here.work(at), ordinal, Rating.POSITIVE))


def test_a_backup_made_while_people_rate_is_one_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = small(tmp_path, traces_wanted=30)
    bulk(here.database, here.project.id, 20_000)
    monkeypatch.setattr(migrate, "PIECE", 32)
    made: list[backup.Backup] = []
    rated, waited = threading.Semaphore(0), []

    def between_pieces() -> bool:  # each of the first pieces waits for another rating: none is held up by the copy
        if len(waited) < 12:
            waited.append(rated.acquire(timeout=120))
        return False

    folder = tmp_path / "backups"
    thread = threading.Thread(target=lambda: made.append(backup.make(here.database, folder, stop=between_pieces)))
    thread.start()
    for at, ordinal in itertools.product(range(30), range(4)):
        rate(here, ordinal, at)
        rated.release()
        if not thread.is_alive():
            break
    thread.join()
    assert waited == [True] * 12
    assert backup.quick_check(made[0].path) == ()
    copy = Database.open(made[0].path)
    with copy.read() as c:
        assert history.differences(c) == ()
        assert queue.left(c, here.project.id, here.ada.id) == 20_030
    copy.close()
    assert not list((tmp_path / "backups").glob(".*"))
    here.database.close()


def test_restore_puts_back_what_was_and_keeps_what_is(tmp_path: Path) -> None:
    here, folder = small(tmp_path), tmp_path / "backups"
    rate(here)
    first = backup.make(here.database, folder)
    with here.database.read() as c:
        before = history.content_hash(c)
    rate(here, 1)
    with here.database.read() as c:
        after = history.content_hash(c)
    other = Database.open(here.database.path)  # another window on the same workspace
    told: list[Changes] = []
    other.subscribe(told.append)
    kept = backup.restore(here.database, first.path, folder)
    for database in (here.database, other):
        with database.read() as c:
            assert history.content_hash(c) == before
    assert other.poll()
    assert told[0].touches(Topic.ANNOTATIONS)
    other.close()
    backup.restore(here.database, kept.path, folder)
    with here.database.read() as c:
        assert history.content_hash(c) == after
    rate(here, 2)
    here.database.close()


def test_a_damaged_or_foreign_file_is_not_restored(tmp_path: Path) -> None:
    here, folder = small(tmp_path), tmp_path / "backups"
    rate(here)
    made = backup.make(here.database, folder)
    damaged = tmp_path / "damaged.db"
    data = bytearray(made.path.read_bytes())
    data[4096 * 3 : 4096 * 5] = b"\xff" * 8192
    damaged.write_bytes(bytes(data))
    assert backup.quick_check(damaged)
    with pytest.raises(StoreError, match="damaged"):
        backup.restore(here.database, damaged, folder)
    foreign = tmp_path / "foreign.db"
    with closing(sqlite3.connect(foreign)) as c:
        c.execute("CREATE TABLE t (x)")
    with pytest.raises(StoreError, match="no backup of a workspace"):
        backup.restore(here.database, foreign, folder)
    with closing(sqlite3.connect(made.path)) as c:
        c.execute("UPDATE alembic_version SET version_num = '9999'")
        c.commit()
    with pytest.raises(VersionError, match="newer"):
        backup.restore(here.database, made.path, folder)
    assert backup.quick_check(tmp_path / "absent.db")
    with here.database.read() as c:
        assert annotations.current(c, here.work()) is not None
    here.database.close()


def test_rotation_keeps_the_newest_and_the_last_of_days_and_weeks(tmp_path: Path) -> None:
    start = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    for hours in range(0, 24 * 120, 6):  # four a day for 120 days
        moment = start - timedelta(hours=hours)
        (tmp_path / f"workspace-{moment.strftime('%Y%m%dT%H%M%S%f')}.db").write_bytes(b"x")
    (tmp_path / "workspace-mine.db").write_bytes(b"x")
    backup.rotate(tmp_path)
    ages = [(start - made.made_at) / timedelta(days=1) for made in backup.all_backups(tmp_path)]
    assert ages[:10] == [n / 4 for n in range(10)]
    assert ages[10:21] == [2.75 + n for n in range(11)]  # 18:00 is the last of each earlier day
    assert all(late - early == 7 for early, late in itertools.pairwise(ages[22:]))  # Sundays
    assert len(ages) <= 10 + 14 + 8
    assert (tmp_path / "workspace-mine.db").exists()
    assert backup.rotate(tmp_path) == ()


def test_when_a_backup_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, folder = small(tmp_path), tmp_path / "backups"
    assert backup.due(folder)
    backup.make(here.database, folder)
    assert not backup.due(folder)
    monkeypatch.setattr(backup, "EVERY", timedelta(0))
    assert backup.due(folder)
    here.database.close()


def test_a_stopped_backup_leaves_nothing(tmp_path: Path) -> None:
    here, folder = small(tmp_path), tmp_path / "backups"
    with pytest.raises(CancelledError):
        backup.make(here.database, folder, stop=lambda: True)
    assert list(folder.iterdir()) == []
    here.database.close()


def test_no_room_for_a_backup_is_said_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = small(tmp_path)

    class Full:
        free = 1 << 20

    monkeypatch.setattr(backup.shutil, "disk_usage", lambda _: Full)
    with pytest.raises(StoreError, match="make room on the disk"):
        backup.make(here.database, tmp_path / "backups")
    assert backup.all_backups(tmp_path / "backups") == ()
    here.database.close()


def test_copies_of_processes_that_were_killed_go_with_the_next(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "workspace.db")
    folder = tmp_path / "backups"
    folder.mkdir()
    killed, living = folder / ".backup-1.db.4194999.part", folder / f".backup-1.db.{os.getppid()}.part"
    for left in (killed, living):
        left.write_bytes(b"half")
    backup.make(database, folder)
    assert (killed.exists(), living.exists()) == (False, True)
    database.close()


def test_a_workspace_that_cannot_be_copied_is_not_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "workspace.db"
    Database.open(path).close()
    with closing(sqlite3.connect(path)) as c:
        c.execute("UPDATE alembic_version SET version_num = '0004'")
        c.commit()

    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(migrate, "backup_file", full)
    with pytest.raises(StoreError, match=r"schema 0004, and the copy .* disk is full; make room"):
        Database.open(path)
    with closing(sqlite3.connect(path)) as c:
        assert c.execute("SELECT version_num FROM alembic_version").fetchall() == [("0004",)]
