"""Fixtures of the stories: a workspace to sit down at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from tests.e2e.seat import Seat, fill_workspace


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workspace with three traces of four steps in the project Algebra."""
    path = tmp_path / "workspace"
    fill_workspace(path)
    return path


@pytest.fixture
def sit_down(qtbot: QtBot, folder: Path) -> Callable[[], Seat]:
    """Open the window, as often as the story wants."""
    return lambda: Seat(qtbot, folder)
