"""Results of models: the table, the problems behind a cell and their traces, curves, two models, export, a new one."""

from __future__ import annotations

import csv
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from studio.jobs.prepare import create_run
from studio.jobs.values import RunOrder
from studio.store import runs
from studio.store.runs import StoredState
from studio.ui.actions import Page
from studio.ui.evaluate import models_export, models_tiny
from studio.ui.evaluate.models_behind import Wanted
from studio.ui.evaluate.models_curves import Curve
from studio.ui.evaluate.models_tab import ModelsTab
from studio.ui.evaluate.page import EvaluatePage
from studio.ui.inspect.page import InspectPage
from studio.workspace import Workspace
from tests.e2e import evaluating
from tests.e2e.evaluating import PROBLEMS, go_to_models, grades
from tests.e2e.seat import PICTURES, Seat
from trainer.contract.records import Record, RunState
from trainer.reasoning.paired import mcnemar


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One workspace for the stories that only read."""
    folder = tmp_path_factory.mktemp("evaluations") / "w"
    evaluating.fill(folder)
    return folder


def place_of(tab: ModelsTab, row: str, suite: str, compute: str) -> tuple[int, int]:
    made = tab.table.grid
    down = next(n for n, name in enumerate(made.rows) if name.startswith(row))
    across = next(n for n, each in enumerate(made.columns) if (each.heading, each.compute) == (suite, compute))
    return down, across


def test_the_table_says_what_the_records_say_and_a_cell_opens_its_traces(qtbot: QtBot, filled: Path) -> None:
    with Seat(qtbot, filled) as seat:
        seat.window.resize(1360, 860)
        tab = go_to_models(seat)
        table = tab.table
        assert [(each.heading, each.compute) for each in table.grid.columns] == [
            ("GSM8K", "low"), ("GSM8K", "high"), ("ARC-AGI", ""), ("ProcessBench", ""),
        ]  # fmt: skip
        small, large = place_of(tab, "small", "GSM8K", "low"), place_of(tab, "large", "GSM8K", "low")
        share = {
            name: np.mean([np.mean(grades(name, "low", 256, n, 2)) for n in range(PROBLEMS)])
            for name in ("small", "large")
        }
        for name, at in (("small", small), ("large", large)):
            item = table.item(*at)
            assert item is not None
            assert item.data(256).startswith(f"{100 * share[name]:.1f} ± ")
            assert "n 24 · 12% cut" in item.data(257)
            best = name == max(share, key=lambda each: share[each])
            assert item.font().bold() is best
            assert item.data(Qt.ItemDataRole.AccessibleTextRole).endswith(", best") is best
        table.setCurrentCell(*small)
        table.setFocus()
        QTest.keyClick(table, Qt.Key.Key_Return)
        problems = tab.problems
        seat.wait(lambda: problems.behind is not None and problems.behind.title.startswith("small · GSM8K · low"))
        assert problems.list.hasFocus()
        right = sum(all(grades("small", "low", 256, n, 2)) for n in range(PROBLEMS))
        problems.show_only(Wanted.RIGHT)
        assert len(problems.model.lines) == right > 0
        problems.show_only(Wanted.DIFFER)
        (line,) = problems.model.lines
        assert line.solved.row == "gsm8k:3"
        problems.show_only(Wanted.ALL)
        for theme in ("light", "dark"):
            seat.context.actions.run(f"theme_{theme}")
            seat.picture(f"models-{theme}")
        problems.list.setFocus()
        QTest.keyClick(problems.list, Qt.Key.Key_Return)
        assert problems.samples.hasFocus(), "of two samples one is chosen"
        QTest.keyClick(problems.samples, Qt.Key.Key_Return)
        seat.wait(lambda: seat.window.page is Page.INSPECT)
        inspect = seat.window.page_widget(Page.INSPECT)
        assert isinstance(inspect, InspectPage)
        seat.wait(lambda: inspect.shown is not None)


def test_curves_open_what_is_behind_their_points(qtbot: QtBot, filled: Path) -> None:
    with Seat(qtbot, filled) as seat:
        seat.window.resize(1360, 860)
        tab = go_to_models(seat)
        curves, chart = tab.curves, tab.curves.chart
        tab.table.setCurrentCell(*place_of(tab, "small", "GSM8K", "low"))
        seat.press("g", on=tab.table)
        assert chart.hasFocus()
        seat.wait(lambda: len(chart.drawing.series) == 2)
        names = {each.name: each for each in chart.drawing.series}
        low = names["small · sm"]
        assert [point.x for point in low.points] == [32 + 11.5, 128 + 11.5, 512 + 11.5]
        assert ["low compute" in point.told for point in low.points] == [True, True, False]
        share = np.mean([np.mean(grades("small", "low", 64, n, 2)) for n in range(PROBLEMS)])
        assert low.points[0].y == pytest.approx(share)
        assert low.points[0].low < share < low.points[0].high
        for theme in ("light", "dark"):
            seat.context.actions.run(f"theme_{theme}")
            seat.picture(f"models-curves-{theme}")
        place = chart.place_of(low.points[0]).toPoint()
        QTest.mouseClick(chart, Qt.MouseButton.LeftButton, pos=place)
        seat.wait(lambda: tab.problems.title.text().endswith("64 tokens of thinking"))
        assert tab.sides.currentWidget() is tab.problems
        tab.sides.setCurrentWidget(curves)
        curves.choose(Curve.SAMPLES)
        seat.wait(lambda: [each.name for each in chart.drawing.series][:2] == ["pass@k", "maj@k"])
        passed = chart.drawing.series[0].points
        some = [grades("small", "low", 256, n, 2) for n in range(PROBLEMS)]
        assert [point.y for point in passed] == pytest.approx([np.mean(some), np.mean([any(each) for each in some])])
        best = next(each for each in chart.drawing.series if each.name == "best-of-k")
        assert best.points[1].y == passed[1].y, "the PRM prefers right samples"
        chart.setFocus()
        for key in (Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Return):
            QTest.keyClick(chart, key)
        assert tab.problems.title.text().endswith("pass@2")
        tab.problems.show_only(Wanted.RIGHT)
        assert len(tab.problems.model.lines) == sum(any(each) for each in some)


def test_a_prm_has_first_errors_by_subset_and_calibration(qtbot: QtBot, filled: Path) -> None:
    with Seat(qtbot, filled) as seat:
        seat.window.resize(1360, 860)
        tab = go_to_models(seat)
        chart = tab.curves.chart
        tab.table.setCurrentCell(*place_of(tab, "judge", "ProcessBench", ""))
        seat.press("g", on=tab.table)
        seat.wait(lambda: chart.drawing.ticks == ("gsm8k", "math"))
        # gsm8k has the even rows: nothing wrong in 0 and 6, and 2, 4, 8, 10 caught: both shares are 1
        # math has the odd ones: 3 and 9 without an error, 1 and 5 missed, 7 and 11 caught: 2 * 1 * 0.5 / 1.5
        assert [point.y for point in chart.drawing.series[0].points] == pytest.approx([1.0, 2 / 3])
        seat.picture("models-first-errors")
        tab.curves.choose(Curve.CALIBRATION)
        seat.wait(lambda: chart.drawing.diagonal)
        known = {round(point.x, 4): point.y for point in chart.drawing.series[0].points}
        assert known == pytest.approx({0.2: 0.0, 0.6: 1.0, 0.8: 4 / 6, 0.9: 1.0})
        seat.picture("models-calibration")


def test_grids_are_pictures(qtbot: QtBot, filled: Path) -> None:
    with Seat(qtbot, filled) as seat:
        seat.window.resize(1360, 860)
        tab = go_to_models(seat)
        tab.table.setCurrentCell(*place_of(tab, "small", "ARC-AGI", ""))
        problems = tab.problems
        seat.wait(lambda: problems.behind is not None and problems.behind.suite == "arc")
        problems.show_only(Wanted.WRONG)
        grids = problems.grids
        assert grids.isVisible()
        assert grids.grids[:2] == (evaluating.GRID, evaluating.TURNED)
        assert grids.wrong == {(0, 0)}
        assert grids.examples == ((evaluating.GRID, evaluating.TURNED),)
        for theme in ("light", "dark"):
            seat.context.actions.run(f"theme_{theme}")
            seat.picture(f"models-arc-{theme}")
        image = grids.grab().toImage()
        found = {image.pixelColor(x, y).name() for x in range(0, image.width(), 3) for y in range(0, image.height(), 3)}
        assert {"#000000", "#0074d9", "#ff4136", "#2ecc40", "#ffdc00", "#aaaaaa"} <= found


def test_two_models_on_the_same_problems(qtbot: QtBot, filled: Path) -> None:
    with Seat(qtbot, filled) as seat:
        seat.window.resize(1360, 860)
        tab = go_to_models(seat)
        compare = tab.compare
        tab.table.setCurrentCell(*place_of(tab, "small", "GSM8K", "low"))
        seat.press("m", on=tab.table)
        seat.wait(lambda: compare.right.count() == 5)
        compare.choose(next(one.key for one in compare.others if (one.key.model, one.key.budget) == ("large", 256)))
        seat.wait(lambda: compare.pairs is not None and "large" in compare.told.text())
        small, large = (
            [float(np.mean(grades(name, "low", 256, n, 2))) for n in range(PROBLEMS)] for name in ("small", "large")
        )
        pairs = list(zip(small, large, strict=True))
        counts = [sum(a > b for a, b in pairs), sum(a < b for a, b in pairs), sum(a == b for a, b in pairs)]
        texts = [button.text().split("\n") for button in compare.squares if button.isVisible()]
        assert [int(count) for _, count in texts] == counts
        assert f"{100 * (np.mean(large) - np.mean(small)):+.1f} points" in compare.told.text()
        assert "McNemar's test does not apply" in compare.told.text()
        seat.picture("models-two")
        QTest.mouseClick(compare.squares[1], Qt.MouseButton.LeftButton)
        assert len(tab.problems.model.lines) == counts[1]
        assert {each.of for each in tab.problems.model.lines[0].tried} == {"small", "large"}


def test_where_all_are_right_or_wrong_mcnemar_says_how_sure_that_is(qtbot: QtBot, tmp_path: Path) -> None:
    def once(uid: str, model: str, right: range) -> list[Record]:
        return [evaluating.sample(uid, f"p{n}", 0, n in right, model=model, version=model) for n in range(20)]

    with Workspace.open(tmp_path / "w", create=True) as workspace:
        evaluating.put(workspace, "one", lambda uid: once(uid, "one", range(4, 12)))
        evaluating.put(workspace, "two", lambda uid: once(uid, "two", range(6, 20)))
    with Seat(qtbot, tmp_path / "w") as seat:
        tab = go_to_models(seat)
        tab.table.setCurrentCell(*place_of(tab, "one", "GSM8K", "low"))
        compare = tab.compare
        seat.wait(lambda: compare.pairs is not None and "one" in compare.left.text())
        texts = [button.text().replace("\n", " ") for button in compare.squares if not button.isHidden()]
        assert texts == ["both right 6", "only one 2", "only two 8", "neither 4"]
        assert f"p = {mcnemar(2, 8):.2g}" in compare.told.text()


def test_exports_are_the_table_and_the_pictures(qtbot: QtBot, filled: Path, tmp_path: Path) -> None:
    with Seat(qtbot, filled) as seat:
        seat.window.resize(1360, 860)
        tab = go_to_models(seat)
        tab.table.setCurrentCell(*place_of(tab, "small", "GSM8K", "low"))
        seat.press("g", on=tab.table)
        seat.wait(lambda: len(tab.curves.chart.drawing.series) == 2)
        texts = models_export.texts_of(tab.cells)
        table = tab.table.whole()
        for name, shown in (("table", table), ("curve", tab.curves.chart)):
            for ending in (".csv", ".md", ".png", ".svg"):
                models_export.write(tmp_path / f"{name}{ending}", texts, shown)
            image, drawing = QImage(str(tmp_path / f"{name}.png")), QSvgRenderer(str(tmp_path / f"{name}.svg"))
            assert (image.width(), image.height()) == (2 * shown.width(), 2 * shown.height())
            assert (drawing.isValid(), drawing.viewBox().size()) == (True, shown.size())
            again = QImage(shown.size(), QImage.Format.Format_RGB32)
            again.fill(Qt.GlobalColor.white)
            with QPainter(again) as painter:
                drawing.render(painter)
            for picture in (image, again):
                assert len(colours(picture)) > 12, "letters and lines, not an empty ground"
            said = "".join(ElementTree.parse(tmp_path / f"{name}.svg").getroot().itertext())
            assert ("tokens of thinking" in said) is (name == "curve")
            assert ("ProcessBench" in said) is (name == "table")
        assert said_of(tmp_path / "table.svg") >= {"small · sm", "large · la", "judge · aa", "83.3 ± 25.0"}
        with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        assert len(rows) == len(tab.cells) == 8
        assert {row["suite"] for row in rows} == {"gsm8k", "arc", "processbench"}
        assert {(row["n"], row["temperature"]) for row in rows if row["suite"] == "gsm8k"} == {("1", "0.0")}
        head, line, *body = (tmp_path / "table.md").read_text("utf-8").splitlines()
        assert head == "| model | GSM8K, low compute | GSM8K, high compute | ARC-AGI | ProcessBench |"
        assert line.count("|") == head.count("|") == body[0].count("|")
        with pytest.raises(OSError, match="could not be written"):
            models_export.write(tmp_path / "nowhere" / "out.png", texts, table)


def colours(picture: QImage) -> set[str]:
    return {
        picture.pixelColor(x, y).name() for x in range(0, picture.width(), 2) for y in range(0, picture.height(), 2)
    }


def said_of(drawing: Path) -> set[str]:
    return {text.strip() for text in ElementTree.parse(drawing).getroot().itertext() if text.strip()}


def test_a_new_evaluation_of_the_tiny_models_runs_and_fills_the_empty_table(qtbot: QtBot, tmp_path: Path) -> None:
    Workspace.open(tmp_path / "w", create=True).close()
    with Seat(qtbot, tmp_path / "w") as seat:
        seat.context.show_page(Page.EVALUATE)
        page = seat.window.page_widget(Page.EVALUATE)
        assert isinstance(page, EvaluatePage)
        tab = page.models
        seat.wait(tab.empty.isVisible)
        seat.picture("models-empty")
        assert tab.empty.button is not None
        tab.empty.button.click()
        dialog = tab.dialog
        assert dialog is not None
        seat.wait(lambda: dialog.problem.text() == "choose the file with the problems of GSM8K")
        found, widget = [], dialog.file.nextInFocusChain()
        while widget is not dialog.file:
            found.append(widget)
            widget = widget.nextInFocusChain()
        wanted = (dialog.choose_file, dialog.choose_folder, dialog.tiny, dialog.device, dialog.close_, dialog.start)
        assert [each for each in found if each in wanted] == list(wanted), "Tab goes from top to bottom"
        dialog.form.set_values({**dialog.form.values(), "strategy": "majority", "n": 8})
        seat.wait(lambda: "majority would choose among 8 copies; set temperature above 0" in dialog.problem.text())
        assert not dialog.start.isEnabled()
        assert dialog.grab().save(str(PICTURES / "models-new-refused.png"))
        dialog.form.set_values({**dialog.form.values(), "strategy": "single"})
        dialog.tiny.click()
        seat.wait(dialog.start.isEnabled)
        assert "60 problems, 60 with a reference answer" in dialog.counts.text()
        assert "240 answers of at most 40 tokens of thinking and 9 of answer" in dialog.answers.text()
        dialog.form.set_values({**dialog.form.values(), "most_problems": 8, "budgets": "8,40", "n": 2})
        seat.wait(lambda: "under each of 2 caps (8, 40): 32 answers" in dialog.answers.text())
        seat.wait(dialog.start.isEnabled)
        assert dialog.grab().save(str(PICTURES / "models-new.png"))
        dialog.start.click()
        seat.wait(lambda: bool(tab.cells))
        assert {cell.key.budget for cell in tab.cells} == {8, 40}
        assert all((cell.problems, cell.samples) == (8, 16) for cell in tab.cells)
        seat.wait(lambda: "not trained in this workspace" in tab.note.text())


def test_an_evaluation_is_cancelled_on_its_tab_and_goes_on(qtbot: QtBot, tmp_path: Path) -> None:
    with Workspace.open(tmp_path / "w", create=True) as workspace:
        tiny = models_tiny.ready(workspace)
    with Seat(qtbot, tmp_path / "w") as seat:
        seat.window.resize(1280, 800)
        seat.context.show_page(Page.EVALUATE)
        page = seat.window.page_widget(Page.EVALUATE)
        assert isinstance(page, EvaluatePage)
        tab = page.models
        seat.wait(tab.empty.isVisible)
        settings = {**models_tiny.VALUES, "model": tiny.policy.folder, "n": 2, "batch_rows": 2, "most_problems": 24}
        order = RunOrder("evaluate", settings, name="slow", rows=(str(tiny.problems),))
        view = seat.context.jobs.create(order)
        seat.wait(lambda: bool(tab.runs.lines) and tab.runs.lines[view.id].isVisible())
        line = tab.runs.lines[view.id]
        assert not line.resume.isVisible()
        seat.wait(lambda: line.view is not None and line.view.done > 1)
        assert line.bar.isVisible()
        assert line.bar.maximum() == 24
        line.cancel.click()
        assert not line.cancel.isEnabled()
        seat.wait(lambda: line.view is not None and line.view.state is RunState.CANCELLED and line.resume.isVisible())
        assert not line.cancel.isVisible()
        seat.wait(lambda: bool(tab.cells))  # what came until then is in the table
        first = tab.cells[0].problems
        assert 0 < first < 24
        seat.picture("models-cancelled")
        assert line.resume.isEnabled()
        line.resume.click()
        seat.wait(lambda: not tab.runs.lines and not tab.runs.isVisible())
        seat.wait(lambda: (tab.cells[0].problems, tab.cells[0].samples) == (24, 48))
        with seat.context.workspace.database.read() as c:
            stored = c.exec_driver_sql("SELECT count(*), count(DISTINCT record) FROM evaluation").one()
            written = c.exec_driver_sql("SELECT count(*) FROM trace").scalar_one()
        assert (*stored, written) == (48, 48, 48), "nothing is repeated or lost"


def test_a_failed_evaluation_says_why_until_it_is_hidden(qtbot: QtBot, tmp_path: Path) -> None:
    with Workspace.open(tmp_path / "w", create=True) as workspace:
        tiny = models_tiny.ready(workspace)
        settings = {**models_tiny.VALUES, "model": tiny.policy.folder, "most_problems": 2}
        uid = create_run(workspace, RunOrder("evaluate", settings, name="broken", rows=(str(tiny.problems),)))
        with workspace.database.write() as c:
            run = runs.by_uid(c, uid)
            attempt = runs.claim(c, run.id)
            assert attempt is not None
            runs.settle(c, run.id, attempt, StoredState.FAILED, message="the weights are not those of the spec")
    with Seat(qtbot, tmp_path / "w") as seat:
        seat.window.resize(1280, 800)
        seat.context.show_page(Page.EVALUATE)
        page = seat.window.page_widget(Page.EVALUATE)
        assert isinstance(page, EvaluatePage)
        strip = page.models.runs
        seat.wait(lambda: bool(strip.lines))
        (line,) = strip.lines.values()
        assert "The weights are not those of the spec" in line.state.text()
        assert line.resume.isVisible()
        seat.picture("models-failed")
        line.hide_.click()
        seat.wait(lambda: not strip.lines and not strip.isVisible())
