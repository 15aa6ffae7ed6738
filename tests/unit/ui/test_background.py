"""Work off the GUI thread: results on the GUI thread, in order, dropped when nobody waits for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import shiboken6
from PySide6.QtCore import QObject, QThread
from pytestqt.qtbot import QtBot

from studio.domain import Changes, Topic
from studio.errors import ConflictError
from studio.store import projects
from studio.store.database import Database
from studio.ui.background import Background


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty workspace database."""
    database = Database.open(tmp_path / "workspace.db")
    yield database
    database.close()


@pytest.fixture
def background(qtbot: QtBot, database: Database) -> Iterator[Background]:
    """Work on it."""
    background = Background(database)
    yield background
    background.close()


def test_a_read_runs_elsewhere_and_answers_here(qtbot: QtBot, background: Background) -> None:
    owner, told = QObject(), []
    where: list[int] = []
    background.read(
        owner,
        lambda c: (where.append(threading.get_ident()), projects.all_projects(c))[1],
        lambda found: told.append((found, QThread.currentThread() is owner.thread())),
    )
    qtbot.waitUntil(lambda: bool(told))
    assert told == [((), True)]
    assert where[0] != threading.get_ident()


def test_writes_come_back_in_order_after_their_commit(qtbot: QtBot, background: Background, database: Database) -> None:
    owner, told = QObject(), []
    busy, idle = [], []
    background.busy.connect(lambda: busy.append(True))
    background.idle.connect(lambda: idle.append(True))

    def committed(project: projects.Project) -> None:
        with database.read() as c:
            told.append((project.name, len(projects.all_projects(c)) >= len(told) + 1))

    for name in "ABCDE":
        background.write(owner, lambda c, name=name: projects.create(c, name), committed)
    assert background.writes_waiting == 5
    qtbot.waitUntil(lambda: len(told) == 5)
    assert told == [(name, True) for name in "ABCDE"]
    assert background.writes_waiting == 0
    assert (len(busy), len(idle)) == (1, 1)


def test_own_commits_are_told_once_with_what_changed(qtbot: QtBot, background: Background) -> None:
    heard: list[Changes] = []
    background.changed.connect(heard.append)
    background.write(QObject(), lambda c: projects.create(c, "A"))
    qtbot.waitUntil(lambda: bool(heard))
    background.poll()
    qtbot.wait(30)
    assert [changes.topics for changes in heard] == [frozenset({Topic.PROJECTS})]


def test_another_process_is_noticed(qtbot: QtBot, background: Background, database: Database) -> None:
    heard: list[Changes] = []
    background.changed.connect(heard.append)
    other = Database.open(database.path)
    other.run(lambda c: projects.create(c, "B"))
    other.close()
    background.poll()
    qtbot.waitUntil(lambda: bool(heard))
    assert heard[0].touches(Topic.RUNS)


def test_failures_go_to_their_handler_or_to_everybody(qtbot: QtBot, background: Background) -> None:
    owner, told, everybody = QObject(), [], []
    background.failed.connect(everybody.append)
    background.write(owner, lambda c: projects.create(c, " "), None, told.append)
    qtbot.waitUntil(lambda: bool(told))
    assert isinstance(told[0], ConflictError)
    assert not everybody
    background.call(owner, lambda: 1 / 0)
    qtbot.waitUntil(lambda: bool(everybody))
    assert isinstance(everybody[0], ZeroDivisionError)


def test_nothing_is_delivered_to_who_is_gone(qtbot: QtBot, background: Background) -> None:
    owner, stays, told = QObject(), QObject(), []
    gate = threading.Event()
    background.call(owner, gate.wait, lambda _result: told.append("gone"))
    shiboken6.delete(owner)
    gate.set()
    background.call(stays, lambda: "here", told.append)
    qtbot.waitUntil(lambda: "here" in told)
    qtbot.wait(30)
    assert told == ["here"]


def test_after_closing_nothing_is_taken(qtbot: QtBot, background: Background) -> None:
    background.close()
    told: list[object] = []
    background.call(background, lambda: 1, told.append)
    background.write(background, lambda c: None, told.append)
    qtbot.wait(30)
    assert not told
    assert background.writes_waiting == 0
