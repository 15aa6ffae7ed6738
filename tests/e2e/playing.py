"""What the stories of the Play page share: the page, a race to its end, and no worker left behind."""

from __future__ import annotations

from pathlib import Path

from studio.ui.actions import Page
from studio.ui.play.page import PlayPage
from tests.e2e.seat import Seat


def go_to_play(seat: Seat) -> PlayPage:
    """The Play page with the models that travel with the app."""
    seat.context.show_page(Page.PLAY)
    page = seat.window.page_widget(Page.PLAY)
    assert isinstance(page, PlayPage)
    seat.wait(lambda: page.ask_button.isEnabled())
    return page


def played(seat: Seat, page: PlayPage) -> None:
    """Press Ctrl+Return and wait until every lane has ended."""
    assert seat.context.actions.run("play_ask")
    seat.wait(lambda: not page.race.is_running)


def lane_texts(page: PlayPage) -> list[str]:
    """What stands in every lane."""
    return ["" if lane.text.opened is None else lane.text.opened.trace.text for lane in page.lanes]


def end_workers(workspace: Path) -> None:
    """Cancel what stays, as nobody waits for its idle end here."""
    import psutil

    from trainer.contract.run_folder import Control, RunFolder

    for path in (workspace / "runs").iterdir():
        run = RunFolder(path)
        process = run.read_process()
        if process is not None and process.pid > 0 and psutil.pid_exists(process.pid):
            run.ask(Control.CANCEL)
            psutil.wait_procs([psutil.Process(process.pid)], timeout=20)
