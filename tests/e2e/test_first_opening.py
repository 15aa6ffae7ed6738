"""A workspace that the command line filled shows its first trace without drawing a single formula."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot

from studio.app import this_annotator
from studio.filling import first_formulas
from studio.helpers.pool import HelperPool
from studio.render.mask_store import MaskStore
from studio.settings import FormulaSizes, Settings
from studio.ui.widgets.text_style import formula_sizes
from studio.workspace import Workspace
from tests.e2e.seat import ALGEBRA, Seat, fill_workspace


def record(number: int) -> dict[str, Any]:
    steps = [f"{step} With $y_{{{number}}}=\\sqrt{{{number}}}$." for step in ALGEBRA]
    steps[-1] += "\n\n# Answer\n\n\\frac{14}{1}"
    return {
        "labeler": "5e1ec7ed00004000800000000000000a",
        "timestamp": "2023-01-22T04:34:27.052924",
        "generation": None,
        "is_quality_control_question": False,
        "is_initial_screening_question": False,
        "question": {
            "problem": f"A fraction is worth $\\frac{{2}}{{5}}$, its denominator is ${number}x-7$. What is $x$?",
            "ground_truth_answer": "\\frac{14}{1}",
            "pre_generated_steps": steps,
            "pre_generated_answer": "\\frac{14}{1}",
        },
        "label": {"steps": [], "total_time": 1, "finish_reason": "give_up"},
    }


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(record(number)) + "\n" for number in range(3, 43)))
    return path


def steplens(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "studio", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """The LaTeX that helpers of this process are asked for, and whether it was urgent."""
    asked: list[tuple[str, bool]] = []
    submit = HelperPool.submit

    def counted(pool: HelperPool, target: str, argument: Any, done: Any, *, urgent: bool = True) -> Callable[[], None]:
        asked.extend((latex, urgent) for latex, _, _ in argument)
        return submit(pool, target, argument, done, urgent=urgent)

    monkeypatch.setattr(HelperPool, "submit", counted)
    return asked


def test_the_first_opening_after_an_import_draws_nothing(
    qtbot: QtBot, tmp_path: Path, rows: Path, drawn: list[tuple[str, bool]]
) -> None:
    folder = tmp_path / "filled"
    done = steplens("import", rows, "--workspace", folder, "--project", "Filled", "--progress", "json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert any(line.get("phase") == "draw formulas" for line in lines)
    assert "report" in lines[-1]
    seat = Seat(qtbot, folder)
    with seat:
        seat.wait_painted()
        shown = [seat.work.trace.step_text(i) for i in range(len(seat.work.trace.segmentation.steps))]
        assert "\\sqrt" in "".join(shown)
        assert [latex for latex, urgent in drawn if urgent] == []


def test_a_known_person_opens_a_new_workspace_without_writing_the_settings(
    qtbot: QtBot, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Seat(qtbot, folder) as seat:
        seat.wait_painted()
    other = tmp_path / "other"
    fill_workspace(other)
    written: list[dict[str, Any]] = []
    monkeypatch.setattr(Settings, "update", lambda _settings, _path=None, **changes: written.append(changes))
    with Workspace.open(other) as workspace:
        person = this_annotator(workspace.database, Settings.load())
    assert person.uid == Settings.load().annotator_uid
    assert written == []


@pytest.mark.parametrize("error", [KeyError("uid not found"), OSError("no name")])
def test_a_user_without_a_name_on_this_machine_is_an_annotator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def nameless() -> str:
        raise error

    monkeypatch.setattr("getpass.getuser", nameless)
    monkeypatch.setattr(Settings, "update", lambda *_args, **_changes: None)
    with Workspace.open(tmp_path / "workspace", create=True) as workspace:
        assert this_annotator(workspace.database, Settings()).name == "Annotator"


def test_without_the_cache_the_same_window_draws(
    qtbot: QtBot, tmp_path: Path, rows: Path, drawn: list[tuple[str, bool]]
) -> None:
    folder = tmp_path / "filled"
    assert steplens("import", rows, "--workspace", folder).returncode == 0
    for path in (folder / "cache").glob("maths*"):
        path.unlink()
    seat = Seat(qtbot, folder)
    with seat:
        seat.wait_painted()
        assert [latex for latex, urgent in drawn if urgent]


def test_the_sizes_are_those_of_the_window(qtbot: QtBot, folder: Path) -> None:
    seat = Seat(qtbot, folder)
    with seat:
        seat.wait_painted()
        ratio = seat.window.devicePixelRatioF()
        assert formula_sizes(seat.studio.theme, ratio) == FormulaSizes()  # offscreen, at 96 dpi
        seat.studio.theme.zoom(150)
    kept = Settings.load().formula_sizes
    assert kept.step > FormulaSizes().step
    assert kept.title > FormulaSizes().title
    with Workspace.open(folder) as workspace, workspace.database.read() as c:
        sizes = {sized.quarters for sized in first_formulas(c, Settings.load())}
    assert sizes == {kept.step, kept.problem, kept.title}


def test_what_cannot_be_drawn_ahead_does_not_fail_the_import(tmp_path: Path, rows: Path) -> None:
    folder = tmp_path / "filled"
    (folder / "cache").mkdir(parents=True)
    (folder / "cache" / "maths.db").mkdir()  # no file can be made there
    done = steplens("import", rows, "--workspace", folder)
    assert done.returncode == 0, done.stderr
    assert "40" in done.stdout
    assert "maths.db" in done.stderr


def test_the_sample_is_drawn_ahead_too(tmp_path: Path) -> None:
    assert steplens("sample", "--workspace", tmp_path / "w").returncode == 0
    with Workspace.open(tmp_path / "w") as workspace:
        with workspace.database.read() as c:
            wanted = set(first_formulas(c, Settings.load()))
        store = MaskStore(workspace.cache / "maths.db")
        there = store.load(wanted)
        store.close()
    assert len(wanted) > 30
    assert set(there) == wanted
