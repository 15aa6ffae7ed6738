"""The command line as a child process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from studio.jobs import children
from studio.ui.widgets.child_process import ChildProcess, Progress


@pytest.fixture
def child(qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ChildProcess]:
    """A child that runs this Python instead of `steplens`, under the same protocol."""

    def make(program: str) -> ChildProcess:
        script = tmp_path / "verb.py"
        script.write_text(
            "import json, signal, sys, time\nsay = lambda **o: print(json.dumps(o), flush=True)\n" + program
        )
        monkeypatch.setattr(children, "command", lambda *arguments: [sys.executable, str(script), *arguments])
        made = ChildProcess(["verb", "--option"])
        made.heard = []  # type: ignore[attr-defined]
        for name in ("reported", "failed", "progressed"):
            getattr(made, name).connect(lambda value, name=name: made.heard.append((name, value)))
        made.cancelled.connect(lambda: made.heard.append(("cancelled", None)))
        return made

    return make


def run(qtbot: QtBot, made: ChildProcess) -> dict[str, object]:
    with qtbot.waitSignal(made.ended):
        made.start()
    return dict(made.heard)  # type: ignore[attr-defined]


def test_progress_then_a_report(qtbot: QtBot, child: Callable[[str], ChildProcess]) -> None:
    made = child("say(phase='check', done=1, total=2, text='x'); say(report={'args': sys.argv[1:]})")
    heard = run(qtbot, made)
    assert heard["progressed"] == Progress("check", 1, 2, "x")
    assert heard["reported"] == {"args": ["verb", "--progress", "json", "--option"]}
    assert not made.running


def test_a_report_counts_even_with_an_exit_code(qtbot: QtBot, child: Callable[[str], ChildProcess]) -> None:
    made = child("say(report={'broken': 1}); sys.exit(1)")
    assert run(qtbot, made)["reported"] == {"broken": 1}
    assert made.exit_code == 1


def test_without_a_report_the_reason_is_what_it_wrote_last(qtbot: QtBot, child: Callable[[str], ChildProcess]) -> None:
    heard = run(qtbot, child("print('no JSON'); print('steplens: the disk is full', file=sys.stderr); sys.exit(1)"))
    assert "exit code 1" in str(heard["failed"])
    assert "the disk is full" in str(heard["failed"])


def test_cancel_lets_it_clean_up(qtbot: QtBot, child: Callable[[str], ChildProcess], tmp_path: Path) -> None:
    cleaned = tmp_path / "cleaned"
    made = child(
        "def stop(*_):\n"
        f"    open({str(cleaned)!r}, 'w').close(); sys.exit(130)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "say(phase='work', done=0, total=0)\n"
        "while True: time.sleep(0.05)"
    )
    with qtbot.waitSignal(made.progressed):
        made.start()
    with qtbot.waitSignal(made.ended):
        made.cancel()
    assert ("cancelled", None) in made.heard  # type: ignore[attr-defined]
    assert cleaned.exists()


def test_a_child_that_is_cleaning_up_is_not_killed(qtbot: QtBot, child: Callable[[str], ChildProcess]) -> None:
    made = child(
        "stopped = []\n"
        "signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))\n"
        "say(phase='work', done=0, total=0)\n"
        "while not stopped: time.sleep(0.01)\n"
        "for line in sys.stdin: say(phase='clean up', done=0, total=0)\n"
        "sys.exit(130)"
    )
    with qtbot.waitSignal(made.progressed):
        made.start()
    made.cancel()
    given: list[int] = []
    made._killer.start = lambda: given.append(1)  # type: ignore[method-assign]
    for _ in range(3):
        before = len(given)
        with qtbot.waitSignal(made.progressed):
            made._process.write(b"go on\n")
        assert len(given) > before, "each sign of life gives it the whole time again"  # a line may come in two reads
    with qtbot.waitSignal(made.ended):
        made._process.closeWriteChannel()
    assert ("cancelled", None) in made.heard  # type: ignore[attr-defined]


def test_a_killed_child_is_a_failure(qtbot: QtBot, child: Callable[[str], ChildProcess]) -> None:
    assert "killed or crashed" in str(run(qtbot, child("import os; os.kill(os.getpid(), 9)"))["failed"])


def test_a_program_that_is_not_there(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "command", lambda *_: ["/nowhere/python"])
    made, heard = ChildProcess(["verb"]), []
    made.failed.connect(heard.append)
    with qtbot.waitSignal(made.ended):
        made.start()
    assert "/nowhere/python could not be started" in heard[0]
