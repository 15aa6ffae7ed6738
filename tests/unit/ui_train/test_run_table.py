"""The order of runs and what is said of them."""

from __future__ import annotations

import dataclasses
import datetime

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from studio.jobs.values import RunView
from studio.ui.train.run_table import HEADS, NAME, PROGRESS, STATE, RunModel, RunTable
from studio.ui.train.words import Section, ordered, section, sentence, state_text
from studio.ui.widgets.parts import duration, plural, size_text
from trainer.contract.records import RunState


def view(id: int, state: RunState, **more: object) -> RunView:
    return RunView(id, f"{id:032x}", f"run-{id}", "prm", state, "cpu", **more)  # type: ignore[arg-type]


EVERY = tuple(view(number, state, place=-number) for number, state in enumerate(RunState, 1))


def test_every_state_has_its_section_word_and_sentence() -> None:
    for each in EVERY:
        assert section(each) in Section
        assert state_text(each)
        assert sentence(each)[0].isupper()
        assert sentence(each).endswith(".")


def test_now_stands_first_then_the_unknown_then_the_queue_as_it_will_start() -> None:
    queued = [view(20, RunState.QUEUED, place=2.0), view(21, RunState.QUEUED, place=1.0)]
    found = ordered((*EVERY, *queued))
    sections = [section(each) for each in found]
    assert sections == sorted(sections, key=list(Section).index)
    waiting = [each.place for each in found if each.state is RunState.QUEUED]
    assert waiting == sorted(waiting)
    done = [each.id for each in found if section(each) is Section.DONE]
    assert done == sorted(done, reverse=True)


@pytest.mark.parametrize(
    ("state", "wanted"), [(RunState.SILENT, "silent for 40 s"), (RunState.LOST, "lost contact for 4 min")]
)
def test_silence_tells_since_when(state: RunState, wanted: str) -> None:
    seconds = 40.0 if state is RunState.SILENT else 240.0
    assert state_text(view(1, state, silent_seconds=seconds)) == wanted
    assert duration(seconds) in sentence(view(1, state, silent_seconds=seconds, host="gpu4"))
    assert "gpu4" in sentence(view(1, state, silent_seconds=seconds, host="gpu4"))


def test_a_wish_on_its_way_is_told() -> None:
    assert state_text(view(1, RunState.RUNNING, asked="pause")) == "pausing…"
    assert "checkpoint" in sentence(view(1, RunState.RUNNING, asked="pause"))


def test_a_run_that_waits_for_requests_says_until_when() -> None:
    end = datetime.datetime(2026, 3, 1, 14, 32).astimezone().timestamp()
    ready = view(1, RunState.RUNNING, resident=True, idle_end=end)
    assert state_text(ready) == "ready until 14:32"
    assert sentence(ready).endswith("and ends at 14:32 if none comes.")
    assert state_text(view(1, RunState.RUNNING, resident=True)) == "running"


def test_why_is_said_once() -> None:
    assert sentence(view(1, RunState.FAILED, message="out of memory at step 3")) == "Failed. Out of memory at step 3."
    assert sentence(view(1, RunState.FINISHED, message="finished")).count("inished") == 1


def test_the_table_keeps_choice_and_ticks_while_runs_move(qtbot: QtBot) -> None:
    model = RunModel()
    table = RunTable(model)
    qtbot.addWidget(table)
    chosen: list[int | None] = []
    table.chosen.connect(chosen.append)
    first, second = view(1, RunState.RUNNING, done=1, total=10), view(2, RunState.QUEUED)
    model.show_runs((second, first))
    table.choose(2)
    model.tick(1, True)
    model.tick(2, True)
    colours = {t.run_id: t.colour for t in model.ticked()}
    assert len(set(colours.values())) == 2
    told = len(chosen)
    finished = dataclasses.replace(first, state=RunState.FINISHED)
    model.show_runs((dataclasses.replace(second, state=RunState.RUNNING), finished))
    assert table.run_id == 2
    assert len(chosen) == told, "the choice did not change"
    assert {t.run_id: t.colour for t in model.ticked()} == colours
    model.show_runs((finished,))
    assert table.run_id == 1
    assert {t.run_id for t in model.ticked()} == {1}
    model.show_runs(())
    assert chosen[-1] is None


def test_progress_alone_resets_nothing(qtbot: QtBot) -> None:
    model = RunModel()
    run = view(1, RunState.RUNNING, done=1, total=1000)
    model.show_runs((run,))
    resets: list[bool] = []
    model.modelReset.connect(lambda: resets.append(True))
    with qtbot.waitSignal(model.dataChanged):
        model.show_runs((dataclasses.replace(run, done=2),))
    assert not resets
    assert model.data(model.index(0, PROGRESS)) == "2 / 1,000"
    assert model.data(model.index(0, STATE)) == "now: running"


def test_every_cell_speaks_to_a_screen_reader(qtbot: QtBot) -> None:
    model = RunModel()
    model.show_runs(EVERY)
    for row in range(model.rowCount()):
        said = model.data(model.index(row, NAME), Qt.ItemDataRole.AccessibleTextRole)
        assert str(said).startswith(HEADS[NAME])


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [
        (0.25, "0.2 s"),
        (1.6, "2 s"),
        (59, "59 s"),
        (100, "2 min"),
        (3600, "1 h"),
        (30000, "8 h 20 min"),
        (2e5, "2 days 7 h"),
    ],
)
def test_spans_of_time(seconds: float, wanted: str) -> None:
    assert duration(seconds) == wanted


def test_sizes_and_counts() -> None:
    assert [size_text(n) for n in (0, 999, 21_600_000, 212e9)] == ["0 B", "999 B", "21.6 MB", "212 GB"]
    assert [plural(n, "row") for n in (0, 1, 1204)] == ["0 rows", "1 row", "1,204 rows"]
