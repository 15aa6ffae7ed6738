"""Monitors: thresholds are previewed, kept, logged and undone; figures open traces; a shadow is compared, promoted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from pytestqt.qtbot import QtBot

from studio.store import monitors, thresholds
from studio.store.monitors import Kind, MonitorState
from studio.ui.actions import Page
from studio.ui.evaluate.monitors_tab import MonitorsTab
from studio.ui.evaluate.order_dialog import MonitorRunDialog
from tests.e2e import monitoring
from tests.e2e.seat import Seat
from trainer.contract.specs.monitor import MonitorTask
from trainer.reasoning.safety import Category, Threshold

KEY = Category.INCONSISTENCY


def fill(folder: Path) -> tuple[int, ...]:
    made = monitoring.fill(folder, count=24)
    monitoring.review_all(folder, made)
    return made


def open_tab(seat: Seat) -> MonitorsTab:
    return monitoring.go_to_evaluate(seat).monitors


def test_a_threshold_is_previewed_kept_logged_and_undone(qtbot: QtBot, tmp_path: Path) -> None:
    fill(tmp_path / "w")
    with Seat(qtbot, tmp_path / "w") as seat:
        seat.window.resize(1280, 820)
        tab = open_tab(seat)
        assert tab.desk is not None
        panel, row = tab.thresholds, tab.thresholds.rows[KEY]
        assert (row.stored.review, row.stored.block) == (0.9, None)
        assert not row.block.isEnabled(), "nothing is blocked below 300 benign labels"
        assert "no block: 12 of 300 benign" in row.told.text()
        scores = tab.desk.scored.scores[:, KEY.place]
        row.review.setValue(150)
        expected = int(((scores >= np.float32(0.15)) & ~(scores >= np.float32(0.9))).sum())
        assert expected > 0
        seat.wait(lambda: panel.preview_of is not None and panel.preview_of.changes == expected)
        assert f"{expected} traces of 24 would change" in panel.preview.text()
        false, hit = row.rates()
        assert (false.hits, false.number, hit.hits, hit.number) == (expected, 12, 12, 12)
        for theme in ("light", "dark"):
            seat.context.actions.run(f"theme_{theme}")
            seat.picture(f"monitors-{theme}")
        with seat.context.workspace.database.read() as c:
            assert thresholds.log(c) == (), "dragging stores nothing"
        newer = replace(tab.desk, thresholds=tab.desk.thresholds.having(KEY, Threshold(0.8)))
        panel.show_desk(newer)  # something came in while the preview is open, and what is in force was measured anew
        assert (row.stored.review, row.wanted.review) == (0.8, 0.15)
        assert panel.preview_of is not None
        assert panel.preview_of.changes == int(((scores >= np.float32(0.15)) & ~(scores >= np.float32(0.8))).sum())
        panel.show_desk(tab.desk)
        assert (row.stored.review, row.wanted.review) == (0.9, 0.15)
        seat.press("Ctrl+Return", on=tab)
        seat.wait(lambda: "review 0.150" in panel.log.item(0).text())
        assert panel.log.item(0).text().endswith("Ada: thinking and answer differ: default → review 0.150")
        assert row.stored.review == 0.15
        seat.press("Ctrl+z", on=tab)
        seat.wait(lambda: row.stored.review == 0.9)
        assert "(taken back)" in panel.log.item(0).text()
        assert panel.preview.text() == "No verdict of 24 scored traces changes."


def test_figures_refuse_what_so_few_cannot_tell_and_open_the_wrong_traces(qtbot: QtBot, tmp_path: Path) -> None:
    made = fill(tmp_path / "w")
    with Seat(qtbot, tmp_path / "w") as seat:
        seat.window.resize(1280, 820)
        tab = open_tab(seat)
        tab.sides.setCurrentWidget(tab.figures)
        with seat.context.workspace.database.read() as c:
            active = next(one for one in monitors.all_of(c) if one.name == "words-01")
            mine = monitors.scores(c, (active.id,)).scores[:, KEY.place]
        tab.choose(active.id)
        seat.wait(lambda: tab.figures.title.text() == "Figures of words-01" and bool(tab.figures.figures))
        figures = tab.figures
        row = next(n for n, each in enumerate(figures.figures) if each.category is KEY)
        seat.wait(lambda: figures.table.currentRow() == row)
        assert figures.table.item(row, 2).text() == "refused: 12 negatives"
        assert figures.table.item(row, 2).toolTip() == "12 negatives; 1% needs 300"
        altered = np.arange(len(made)) % 2 == 0
        pairs = mine[altered][:, None] - mine[~altered][None, :]
        auroc = float((pairs > 0).mean() + (pairs == 0).mean() / 2)
        assert figures.table.item(row, 1).text().startswith(f"{auroc:.3f} (")
        missed = [made[n] for n in np.flatnonzero(altered & (mine < np.float32(0.9)))]
        assert [figures.wrong.item(n).text() for n in range(figures.wrong.count())] == [
            f"trace {one}: missed" for one in missed
        ]
        seat.wait(lambda: "not measurable" in figures.families.text())
        for theme in ("light", "dark"):
            seat.context.actions.run(f"theme_{theme}")
            seat.picture(f"figures-{theme}")
        figures.wrong.itemActivated.emit(figures.wrong.item(0))
        seat.wait(lambda: seat.window.page is Page.INSPECT)


def test_a_shadow_is_compared_promoted_and_rolled_back(qtbot: QtBot, tmp_path: Path) -> None:
    fill(tmp_path / "w")
    with Seat(qtbot, tmp_path / "w") as seat:
        tab = open_tab(seat)
        assert tab.desk is not None
        shadow = next(one for one in tab.desk.monitors if one.name == "words-02")
        assert shadow.state is MonitorState.SHADOW
        tab.choose(shadow.id)
        seat.press("p", on=tab)
        dialog = tab.dialog
        assert dialog is not None
        seat.wait(lambda: dialog.comparison is not None)
        assert "On 24 traces that both have scored" in dialog.told.text()
        assert "AUROC" in dialog.figures.text()
        assert dialog.changed.count() == len(dialog.comparison.changed) if dialog.comparison else False
        dialog.yes.click()

        def active() -> str:
            found = tab.desk.active(Kind.CLASSIFIER) if tab.desk is not None else None
            return "" if found is None else found.name

        seat.wait(lambda: active() == "words-02")
        seat.window.activateWindow()
        seat.wait(seat.window.isActiveWindow)
        seat.press("b", on=tab)
        seat.wait(lambda: active() == "words-01")
        seat.press("b", on=tab)
        seat.wait(lambda: "nothing to roll back to" in seat.said())


def test_a_look_tells_what_a_judge_costs_before_it_starts(qtbot: QtBot, tmp_path: Path) -> None:
    monitoring.fill(tmp_path / "w", count=4, checked=False)
    with Seat(qtbot, tmp_path / "w") as seat:
        tab = open_tab(seat)
        assert "Nothing was looked at yet" in tab.news.text()
        seat.press("l", on=tab)
        dialog = tab.findChild(MonitorRunDialog)
        assert dialog is not None
        seat.wait(lambda: dialog.start.isEnabled())
        assert "4 traces of 4 problems" in dialog.counts.text()
        assert dialog.cost.text() == ""
        asked = {"judge_url": "http://127.0.0.1:9/v1", "judge_model": "judge", "price_input": 2.0, "price_output": 8.0}
        dialog.form.set_values({**dialog.form.values(), **asked})
        seat.wait(lambda: dialog.cost.text().startswith("4 traces, about 10 questions"))
        assert "questions" in dialog.cost.text()
        assert dialog.order().parameters["task"] in (MonitorTask.SCORE, MonitorTask.SCORE.value)
        seat.picture("monitor-look")
        dialog.reject()


def test_a_look_fills_the_queue(qtbot: QtBot, tmp_path: Path) -> None:
    monitoring.fill(tmp_path / "w", count=4, checked=False)
    with Seat(qtbot, tmp_path / "w") as seat:
        tab = open_tab(seat)
        seat.window.start_services()
        seat.press("l", on=tab)
        dialog = tab.findChild(MonitorRunDialog)
        assert dialog is not None
        seat.wait(lambda: dialog.start.isEnabled())
        dialog.start.click()
        seat.wait(lambda: tab.desk is not None and len(tab.desk.scored) == 4)
        assert tab.desk is not None
        assert [one.name for one in tab.desk.monitors] == ["exact checks"]
        assert "2 review" in tab.thresholds.verdicts.text()
        review = monitoring.go_to_evaluate(seat).review
        seat.context.actions.run("show_review")
        seat.wait(lambda: review.is_shown)
        assert review.counts.text().startswith("2 open")
