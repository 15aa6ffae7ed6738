"""Score strip, map, problem: what they say, where a click goes."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QFontMetricsF
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from studio.render.prose import reference_text
from studio.ui.theme import Theme
from studio.ui.widgets.problem_view import ProblemView
from studio.ui.widgets.score_strip import ScoreStrip, summary
from studio.ui.widgets.trace_map import TraceMap
from studio.ui.widgets.trace_values import ScoreLine, StepSigns
from trainer.contract.records import Rating

VALUES = (0.9, 0.8, None, 0.25, 0.5)
LINE = ScoreLine("prm-03", VALUES, "abc")
FOREIGN = ScoreLine("stories-01", (0.1,) * 5, "def", "trained on stories")
RATINGS = (Rating.POSITIVE, Rating.NEUTRAL, Rating.POSITIVE, Rating.NEGATIVE, None)


@pytest.fixture
def theme(qapp: QApplication) -> Iterator[Theme]:
    made = Theme(qapp, "light")
    yield made
    made.deleteLater()


@pytest.fixture
def strip(qtbot: QtBot, theme: Theme) -> ScoreStrip:
    made = ScoreStrip(theme)
    qtbot.addWidget(made)
    made.resize(800, 150)
    made.set_trace((LINE, FOREIGN), RATINGS)
    made.show()
    return made


def test_product_minimum_and_last() -> None:
    given = [value for value in VALUES if value is not None]
    assert LINE.product == pytest.approx(math.exp(sum(math.log(value) for value in given)))
    assert (LINE.low, LINE.last) == (0.25, 0.5)
    assert summary(LINE) == "product 0.09 · min 0.25 · last 0.50"
    assert summary(ScoreLine("none", (None, None))) == "no scores"


def test_a_click_goes_to_the_nearest_step(strip: ScoreStrip, qtbot: QtBot) -> None:
    for ordinal in range(5):
        with qtbot.waitSignal(strip.jumped) as told:
            QTest.mouseClick(strip, Qt.MouseButton.LeftButton, pos=strip.point(ordinal, 0.5).toPoint())
        assert told.args == [ordinal]
    assert strip.step_at(strip.width() - 5) is None  # the legend


def test_keys_move_along_and_stay_inside(strip: ScoreStrip, qtbot: QtBot) -> None:
    told: list[int] = []
    strip.jumped.connect(told.append)
    strip.jumped.connect(strip.set_current)
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_End, Qt.Key.Key_Right, Qt.Key.Key_Home, Qt.Key.Key_Left):
        QTest.keyClick(strip, key)
    assert told == [0, 1, 4, 4, 0, 0]


def test_the_strip_says_what_it_shows(strip: ScoreStrip) -> None:
    strip.set_current(3)
    said = strip.accessibleDescription()
    assert "prm-03: product 0.09" in said
    assert "trained on stories" in said
    assert "step 4, rated negative, prm-03 0.25" in said
    assert strip.words(2) == "step 3\nrated positive\nstories-01 0.10 (trained on stories)"


def test_higher_scores_are_drawn_higher(strip: ScoreStrip) -> None:
    assert strip.point(0, 1.0).y() == strip.plot_rect().top()
    assert strip.point(0, 0.0).y() == strip.plot_rect().bottom()


@pytest.mark.parametrize("count", [1, 12, 400])
def test_every_bar_of_the_map_can_be_hit(qtbot: QtBot, theme: Theme, count: int) -> None:
    widget = TraceMap(theme)
    qtbot.addWidget(widget)
    widget.resize(76, 500)
    widget.set_steps([StepSigns(Rating.NEGATIVE if n == 0 else None, n / count) for n in range(count)])
    widget.set_current(0)
    widget.show()
    assert [widget.step_at(widget.bar_rect(n).center().y()) for n in range(count)] == list(range(count))
    assert widget.step_at(499) is None
    assert widget.accessibleDescription() == f"{count} steps, at step 1, negative: 1"
    assert not widget.grab().isNull()


def test_a_reference_is_drawn_as_maths_if_it_reads_as_such() -> None:
    assert reference_text("\\frac{1}{2}") == "$\\frac{1}{2}$"
    assert reference_text("14") == "$14$"
    assert reference_text("$x$ or $y$") == "$x$ or $y$"
    assert reference_text("Monday") == "Monday"
    assert reference_text(None) == ""


def test_a_problem_is_as_high_as_its_text_up_to_a_limit(qtbot: QtBot, theme: Theme) -> None:
    view = ProblemView(None, theme)
    qtbot.addWidget(view)
    view.resize(500, 100)
    view.set_problem("Short.", "14")
    short = view.sizeHint().height()
    view.set_problem("word " * 120, None)
    longer = view.sizeHint().height()
    view.set_problem("word " * 4_000, None)
    assert short < longer < view.sizeHint().height() <= theme.px(240)
    assert view.verticalScrollBar().maximum() > 0
    assert "Reference answer: 14" in _described(view)


def _described(view: ProblemView) -> str:
    view.set_problem("What is $x$?", "14")
    return view.accessibleDescription()


@pytest.mark.parametrize("current", [0, 79, 80, 100_000])
def test_numbers_below_the_strip_are_whole(strip: ScoreStrip, current: int) -> None:
    strip.set_trace((), [None] * max(81, current + 1))
    strip.set_current(current)
    metrics = QFontMetricsF(strip.theme.font(8.5))
    painter = strip._painter
    boxes = {n: painter._number_box(metrics, n) for n in (current, *painter._numbered(metrics, strip.plot_rect()))}
    assert all(box.right() <= strip.width() for box in boxes.values())
    picture = strip.grab().toImage()
    ground = strip.theme.colours.q("surface").rgb()
    for ordinal, box in boxes.items():
        if ordinal != current and box.intersects(boxes[current]):
            rest = box.toRect().adjusted(1, 1, -1, -1)
            own = boxes[current].adjusted(-4, 0, 4, 0)
            outside = [x for x in range(rest.left(), rest.right()) if not own.left() <= x <= own.right()]
            assert all(picture.pixel(x, y) == ground for x in outside for y in range(rest.top(), rest.bottom()))
