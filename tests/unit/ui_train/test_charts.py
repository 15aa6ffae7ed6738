"""Line charts: what is drawn, and how little of it is done anew."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QColor, QImage, QPalette
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from studio.ui.train.chart_sets import REWARD_MODEL, charts_of, taken_by_worker
from studio.ui.widgets.charts import Chart, ChartGrid, series_colour


@dataclass
class Curve:
    steps: NDArray[np.int64]
    values: NDArray[np.float64]


def curve(count: int, seed: int = 0) -> Curve:
    return Curve(np.arange(1, count + 1), np.random.default_rng(seed).normal(0.6, 0.1, count))


def loss(qtbot: QtBot) -> Chart:
    chart = Chart(REWARD_MODEL.charts[0])
    qtbot.addWidget(chart)
    chart.resize(420, 260)
    return chart


def test_growing_feeds_the_same_items(qtbot: QtBot) -> None:
    chart = loss(qtbot)
    whole = curve(500)
    for end in (10, 200, 500):
        assert chart.show_run(1, 0, {"train/loss": Curve(whole.steps[:end], whole.values[:end])})
        items = chart.plot.listDataItems()
        assert len(items) == 2, "one faint and one bold line, made once"
    assert chart.drawn(1, "train/loss").tolist() == whole.values.tolist()
    assert not chart.show_run(1, 0, {"train/loss": whole}), "nothing new, nothing drawn"


def test_runs_come_and_go_without_touching_each_other(qtbot: QtBot) -> None:
    chart = loss(qtbot)
    for run in (1, 2, 3):
        chart.show_run(run, run, {"train/loss": curve(20, run), "validation/loss": curve(4, run)})
    assert len(chart.plot.listDataItems()) == 12
    chart.keep_runs({2})
    assert len(chart.plot.listDataItems()) == 4
    assert chart.drawn(2, "train/loss").tolist() == curve(20, 2).values.tolist()
    assert chart.drawn(1, "train/loss").size == 0


def test_baselines_are_lines_at_their_value(qtbot: QtBot) -> None:
    chart = Chart(REWARD_MODEL.charts[1])
    qtbot.addWidget(chart)
    chart.show_baselines({"validation/baseline_step_index_auc": 0.6, "validation/hint_last_rated_auc": 0.99})
    assert chart.baseline_values() == {
        "validation/baseline_step_index_auc": 0.6,
        "validation/hint_last_rated_auc": 0.99,
    }
    chart.show_baselines({"validation/baseline_step_index_auc": 0.61, "validation/baseline_tfidf_auc": float("nan")})
    assert chart.baseline_values() == {"validation/baseline_step_index_auc": 0.61}


def test_another_theme_leaves_every_baseline_in_its_place(qtbot: QtBot) -> None:
    chart = Chart(REWARD_MODEL.charts[1])
    qtbot.addWidget(chart)
    values = {
        "validation/baseline_step_index_auc": 0.6,
        "validation/baseline_tfidf_auc": 0.7,
        "validation/hint_last_rated_auc": 0.9,
    }
    chart.show_baselines(values)
    before = {item.pen.color().name() for item in chart._baselines.values()}
    dark = QPalette(chart.palette())
    dark.setColor(QPalette.ColorRole.Base, QColor("#1c1f26"))
    dark.setColor(QPalette.ColorRole.WindowText, QColor("#eceff4"))
    chart.setPalette(dark)
    chart.restyle()
    assert chart.baseline_values() == values
    assert before.isdisjoint(item.pen.color().name() for item in chart._baselines.values())


def test_colours_follow_the_theme(qtbot: QtBot) -> None:
    chart = loss(qtbot)
    chart.show_run(1, 0, {"train/loss": curve(50)})
    chart.show()
    dark = QPalette(chart.palette())
    dark.setColor(QPalette.ColorRole.Base, QColor("#1c1f26"))
    dark.setColor(QPalette.ColorRole.Window, QColor("#14161b"))
    dark.setColor(QPalette.ColorRole.WindowText, QColor("#e8eaf0"))
    chart.setPalette(dark)
    QApplication.processEvents()
    assert chart.grab().toImage().pixelColor(2, 2).lightness() < 60
    for index in range(8):
        assert _contrast(series_colour(index, dark), QColor("#1c1f26")) >= 4.5
        assert _contrast(series_colour(index, QPalette(QColor("#ffffff"))), QColor("#ffffff")) >= 4.5


def test_a_picture_of_all_charts(qtbot: QtBot, tmp_path: Path) -> None:
    grid = ChartGrid(REWARD_MODEL.charts)
    qtbot.addWidget(grid)
    grid.resize(900, 500)
    while grid.add_chart():
        pass
    for chart in grid.charts:
        chart.show_run(1, 0, {line.key: curve(30) for line in chart.spec.lines})
    grid.save_png(tmp_path / "charts.png", scale=2.0)
    assert QImage(str(tmp_path / "charts.png")).width() == 1800


def test_a_hundred_thousand_points_are_fed_within_a_frame(qtbot: QtBot) -> None:
    chart = loss(qtbot)
    whole = curve(100_000)
    chart.show_run(1, 0, {"train/loss": Curve(whole.steps[:-100], whole.values[:-100])})
    chart.show()
    QApplication.processEvents()
    best = 1.0
    for end in range(-90, 0, 10):
        began = time.process_time()
        chart.show_run(1, 0, {"train/loss": Curve(whole.steps[:end], whole.values[:end])})
        best = min(best, time.process_time() - began)
    assert best < 0.05


def _contrast(one: QColor, other: QColor) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: QColor) -> float:
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour.getRgbF()[:3]]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def test_every_named_held_out_set_has_a_chart_of_its_own():
    names = ("train/loss", "eval/hard/accuracy", "eval/easy/accuracy", "eval/easy/n_problems", "validation/accuracy")
    found = charts_of("rl", names)
    own = charts_of("rl")
    assert found.charts[: len(own.charts)] == own.charts
    added = found.charts[len(own.charts) :]
    assert [chart.title for chart in added] == ["Right answers: easy", "Right answers: hard"]
    assert [line.key for chart in added for line in chart.lines] == ["eval/easy/accuracy", "eval/hard/accuracy"]
    assert charts_of("sft", ("eval/exam/loss", "eval/exam/accuracy")).charts[-1].title == "Loss: exam"
    assert charts_of("prm", names) == charts_of("prm"), "what a recipe does not compare by has no chart"


def test_a_run_whose_rollouts_a_server_writes_shows_what_they_differ_by() -> None:
    told = ("train/reward", "train/sampling/sampling_logp_difference/mean", "train/sampling/kl")
    assert len(charts_of("rl", told).charts) == len(charts_of("rl").charts) + 1
    assert charts_of("rl", told).keys - charts_of("rl").keys == set(told[1:])


def test_what_the_worker_takes_of_its_machine_is_told_once_it_is_known() -> None:
    last = {"train/loss": 0.5, "system/rss_mb": 1523.4, "system/cpu_percent": 98.6}
    assert taken_by_worker(last) == " · worker: 1,523 MB of memory, 99 % of a core"
    assert taken_by_worker({"train/loss": 0.5}) == ""
