"""The training packages as a job of the window."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from studio.settings import Settings
from studio.ui.train.packages import Packages, PackagesState
from studio.ui.train.packages_banner import PackagesBanner
from tests.e2e.seat import Seat, fill_workspace


@pytest.fixture
def seat(qtbot: QtBot, tmp_path: Path) -> Iterator[Seat]:
    fill_workspace(tmp_path / "workspace", count=1)
    with Seat(qtbot, tmp_path / "workspace") as made:
        yield made


def interpreter(folder: Path, pip: str) -> str:
    """A Python that has no training packages, and whose pip does what is said."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\n[ "$2" = pip ] && {{ {pip}; }}\nexec {sys.executable} -S "$@"\n', "utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def looked(seat: Seat, program: str) -> Packages:
    seat.studio.settings.update(interpreter=program)
    packages = Packages(seat.context)
    with seat.qtbot.waitSignal(packages.changed):
        packages.look()
    return packages


def test_what_is_missing_is_named_and_installed_when_asked(seat: Seat, tmp_path: Path) -> None:
    packages = looked(seat, interpreter(tmp_path, "echo Collecting torch; echo Collecting peft; exit 0"))
    assert packages.state is PackagesState.MISSING
    assert "torch" in packages.text
    assert not packages.allows_start
    heard: list[object] = []
    packages.progressed.connect(lambda progress: heard.append(progress.done))
    with seat.qtbot.waitSignal(packages.ended):
        packages.install()
    assert packages.state is PackagesState.READY
    assert packages.allows_start
    assert heard == [1, 2]
    assert "Collecting torch" in packages.log_text()


def test_cancel_stops_pip_and_leaves_the_choice(seat: Seat, tmp_path: Path) -> None:
    packages = looked(seat, interpreter(tmp_path, "echo Collecting torch; sleep 60"))
    with seat.qtbot.waitSignal(packages.progressed):
        packages.install()
    assert packages.state is PackagesState.INSTALLING
    with seat.qtbot.waitSignal(packages.ended):
        packages.cancel()
    assert (packages.state, packages.text) == (PackagesState.MISSING, "cancelled")


def test_a_failure_says_why(seat: Seat, tmp_path: Path) -> None:
    packages = looked(seat, interpreter(tmp_path, "echo no space left; exit 7"))
    with seat.qtbot.waitSignal(packages.ended):
        packages.install()
    assert packages.state is PackagesState.MISSING
    assert "code 7" in packages.text
    assert "no space left" in packages.text


def test_an_interpreter_that_is_none_is_explained(seat: Seat, tmp_path: Path) -> None:
    packages = looked(seat, str(tmp_path / "nothing"))
    assert packages.state is PackagesState.BROKEN
    assert "nothing" in packages.text


def test_the_banner_stands_only_while_something_is_missing(seat: Seat, tmp_path: Path) -> None:
    packages = seat.context.packages
    seat.wait(lambda: packages.state is not PackagesState.UNKNOWN)
    banner = PackagesBanner(seat.context, seat.window)
    seat.qtbot.addWidget(banner)
    assert packages.state is PackagesState.READY
    assert not banner.isVisibleTo(seat.window)
    packages._say(PackagesState.MISSING, "torch is missing")
    assert banner.isVisibleTo(seat.window)
    assert banner.install.isVisibleTo(banner)
    assert not banner.cancel.isVisibleTo(banner)
    packages._say(PackagesState.INSTALLING, "Collecting torch")
    assert banner.cancel.isVisibleTo(banner)
    assert banner.text.text() == "Collecting torch"
    assert Settings.load().interpreter == ""
