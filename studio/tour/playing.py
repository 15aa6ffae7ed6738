"""The stage of the tour that plays: a policy thinks aloud, then strategies race for the same problem."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.tour.guide import Guide, TourError
from studio.ui.actions import Page
from studio.ui.play.page import PlayPage

if TYPE_CHECKING:
    from studio.ui.main_window import MainWindow

RACE = ("One trace", "Best-of-n", "Beam")
PATIENCE = 300.0


def play(guide: Guide, window: MainWindow) -> None:
    """Ask the policy that travels with the app. Raises TourError where a lane has no answer."""
    with guide.stage("Watch a policy think, and strategies race") as found:
        guide.press("Ctrl+6")
        guide.wait(lambda: window.page is Page.PLAY, "the page play")
        page = window.page_widget(Page.PLAY)
        assert isinstance(page, PlayPage)
        guide.wait(page.ask_button.isEnabled, "the models that travel with the app")
        _ask(guide, page)
        guide.picture("play")
        page.form.choose(*RACE)
        _ask(guide, page)
        guide.picture("play-race")
        guide.command("Theme: dark")
        guide.picture("play-race-dark")
        guide.command("Theme: light")
        found("; ".join(f"{lane.entrant.title}: {_words(page, place)}" for place, lane in enumerate(page.lanes)))


def _ask(guide: Guide, page: PlayPage) -> None:
    guide.press("Ctrl+Return")
    guide.wait(lambda: not page.race.is_running, "the answers", PATIENCE)
    silent = next((lane for lane in page.lanes if lane.outcome is None), None)
    if silent is not None:
        raise TourError(f"{silent.entrant.title} has no answer: {silent.state.text()}")


def _words(page: PlayPage, place: int) -> str:
    outcome = page.lanes[place].outcome
    assert outcome is not None
    return f"answer {outcome.answered.answer or 'none'}, {outcome.answered.tokens:,} tokens"
