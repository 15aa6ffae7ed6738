"""The list of steps: what it says, what it paints when, how it stays quick."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import pytest
from PySide6.QtCore import QPoint, QRectF, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from studio.render.maths import MathsRenderer
from studio.render.maths_worker import draw
from studio.ui.theme import Theme
from studio.ui.widgets.step_list import StepListView
from studio.ui.widgets.step_model import ROW_ROLE, Mark, StepRow
from trainer.contract.records import Rating

TEXTS = (
    r"Let the numerator be $x$, so that $\frac{x}{3x-7}=\frac{2}{5}$.",
    r"Then \[5x=6x-14\] and so on.",
    r"A broken $\frac{1}{$ formula, and $5 of money.",
    "# Answer\n\n14",
)


class Helpers:
    """Keeps the orders until `work` is called."""

    def __init__(self) -> None:
        self.orders: list[tuple[list[tuple[str, bool, float]], Callable[[object], None]]] = []

    def submit(
        self, target: str, argument: object, done: Callable[[object], None], *, urgent: bool = True
    ) -> Callable[[], None]:
        assert isinstance(argument, list)
        self.orders.append((argument, done))
        return lambda: None

    def work(self) -> None:
        orders, self.orders = self.orders, []
        for order, done in orders:
            done(draw(order))


@pytest.fixture
def theme(qapp: QApplication) -> Iterator[Theme]:
    made = Theme(qapp, "light")
    yield made
    made.deleteLater()


@pytest.fixture
def helpers() -> Helpers:
    return Helpers()


@pytest.fixture
def view(qtbot: QtBot, theme: Theme, helpers: Helpers) -> Iterator[StepListView]:
    maths = MathsRenderer(helpers)
    made = StepListView(maths, theme)
    qtbot.addWidget(made)
    made.resize(700, 420)
    made.show()
    qtbot.waitExposed(made)
    yield made
    maths.close()


def rows(*texts: str, ratable: bool = True) -> list[StepRow]:
    return [StepRow(n, text, ratable=ratable) for n, text in enumerate(texts)]


def finish(qtbot: QtBot, view: StepListView, helpers: Helpers) -> None:
    def ready() -> bool:
        helpers.work()
        return view.is_ready

    qtbot.waitUntil(ready)


def test_text_comes_at_once_and_ready_only_with_all_maths(qtbot: QtBot, view: StepListView, helpers: Helpers) -> None:
    told: list[str] = []
    view.firstPainted.connect(lambda: told.append("first"))
    view.paintedReady.connect(lambda: told.append("ready"))
    view.set_steps(rows(*TEXTS), current=0)
    qtbot.waitUntil(lambda: told == ["first"] and bool(helpers.orders))
    QApplication.processEvents()
    assert told == ["first"]
    assert not view.is_ready
    finish(qtbot, view, helpers)
    assert told == ["first", "ready"]


def test_a_prepared_trace_is_ready_at_its_first_paint(qtbot: QtBot, view: StepListView, helpers: Helpers) -> None:
    view.prepare(TEXTS)
    qtbot.waitUntil(lambda: bool(helpers.orders))
    helpers.work()
    qtbot.wait(150)
    told: list[str] = []
    view.firstPainted.connect(lambda: told.append("first"))
    view.paintedReady.connect(lambda: told.append("ready"))
    view.set_steps(rows(*TEXTS))
    qtbot.waitUntil(lambda: "first" in told)
    assert told == ["first", "ready"]
    assert not helpers.orders


def test_a_face_rates_and_a_row_activates(qtbot: QtBot, view: StepListView, helpers: Helpers) -> None:
    view.set_steps(rows(*TEXTS), current=0)
    finish(qtbot, view, helpers)
    said: list[tuple[str, object]] = []
    view.rated.connect(lambda ordinal, value: said.append(("rated", (ordinal, value))))
    view.stepActivated.connect(lambda ordinal: said.append(("activated", ordinal)))
    delegate = view.itemDelegate()
    row = QRectF(view.visualRect(view.model().index(1, 0)))
    for value in Rating:
        place = delegate.face_rect(row, value).center().toPoint()
        QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    QTest.mouseClick(
        view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(int(row.right()) - 60, int(row.center().y()))
    )
    assert said == [("rated", (1, value)) for value in Rating] + [("activated", 1)]


def test_what_cannot_be_rated_has_no_faces_to_click(qtbot: QtBot, view: StepListView, helpers: Helpers) -> None:
    view.set_steps(rows(*TEXTS, ratable=False))
    finish(qtbot, view, helpers)
    said: list[object] = []
    view.rated.connect(lambda *given: said.append(given))
    row = QRectF(view.visualRect(view.model().index(0, 0)))
    place = view.itemDelegate().face_rect(row, Rating.NEGATIVE).center().toPoint()
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert said == []


def test_every_row_can_be_heard(view: StepListView) -> None:
    view.set_steps(
        [
            StepRow(0, "So $x=7$.", rating=Rating.NEGATIVE, unsure=True, score=0.07, score_note="trained on stories"),
            StepRow(1, "Wait", ahead=True, mark=Mark.SAVING),
        ],
        current=0,
    )
    heard = [view.model().index(n, 0).data(Qt.ItemDataRole.AccessibleTextRole) for n in range(2)]
    assert heard == [
        "Step 1 of 2, rated negative, unsure, score 0.07 (trained on stories), current: So x=7.",
        "Step 2 of 2, not rated, saving, later step: Wait",
    ]
    assert view.accessibleName()


def test_copying_as_written_and_as_latex(view: StepListView) -> None:
    view.set_steps(rows("50% of $x$", "b"), current=0)
    view.selectAll()
    view.copy_text()
    assert QApplication.clipboard().text() == "50% of $x$\n\nb"
    view.copy_text(latex=True)
    assert QApplication.clipboard().text() == "50\\% of $x$\n\nb"


def test_letters_and_digits_are_left_to_the_window(view: StepListView) -> None:
    view.set_steps(rows("a", "b", "1c"), current=0)
    QTest.keyClick(view, Qt.Key.Key_1)
    QTest.keyClick(view, Qt.Key.Key_B)
    assert view.currentIndex().row() == 0
    QTest.keyClick(view, Qt.Key.Key_Down)
    assert view.currentIndex().row() == 1


def test_source_shows_every_sign(qtbot: QtBot, view: StepListView, helpers: Helpers) -> None:
    view.set_steps(rows(*TEXTS))
    view.set_show_source(True)
    finish(qtbot, view, helpers)
    assert view.layout_of(0)._text.text() == TEXTS[0]


def test_a_rating_changes_no_height_and_keeps_the_place(qtbot: QtBot, view: StepListView, helpers: Helpers) -> None:
    view.set_steps(rows(*TEXTS * 10), current=0)
    finish(qtbot, view, helpers)
    view.set_current(20)
    QApplication.processEvents()
    place, heights = view.verticalScrollBar().value(), [view.row_height(n) for n in range(40)]
    view.set_row(StepRow(20, TEXTS[0], rating=Rating.POSITIVE, ratable=True))
    QApplication.processEvents()
    assert view.verticalScrollBar().value() == place
    assert [view.row_height(n) for n in range(40)] == heights
    assert view.model().index(20, 0).data(ROW_ROLE).rating is Rating.POSITIVE


def test_a_thousand_steps_are_shown_in_slices(qtbot: QtBot, view: StepListView, helpers: Helpers) -> None:
    texts = [f"Step {n}: " + "words and words " * (n % 23) for n in range(1_000)]
    view.set_steps(rows(*texts), current=0)
    assert view._heights.unsettled is not None, "most rows are laid out later, in slices"
    finish(qtbot, view, helpers)
    qtbot.waitUntil(lambda: view._heights.unsettled is None)
    view.set_current(999)
    QApplication.processEvents()
    assert view.visualRect(view.model().index(999, 0)).intersects(view.viewport().rect())


def test_hostile_text_is_shown_and_nothing_breaks(qtbot: QtBot, view: StepListView, helpers: Helpers) -> None:
    texts = ["\0\r\x1b[31m", "<b>bold</b><img src='x'>", "\u202eright to left", "x" * 200_000, "", "שלום $x$", "𝔸" * 50]
    view.set_steps(rows(*texts))
    finish(qtbot, view, helpers)
    assert "<b>bold</b>" in view.layout_of(1)._text.text()
    assert "180,000 more" in view.layout_of(3)._text.text()


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="None is immortal there")
def test_painting_loses_no_reference_to_none(qtbot: QtBot, view: StepListView, helpers: Helpers) -> None:
    view.set_steps(rows(*TEXTS))
    finish(qtbot, view, helpers)
    before = sys.getrefcount(None)
    for _ in range(200):
        view.viewport().repaint()
    assert sys.getrefcount(None) > before - 100
