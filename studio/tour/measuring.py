"""The stage of the tour that measures the tiny policy: a form, a run, the table, a curve, a trace behind a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.ui.actions import Page
from studio.ui.evaluate.models_tab import ModelsTab
from studio.ui.evaluate.page import EvaluatePage

if TYPE_CHECKING:
    from studio.tour.journey import Journey

CAPS = (12, 40)
"""Tokens of thinking that the tiny policy is allowed."""


def evaluate(journey: Journey) -> None:
    """Twenty problems, four samples under each of two caps. Raises TourError."""
    guide = journey.guide
    with guide.stage("Evaluate the tiny policy") as found:
        guide.press("Ctrl+5")
        tab = journey.page(Page.EVALUATE, EvaluatePage).models
        guide.wait(lambda: tab.empty.isVisible() or bool(tab.cells), "the Models tab")
        _order(journey, tab)
        journey.finished("evaluate")
        guide.wait(lambda: len(tab.cells) == len(CAPS), "the results")
        guide.wait(lambda: tab.problems.behind is not None, "the problems behind them")
        guide.picture("evaluate")
        guide.press("G")
        guide.wait(lambda: bool(tab.curves.chart.drawing.points), "the curve")
        guide.command("Theme: dark")
        guide.picture("evaluate-dark")
        guide.command("Theme: light")
        guide.press("W Return Return")  # the problem, its first sample, the trace
        guide.wait(lambda: journey.window.page is Page.INSPECT, "a trace behind the figure")
        guide.rest(0.5)
        guide.picture("evaluate-trace")
        found("; ".join(f"{cap} tokens: {_figure(tab, cap)}" for cap in CAPS))


def _order(journey: Journey, tab: ModelsTab) -> None:
    """Fill the form and start."""
    guide = journey.guide
    guide.press("N")
    guide.wait(lambda: tab.dialog is not None and tab.dialog.isVisible(), "the form")
    dialog = tab.dialog
    assert dialog is not None
    guide.tab_to("Tiny models")
    guide.press("Space")
    guide.wait(lambda: dialog.start.isEnabled(), "models and problems")
    guide.enter("Most problems", "20")
    guide.enter("Budgets", ", ".join(map(str, CAPS)))
    guide.wait(lambda: dialog.start.isEnabled() and "160 answers" in dialog.answers.text(), "the counts")
    guide.picture("evaluate-form")
    guide.tab_to("Start")
    guide.press("Space")
    guide.wait(lambda: journey.run("evaluate") is not None, "the run")
    guide.face(journey.window)


def _figure(tab: ModelsTab, cap: int) -> str:
    value = next(cell.value for cell in tab.cells if cell.key.budget == cap)
    return f"{value.value:.0%} [{value.low:.0%}, {value.high:.0%}]"
