"""The folder a user opens."""

from __future__ import annotations

import logging
import sqlite3
import time
import tomllib
from pathlib import Path

import pytest

from studio import workspace as module
from studio.errors import WorkspaceError
from studio.store import backup, batches, projects
from studio.workspace import Workspace


def test_a_workspace_is_made_and_opened_again(tmp_path: Path) -> None:
    with Workspace.open(tmp_path / "my maths", create=True) as made:
        made.database.run(lambda c: projects.create(c, "Algebra"))
        assert made.name == "my maths"
        assert all(folder.is_dir() for folder in (made.runs, made.models, made.cache, made.backups))
    with Workspace.open(tmp_path / "my maths") as again:
        assert again.uid == made.uid
        with again.database.read() as c:
            assert projects.by_name(c, "Algebra") is not None


def test_two_may_have_it_open_at_once(tmp_path: Path) -> None:
    with Workspace.open(tmp_path, create=True) as one, Workspace.open(tmp_path, create=True) as two:
        assert one.uid == two.uid
        one.database.run(lambda c: projects.create(c, "Algebra"))
        assert two.database.poll()


def test_backups_are_made_while_it_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    with Workspace.open(tmp_path, create=True) as made:
        made.keep_backed_up()
        until = time.monotonic() + 120
        while not backup.all_backups(made.backups) and time.monotonic() < until:
            time.sleep(0.01)
    (found,) = backup.all_backups(made.backups)  # one: the next is due in half an hour
    assert backup.quick_check(found.path) == ()


def test_a_folder_that_is_no_workspace(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"no workspace\.toml"):
        Workspace.open(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(WorkspaceError, match="is a file"):
        Workspace.open(tmp_path / "file", create=True)
    assert not (tmp_path / "workspace.db").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("uid = ", "Invalid value"),
        ('uid = "a"', "'name' is missing"),
        ('uid = "a"\nname = "b"\nformat = 99', "newer Steplens"),
        ('uid = "a"\nname = "b"\npostgresql = "postgresql://x"', "PostgreSQL"),
    ],
)
def test_a_broken_document_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "workspace.toml").write_text(text)
    with pytest.raises(WorkspaceError, match=says) as raised:
        Workspace.open(tmp_path, create=True)
    assert str(tmp_path / "workspace.toml") in str(raised.value)


def test_the_document_is_plain_toml(tmp_path: Path) -> None:
    with Workspace.open(tmp_path / 'a "quoted" name', create=True) as made:
        document = tomllib.loads((made.path / "workspace.toml").read_text("utf-8"))
    assert document == {"format": 1, "uid": made.uid, "name": 'a "quoted" name'}


def test_what_a_killed_import_left_stays_while_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> int:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(batches, "lives", lambda _process: False)
    with Workspace.open(tmp_path / "w", create=True) as made:
        made.database.run(lambda c: batches.begin(c, "import"))
    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr(batches, "remove", full)
        Workspace.open(tmp_path / "w").close()
        assert "database or disk is full" in caplog.text
        assert "Traceback" not in caplog.text
    with Workspace.open(tmp_path / "w") as again:
        assert again._cleaner is not None
        again._cleaner.join()
        assert batches.abandoned(again.database) == ()
