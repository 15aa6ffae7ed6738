"""Two annotators on the same traces see nothing of each other."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from studio.store import projects
from tests.e2e.seat import Seat, fill_workspace


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """Every trace is wanted from two people."""
    path = tmp_path / "workspace"
    fill_workspace(path, count=2, overlap=2)
    return path


def test_the_second_annotator_starts_blind_and_the_first_finds_their_own(qtbot: QtBot, shared: Path) -> None:
    with Seat(qtbot, shared, name="Ada") as seat:
        seat.wait_painted()
        first = seat.work.trace.id
        seat.press("3 3 1")
        seat.wait_saved()
        ada = seat.context.annotator
        ben = seat.context.workspace.database.run(lambda c: projects.ensure_annotator(c, "Ben"))
        seat.context.switch_annotator(ben)
        seat.wait(lambda: seat.page.work is not None and seat.ratings() == [None] * 4)
        seat.wait_painted()
        seat.press("2")
        seat.wait_saved()
        assert "Ben" in seat.window.status.annotator.text()
        seat.context.switch_annotator(ada)
        seat.wait(lambda: seat.page.work is not None and seat.ratings() == [1, 1, -1, None])
        assert seat.work.trace.id == first
